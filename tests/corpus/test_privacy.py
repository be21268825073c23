"""Personal data: what is found and what is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.privacy import mask

# Made for tests or for fiction, or of companies' own manuals.
PHONES = """\
+49 170 1234567|+49 (0)170 123 45 67|+1 (555) 123-4567|+1-555-123-4567|+33 6 12 34 56 78
+44 20 7946 0958|+353 1 234 5678|+4917012345678|0170 1234567|0171/2345678|0171 - 2345678
030 1234567|01 23 45 67 89|01.23.45.67.89|020 7946 0958|07700 900123|(555) 123-4567
555-123-4567|555.123.4567|555 123 4567|1-800-555-0199|(030) 123456|0049 170 1234567
(11) 91234-5678|612 34 56 78|+1.555.123.4567|+41 44 668 18 00
+33\u00a06\u00a012\u00a034\u00a056\u00a078|0170\u00a01234567|+1 (555) 123\u20114567
555\u2013123\u20134567|01701234567|07700900123|0612345678"""
STREETS = """\
221B Baker Street|10 Downing Street, London SW1A 2AA|1600 Pennsylvania Avenue|4 Privet Drive
12 Main St, Springfield, IL 62701|742 Evergreen Terrace|350 Fifth Avenue, New York, NY 10118
12 West 34th Street|5 Elm Road Apt 4|Musterstraße 12|Musterstr. 12a|Karl-Marx-Allee 3
Berliner Straße 5, 10115 Berlin|12 rue de la Paix|12, rue de l'Église, 75002 Paris
3 bis avenue Victor Hugo|Calle de Alcalá 45|Via Roma 12|Kerkstraat 12|Rua do Ouro, 5
12 Maple Circle|hauptstr. 5|musterstraße 12"""
NOTHING = """\
2020-01-31|31.12.2020|31/12/2020|01/02/2020|01-02-2020 12:30|01 02 2020 12 30|1914-1918
2019-2020|$1,000,000|1 000 000 000|0.1234567890|3.14159265358979|ISBN 0-306-40615-2
ISBN 978-0-306-40615-7|9780306406157|0306406152|1.2.3.4|10.0.19045.3803|192.168.100.200
12345678901234567|1234567890|21-14, 19-21, 22-20|3:2|1600000000000|pp. 123-145|0-0-1
10,000-20,000|1 2 3 4 5 6 7 8 9 10|100 200 300|+20%|2+2=4|+1|007|ISSN 0317-8471|v1.12.0-1234
09:30 - 10:45|Boeing 747-400|24/7|1e10|In 1920 he went|4 July Dr Smith came|21 August St Petersburg
Spring 2020|Parkplatz 12 ist frei|On the 5th Avenue|Chapter 12 The Road|Straße 5|12 Uhr
001 002 003|0001, 0002|0123456789|555-1234|500-1000|2345678|In 1969 Abbey Road came out
page 5 Long Road|episode 12 Victory Road|In May 2012 Times Square was full|https://a.example/status/4111111111111111
user@localhost|@ada|5 @ 3 euros|a.b@c"""


def items(text: str) -> list[str]:
    return [item for line in text.splitlines() for item in line.split("|")]


def luhn(digits: str) -> str:
    """The check digit, as Wikipedia does it by hand."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def iban(country: str, account: str) -> str:
    """With its check digits: 98 less the rest of the division by 97."""
    number = "".join(str(ord(c) - 55) if c.isalpha() else c for c in account + country)
    return f"{country}{98 - int(number + '00') % 97:02}{account}"


@pytest.mark.parametrize("phone", items(PHONES))
def test_phone_numbers_are_masked(phone: str) -> None:
    assert mask(f"Call {phone} now.")[0] == "Call [phone number] now."
    assert mask(phone) == ("[phone number]", {"phone number": 1})


@pytest.mark.parametrize(
    "number", ["555-1234", "555 1234", "5551234", "555-123-4567", "5551234567"]
)
@pytest.mark.parametrize("words", ["Call me at", "tel.", "My number is:"])
def test_what_may_be_any_number_is_masked_behind_words_of_calling(words: str, number: str) -> None:
    assert mask(f"{words} {number}, please.")[0] == f"{words} [phone number], please."


@pytest.mark.parametrize("street", items(STREETS))
def test_streets_are_masked_and_the_place_with_them(street: str) -> None:
    text, found = mask(f"I live at {street}, as you know.")
    assert found == {"street address": 1}
    assert text.startswith("I live at [street address]")
    assert not any(c.isdigit() for c in text)


def test_the_place_may_stand_on_the_next_line() -> None:
    assert mask("Hauptstraße 5\n12345 Musterstadt\nBye")[0] == "[street address]\nBye"
    assert mask("Feldweg 7\n12345 Dorf")[0] == "[street address]"
    assert mask("Via Garibaldi, 5\n00153 Roma")[0] == "[street address]"


