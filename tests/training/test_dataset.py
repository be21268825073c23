"""dataset: what is refused, how documents become tokens, how windows are drawn."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import TrainingError, dataset
from training.dataset import Dataset


class Letters:
    """A tokenizer of one token a character."""

    end_of_text = 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.txt", b" \n\n", "empty"),
        ("delimiters.txt", b"<|endoftext|>\n\n<|endoftext|>\n", "no documents"),
        ("latin.txt", "Pokémon".encode("latin-1"), "not UTF-8"),
        ("zip.txt", b"PK\x03\x04\x00\x00", "binary"),
        ("a.csv", b"once upon a time\n", "CSV"),
        ("header.txt", b"id,title,body\n1,One,Once\n", "CSV"),
        ("a.jsonl", b"x", "JSON"),
        ("lines.txt", b'\n{"id": 1, "text": "a"}\n{"id": 2}\n', "JSON"),
        ("pretty.txt", b'[\n  {"text": "a"}\n]\n', "JSON"),
        ("page.txt", b"\xef\xbb\xbf<!DOCTYPE html>\n<html>", "markup"),
        ("dump.txt", b"<?xml version='1.0'?><a/>", "markup"),
    ],
)
def test_what_is_no_corpus_is_sent_to_prepare_corpus(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"{message}.*prepare_corpus\.py"):
        dataset.check(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"does not exist; prepare_corpus\.py"):
        dataset.check(tmp_path / "none.txt")
    with pytest.raises(TrainingError, match="is a folder"):
        dataset.check(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Ash, Misty, and Brock walk.\nThey stop.\n",
        '"Wait," says Wren, {laughing}.\n',
        "[Laughter] It begins.\n",
        "é" * 40_000,  # a character straddles the 64 KiB that are looked at
        "x" + "é" * 40_000,
    ],
)
def test_prose_passes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.txt"
    path.write_text(text, encoding="utf-8")
    dataset.check(path)


def numbered(*lengths: int) -> Dataset:
    """Documents of these lengths; each token is its own place."""
    starts = np.cumsum([0, *lengths[:-1]], dtype=np.int32)
    return Dataset(np.arange(sum(lengths), dtype=np.int32), starts)


def test_documents_follow_the_special_token() -> None:
    data = Dataset.encode(["ab", "c"], Letters())
    assert data.tokens.dtype == np.int32
    assert data.tokens.tolist() == [0, 97, 98, 0, 99]
    assert data.starts.tolist() == [0, 3]


@given(
    lengths=st.lists(st.integers(2, 20), min_size=1, max_size=5),
    count=st.integers(1, 5),
    length=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_windows_are_stretches_of_the_ring(
    lengths: list[int], count: int, length: int, seed: int
) -> None:
    n = sum(lengths)
    drawn = numbered(*lengths).windows(
        count=count, length=length, random=np.random.default_rng(seed)
    )
    assert drawn.shape == (count, min(n + 1, length))
    assert (np.diff(drawn, axis=1) % n == 1 % n).all()
    assert drawn.min() >= 0
    assert drawn.max() < n


def test_windows_begin_with_a_document_or_anywhere() -> None:
    data = numbered(50, 30, 20)
    begins = data.windows(count=4000, length=8, random=np.random.default_rng(0))[:, 0]
    assert set(begins.tolist()) == set(range(100))
    assert np.isin(begins, data.starts).mean() == pytest.approx(0.5 + 0.5 * 3 / 100, abs=0.03)
    for start in data.starts:
        assert (begins == start).mean() == pytest.approx(0.5 / 3 + 0.5 / 100, abs=0.03)


def test_advice_depends_on_the_size() -> None:
    def advice(*lengths: int) -> str:
        return " ".join(dataset.advise(numbered(*lengths), 1024, 2048))

    assert advice(*[2000] * 500) == ""
    assert "one document" in advice(1_000_000)
    assert "22 steps" in advice(*[375] * 120)
    assert "fewer than one window" in advice(250, 250)
