"""The output gate."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.gate import Check, WordList
from corpus.copies import CopyIndex, build

WORDS = WordList(["darn", "Straße  # a comment", "# nothing", "", "café", "big red dog"])


def pass_through(
    pieces: list[str],
    words: WordList = WORDS,
    copies: CopyIndex | None = None,
    *,
    may_copy: bool = False,
    prefix: str = "",
) -> tuple[list[str], Check]:
    check = Check(words, copies, may_copy=may_copy, prefix=prefix)
    shown = [check.feed(piece) for piece in pieces[:-1]]
    return [*shown, check.finish(pieces[-1])], check


@pytest.mark.parametrize(
    "text",
    [
        *("Darn it.", "oh DARN", "well-darn-it", "“darn”", "on the STRASSE", "auf der straße."),
        *("a Cafe\u0301!", "a CAFÉ", "\uff44\uff41\uff52\uff4e", "a big, red\ndog"),
    ],
)
def test_words_of_the_list_are_found(text: str) -> None:
    assert WORDS.safe_length(text) is None
    shown, check = pass_through([text])
    assert (shown, check.refusal) == ([""], "word")


@pytest.mark.parametrize(
    "text", ["darning socks", "undarn", "cafe", "big red dogs", "big dog", "red dog", "nothing"]
)
def test_other_words_are_not(text: str) -> None:
    assert WORDS.safe_length(text) == len(text)


@given(
    st.lists(
        st.sampled_from(
            ["darn", "dar", "n", " ", "big", " red", " do", "g", "s", ".", "é", "a", "\n", "-"]
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 5),
)
def test_no_piece_shows_what_the_whole_must_not_have(pieces: list[str], before: int) -> None:
    """Nor what it must not have together with the prefix, which is shown already."""
    before = min(before, len(pieces) - 1)
    prefix, pieces = "".join(pieces[:before]), pieces[before:]
    assume(WORDS.safe_length(prefix) is not None)
    shown, check = pass_through(pieces, prefix=prefix)
    shown = [prefix, *shown]
    text = prefix + "".join(pieces)
    # Another definition of a whole word: nothing that could be in a word stands at its ends.
    forbidden = re.search(r"(?<!\w)(darn|big\W+red\W+dog)(?!\w)", text)
    assert (check.refusal == "word") is (forbidden is not None)
    if forbidden:
        assert "".join(shown) == text[: len("".join(shown))]
        assert len("".join(shown)) <= max(forbidden.start(), len(prefix))
    else:
        assert "".join(shown) == text


@pytest.mark.parametrize(
    "text",
    [
        "Odo ran. " + "ha " * 20,
        "Then it was " + "the end of the day and " * 5,
        "He said no. She said yes. " * 4,
    ],
)
def test_loops_are_noticed(text: str) -> None:
    assert pass_through([text])[1].refusal == "loop"
    assert pass_through(list(text))[1].refusal == "loop"


@pytest.mark.parametrize(
    "text",
    [
        "No, no, no! Never, never, never again.",
        "Row, row, row your boat, gently down the stream. Row, row, row your boat, once more.",
        "One two three. " * 2 + "And that was it.",
    ],
)
def test_a_refrain_is_no_loop(text: str) -> None:
    assert pass_through([text])[1].refusal is None


def test_nothing_is_empty() -> None:
    assert pass_through([""])[1].refusal == "empty"
    assert pass_through([" ", "\n"])[1].refusal == "empty"
    assert pass_through([" ", "a"])[1].refusal is None


CORPUS = (
    "The keeper of the lamp walked slowly down to the harbour, because the fog had come in early."
)

COPIED = CORPUS[:69]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> CopyIndex:
    folder = tmp_path_factory.mktemp("copies")
    (folder / "train.txt").write_text(CORPUS + "\n<|endoftext|>\nSomething else.\n")
    build(folder / "train.txt", folder / "train.copies")
    return CopyIndex.open(folder / "train.copies")


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_copies_are_refused_or_told(copies: CopyIndex, cut: int) -> None:
    text = "Wren saw it: " + COPIED.lower() + " and laughed."
    pieces = [text[i : i + cut] for i in range(0, len(text), cut)]
    shown, check = pass_through(pieces, copies=copies)
    assert check.refusal == "copied"
    shown, check = pass_through(pieces, copies=copies, may_copy=True)
    assert check.refusal is None
    assert "".join(shown) == text
    assert check.copied
    (run,) = check.copied
    assert text[run.start : run.end] == COPIED.lower()
    assert run.words == len(COPIED.split())


def test_eleven_words_are_nobodys(copies: CopyIndex) -> None:
    eleven = " ".join(CORPUS.split()[:11])
    assert pass_through([eleven], copies=copies)[1].copied == []
    assert pass_through([eleven])[1].copied is None


def test_a_file_of_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\ufeffDarn\r\n# x\r\n", encoding="utf-8")
    assert WordList.read(tmp_path / "words.txt").safe_length("darn") is None