@pytest.mark.parametrize("text", items(NOTHING))
def test_other_numbers_are_left_alone(text: str) -> None:
    for sentence in (text, f"so {text} now.", f"{text}, {text}", f"({text})"):
        assert mask(sentence) == (sentence, {})


@given(
    *(st.sampled_from("23456"), st.integers(12, 18), st.data()),
    st.sampled_from(["", " ", "-", ".", "\u00a0"]),
)
def test_a_valid_card_is_found_and_one_with_a_wrong_check_digit_is_not(
    first: str, length: int, data: st.DataObject, separator: str
) -> None:
    length = 15 if separator else length  # in fours: sixteen digits with the last one
    digits = st.text("0123456789", min_size=length - 1, max_size=length - 1)
    body = first + data.draw(digits)
    good = luhn(body)
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != good]))
    for last, expected in ((good, 1), (wrong, 0)):
        number = body + last
        if len(set(number)) == 1:
            continue
        fours = [number[n : n + 4] for n in range(0, len(number), 4)]
        written = separator.join(fours) if separator else number
        text, found = mask(f"Pay with {written}, please. 12 1234 {written}")
        assert found["card number"] == 2 * expected
        assert expected == 0 or text == "Pay with [card number], please. 12 1234 [card number]"


@given(
    st.sampled_from([("DE", 18), ("GB", 18), ("FR", 23), ("NO", 11), ("BE", 12), ("MT", 27)]),
    st.data(),
    st.sampled_from(["", " ", "\u00a0"]),
)
def test_a_valid_iban_is_found_and_one_with_a_wrong_digit_is_not(
    country: tuple[str, int], data: st.DataObject, blank: str
) -> None:
    code, length = country
    account = data.draw(st.text("0123456789", min_size=length, max_size=length))
    good = iban(code, account)
    place = data.draw(st.integers(4, len(good) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != good[place]]))
    wrong = good[:place] + other + good[place + 1 :]
    for number, expected in ((good, 1), (wrong, 0)):
        fours = blank.join(number[n : n + 4] for n in range(0, len(number), 4))
        for written in (fours, fours.lower()):
            text, found = mask(f"To {written} THIS YEAR.")
            assert found["IBAN"] == expected
            assert expected == 0 or text == "To [IBAN] THIS YEAR."


def test_several_kinds_and_their_numbers() -> None:
    text = "Ada <ada.l@mail.example.org>, +49 170 1234567\nMusterstraße 12, 12345 Berlin\nb@c.de"
    assert mask(text) == (
        "Ada <[mail address]>, [phone number]\n[street address]\n[mail address]",
        {"mail address": 2, "phone number": 1, "street address": 1},
    )


pieces = st.sampled_from(
    [*items(PHONES), *items(STREETS), *items(NOTHING), "4111 1111 1111 1111", "a@b.com", "@", "+"]
)


@given(st.lists(pieces | st.text("0123456789+-() .,@/ab\n", max_size=12), max_size=8), st.data())
def test_masking_twice_changes_nothing_more(parts: list[str], data: st.DataObject) -> None:
    once, _ = mask(data.draw(st.sampled_from(["", " ", ", ", "-"])).join(parts))
    assert mask(once) == (once, {})


@given(st.text())
def test_any_text_is_masked_once(text: str) -> None:
    once, _ = mask(text)
    assert mask(once) == (once, {})


@pytest.mark.parametrize(
    "unit", ["1", " ", "a@", "1-", "12 ", "+1", "(0", "a.", "1 Aa ", "AA11 ", "1 rue de ", "a@b."]
)
def test_long_monotonous_texts_are_read_to_their_end(unit: str) -> None:
    text = unit * (200_000 // len(unit)) + " x@example.org"
    assert mask(text)[0].endswith("[mail address]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to a.b+c@mail.example.co.uk.", "write to [mail address]."),
        ("<a@b.de>,(c@d.fr)", "<[mail address]>,([mail address])"),
        ("mailto:é_1@bücher.example", "mailto:[mail address]"),
        ("_ada@example.org_ or ada@example.org--", "[mail address]_ or [mail address]--"),
        ("o'brien@example.org, 'ada@example.org'", "[mail address], '[mail address]'"),
        ("почта@пример.рф, a@b.xn--p1ai", "[mail address], [mail address]"),
        ("a@b.com@c.com", "[mail address]@c.com"),
        ("a@@b.com", "a@@b.com"),
        (f"{'x' * 100}@b.com", f"{'x' * 36}[mail address]"),
    ],
)
def test_mail_addresses_are_masked(text: str, expected: str) -> None:
    assert mask(text)[0] == expected
