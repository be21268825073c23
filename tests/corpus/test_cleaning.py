import string
import unicodedata
from itertools import product

import ftfy
import pytest
from ftfy.chardata import CHARMAP_ENCODINGS
from hypothesis import example, given
from hypothesis import strategies as st

from corpus.cleaning import _MOJIBAKE, _decode_anew, _may_be_decoded_wrongly, clean
from corpus.documents import DELIMITER


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        # Typography becomes plain, words stay.
        ("\u201cIt\u2019s \u2018so\u2019,\u201d he said\u2026", "\"It's 'so',\" he said..."),
        ("Pallet Town\u2014plus 1997\u20132002, x \u2212 y", "Pallet Town--plus 1997-2002, x - y"),
        ("Keeps CASE, digits 10,000 & punctuation: (a; b)? #1!", None),
        ("Pokémon \U0001f468\u200d\U0001f469 naïve \u00bd ポケモン", None),
        ("line one\nline two\n\nnext paragraph", None),
        # Encodings gone wrong.
        ("PokÃ©mon donâ€™t", "Pokémon don't"),
        ("they\x92re here\x85 \x93so\x94 \x96 no\x97yes", 'they\'re here... "so" - no--yes'),
        ("Poke\u0301mon", "Pokémon"),
        ("\ufeffA\u200bB\u00adC\x00D\x1bE\u202eF\ufffdG", "ABCDEFG"),
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        # Blanks.
        ("  a\t\u00a0 b \u3000c  \n\n\n\n   d\n", "a b c\n\nd"),
        # HTML left behind.
        ("<p>One &amp; two</p><p>three<br/>four</p>", "One & two\n\nthree\nfour"),
        ("a <b>bold</b> <a href='x'>link</a> <!-- gone\n\n--> end", "a bold link end"),
        ("<script>var a = '<p>x</p>';</script>text<style>p {}</style>", "text"),
        ("a <!-- b <!-- c --> d <!-- e", "a d <!-- e"),
        ("<script>'<script>'</SCRIPT >a <STYLE>b</style>c<ref/>d", "a cd"),
        ("a &amp;amp;lt; b &amp;amp; c", "a < b & c"),
        ("I <3 you, 1 < 2 > 0, x<y>z", None),
        ("win,<ref name='a'>see <i>x</i></ref> and", "win, and"),
        # Scripts left behind.
        ('document.write(unescape("The%20gang"));\nText', "Text"),
        ("var x = 3;\nfunction f(a) {\n}\ngoogle_ad_client = 'x';\n//-->\nText", "Text"),
        ("He said the window was open; functions of var (and let) stay.", None),
        # Wiki markup left behind.
        ("Plot[edit]\nHe won.[1][note 2] So[citation needed]", "Plot\nHe won. So"),
        ("Plot [edit | edit source]", "Plot"),
        ("[[Pikachu]] and [[Misty (anime)|Misty]] [[File:A.png|thumb|x]]", "Pikachu and Misty"),
        ("{{p|Pikachu}} uses {{m|Gust|a gust|nolink=yes}}{{clear}}", "Pikachu uses a gust"),
        ("{{spoilers|a|b}}\nHe won.", "He won."),
        ("== Plot ==\nHe won. 1 == 1", "He won. 1 == 1"),
        # The delimiter, also where cleaning would make one.
        (f"a{DELIMITER}b", "ab"),
        ("a<|endof<|endoftext|>text|>b", "ab"),
        ("a<|endof\u200btext|>b", "ab"),
        ("a&lt;|endoftext|&gt;b", "ab"),
        ("", ""),
    ],
)
def test_examples(raw: str, cleaned: str | None) -> None:
    """None: nothing is to change."""
    assert clean(raw) == (raw if cleaned is None else cleaned)


pieces = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            *("&amp;", "&lt;", "&#x85;", "<br>", "<p>", "<!--", "-->", "<script>", "</script>"),
            *("[[", "]]", "{{", "}}", "|", "[1]", "[edit]", "==", "\n", "\r", "\x85", "\x92"),
            *("Ã©", "â€™", "â€", "Â", "ï»¿", "\u0301", "e\u0301", "\ud800", "<|endof", "text|>"),
            *(DELIMITER, "var x = 1;", "document.write", "{", "}", ";", " ", "\u00a0", "a"),
        ]
    ),
)
dirty = st.lists(pieces, max_size=30).map("".join)


@given(dirty)
@example("&amp;amp;lt;b&amp;gt;")
@example("Ã\u0083Â\u0083Ã\u0082Â©")
def test_cleaning_twice_changes_nothing(raw: str) -> None:
    once = clean(raw)
    assert clean(once) == once


@given(dirty)
def test_what_comes_out_is_clean(raw: str) -> None:
    text = clean(raw)
    assert DELIMITER not in text
    assert text == text.strip()
    assert "\n\n\n" not in text
    assert "  " not in text
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in text.replace("\n", ""))
    text.encode()


@pytest.mark.parametrize(
    "characters", ["é“”’… a", "ñö–— a", "éçü“ .", "áëú‘x\t", "ßÃà ?", "Вё» а", "ÂœЩ\u00a0a"]
)
def test_what_ftfy_need_not_see_it_would_not_change(characters: str) -> None:
    seen = 0
    for line in map("".join, product(characters, repeat=5)):
        if not _may_be_decoded_wrongly(line):
            seen += 1
            assert ftfy.fix_text(line, _MOJIBAKE) == line
    assert seen > 100


foreign = st.sampled_from("éœàßÂÃÀШёВ«»“”’—ãİłźポ\U0001f600ﬁĳ\u00a0\x85\ufffd×²°€®½þ ?a")


@given(st.lists(foreign, max_size=9), st.sampled_from(CHARMAP_ENCODINGS), st.booleans())
def test_mojibake_of_any_encoding_reaches_ftfy(words: list[str], code: str, whole: bool) -> None:
    first, *others = ["".join(words)] if whole else words or [""]
    line = "".join([first.encode().decode(code, "replace"), *others, "é"]).replace("\n", "")
    assert _decode_anew(line) == ftfy.fix_text(line, _MOJIBAKE)


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 10**5,
        " \n" * 10**5,
        "\n" + " " * 10**5 + "x",
        "\n" + "{" * 10**5 + "x",
        "\n" + "{}" * 10**5 + "x",
        "function" + " " * 10**5 + "x",
        "<!-- a" * 10**5,
        "<script> a" * 10**5,
        "&" + "amp;" * 10**5 + "lt;",
        "[[a|" * 10**5,
        "{{a|" * 10**5,
        "<p " * 10**5,
    ],
)
def test_what_would_take_hours_if_each_part_were_looked_through_to_the_end(text: str) -> None:
    assert len(clean(f"a{text}b")) <= len(text) + 2


plain_words = st.text(string.ascii_letters + string.digits + ".,:;!?'\"()-$%/+*", min_size=1)


@given(st.lists(plain_words.filter(lambda word: any(map(str.isalpha, word))), min_size=1))
def test_plain_prose_stays_as_it_is(words: list[str]) -> None:
    prose = "Then " + " ".join(words)
    assert clean(prose) == prose
