"""Where a text ends, streamed or not."""

import unicodedata
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.endings import TextStream, sentence_end, word_end
from engine import END_OF_TEXT

# Pieces that meet in every order: ends of sentences, things that look like them, halves of stops.
PIECES = [
    *(" ", "\n", "\n\n", ".", "!", "?", "...", "…", '"', "'", ")", ",", "-", "<", "<|", "|>"),
    *("Wren", "walks", "Mr", "Dr. Sorrel", "3.14", "12", "I", "J", "é", "雨", "🦦", "a", "B", "b"),
    *("<|endof", "endoftext", "text|>", END_OF_TEXT, "The", "STOP", "ST", "OP"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
PREFIXES = TEXTS.filter(lambda text: END_OF_TEXT not in text)
ENDS = st.sampled_from(["sentence", "word", "token"])


def stream(data: list[bytes], *, cut: bool = True, **options: Any) -> list[str]:
    text = TextStream(**options)
    pieces = []
    for piece in data:
        pieces.append(text.feed(piece))
        if text.stopped:
            break
    return [*pieces, text.finish(cut=cut and not text.stopped)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wren runs. Fizzlet sleeps. Odo co", "Wren runs. Fizzlet sleeps."),
        ('"Go!" Wren yells. "Now!" Fiz', '"Go!" Wren yells. "Now!"'),
        ('"Go!" she yells and', ""),
        ("He left (at last.) Then", "He left (at last.)"),
        ("“Go.” Then", "“Go.”"),
        ("They meet Mr. Abel. Then Prof. S", "They meet Mr. Abel."),
        ("It costs 3.14 coins. It costs 3.", "It costs 3.14 coins."),
        ("It was in 1998. Then", "It was in 1998."),
        ("A list.\n1. Bread\n2. Bu", "A list."),
        ("J. R. Sorrel waits. So do I. Wh", "J. R. Sorrel waits. So do I."),
        ("Wait... what? Who", "Wait... what?"),
        ("Wait... Who", "Wait..."),
        ("The end.\n\nAnother", "The end."),
        ("It ends here.", "It ends here."),
        ("It ends here. ", "It ends here."),
        ("no end, e.g. Pippin", ""),
        ("", ""),
    ],
)
def test_sentence_end_of_a_whole_text(text: str, expected: str) -> None:
    assert text[: sentence_end(text, whole=True)] == expected


def test_an_end_needs_what_follows_while_the_text_grows() -> None:
    assert sentence_end("It ends here.") == 0
    assert sentence_end("It ends here. ") == 0
    assert sentence_end("It ends here. A") == len("It ends here.")


@given(TEXTS, st.data())
def test_a_longer_text_has_no_fewer_sentences(text: str, data: st.DataObject) -> None:
    end = sentence_end(text)
    longer = text + data.draw(TEXTS)
    assert sentence_end(longer) >= end
    assert sentence_end(longer[:end] + longer[end:], 0, whole=True) >= end


def test_many_full_stops_take_linear_time() -> None:
    assert sentence_end("." * 1_000_000 + "x") == 0
    assert sentence_end(('."' * 500_000) + "x") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("one two thr", "one two"), ("one  ", "one"), ("one", ""), ("", ""), ("a\n\nb", "a")],
)
def test_word_end(text: str, expected: str) -> None:
    assert text[: word_end(text)] == expected


OPTIONS = st.fixed_dictionaries(
    {
        "prefix": PREFIXES,
        "end": ENDS,
        "stops": st.lists(st.sampled_from(["STOP", "\n", ". ", "OPEN", "TOP"]), max_size=2),
    }
)


@settings(max_examples=500)
@given(TEXTS, OPTIONS, st.booleans(), st.lists(st.integers(0, 200)))
def test_pieces_join_to_the_same_text(
    text: str, options: dict[str, str], cut: bool, bounds: list[int]
) -> None:
    encoded = text.encode()
    bounds = [0, *sorted(bounds), len(encoded)]
    pieces = [encoded[a:b] for a, b in pairwise(bounds)]
    letters = [bytes([byte]) for byte in encoded]
    whole = "".join(stream([encoded], cut=cut, **options))
    assert "".join(stream(pieces, cut=cut, **options)) == whole
    assert "".join(stream(letters, cut=cut, **options)) == whole


@given(PREFIXES, TEXTS, ENDS, st.booleans())
def test_the_delimiter_never_shows(prefix: str, text: str, end: str, cut: bool) -> None:
    pieces = stream([bytes([byte]) for byte in text.encode()], cut=cut, prefix=prefix, end=end)
    assert END_OF_TEXT not in prefix + "".join(pieces)


@given(st.lists(st.binary(max_size=6), max_size=20), ENDS, st.booleans())
def test_no_broken_characters(data: list[bytes], end: str, cut: bool) -> None:
    shown = "".join(stream(data, cut=cut, end=end))
    assert "\ufffd" not in shown.replace("\ufffd", "", b"".join(data).count("\ufffd".encode()))
    characters = b"".join(data).decode(errors="ignore")
    plain = "".join(c for c in characters if c in "\n\t" or unicodedata.category(c) != "Cc")
    assert plain.lstrip().startswith(shown)


@given(TEXTS, TEXTS.filter(lambda text: "|" not in text and text.strip()))
def test_a_text_that_was_cut_ends_before_white_space_or_whole(prefix: str, text: str) -> None:
    shown = "".join(stream([text.encode()], prefix=prefix.replace(END_OF_TEXT, "")))
    rest = text[text.index(shown) + len(shown) :]
    assert shown
    assert not shown[-1].isspace()
    assert rest.strip() == "" or rest[0].isspace()


def test_the_end_that_is_asked_for() -> None:
    text = b" walks home. Then she sl"
    assert "".join(stream([text], prefix="Wren", end="sentence")) == " walks home."
    assert "".join(stream([text], prefix="Wren", end="word")) == " walks home. Then she"
    assert "".join(stream([text], prefix="Wren", end="token")) == " walks home. Then she sl"


def test_without_a_sentence_it_ends_after_a_word_and_never_empty() -> None:
    assert "".join(stream([b" walks ho"], prefix="Wren")) == " walks"
    assert "".join(stream([b"walks"], prefix="Wren ")) == "walks"
    assert "".join(stream([b" walks"], prefix="Wren")) == " walks"


def test_a_text_that_ended_by_itself_is_whole() -> None:
    assert "".join(stream([b" walks. Then she sl \n"], cut=False)) == "walks. Then she sl"
    assert "".join(stream([b" walks\n", END_OF_TEXT.encode(), b"More."], prefix="W")) == " walks"


def test_a_stop_counts_in_the_continuation_alone() -> None:
    pieces = stream([b" one.\n two. STOP three"], prefix="STOP", stops=["STOP"])
    assert "".join(pieces) == " one.\n two."


def test_sentences_are_shown_as_they_are_completed() -> None:
    text = TextStream("Mr", "sentence")
    assert text.feed(b". Abel waves") == ""
    assert text.feed(b". Wr") == ". Abel waves."
    assert text.feed(b"en laughs! ") == ""
    assert text.feed(b'"Go') == " Wren laughs!"


def test_words_are_shown_as_they_are_completed() -> None:
    text = TextStream(end="word")
    assert [text.feed(b) for b in (b"One", b" tw", b"o ", b" three")] == ["", "One", " two", ""]


def test_the_delimiter_may_begin_in_the_prefix() -> None:
    assert "".join(stream([b"text|>More."], prefix="A <|endof")) == ""
