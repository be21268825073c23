"""evaluation: what is predicted, what is written, what of that is copied."""

from collections.abc import Sequence
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.copies import CopyIndex, build
from corpus.documents import write_documents
from engine import HParams, Model, Tokenizer, open_source
from training import evaluation
from training.evaluation import HeldOut
from training.pytorch import PyTorch
from training.trainer import load_weights

END = 7


class Characters:
    """Each character is a token."""

    end_of_text = END

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


class Costly:
    """A token costs as many nats as its number says, and what it is predicted from a thousandth."""

    def __init__(self, n_ctx: int) -> None:
        self.hparams = HParams(n_vocab=1000, n_ctx=n_ctx, n_embd=1, n_head=1, n_layer=1)
        self.shapes: list[tuple[int, int]] = []

    def losses(self, batch: np.ndarray) -> np.ndarray:
        self.shapes.append(batch.shape)
        return (batch[:, 1:] + batch[:, :-1] / 1000).astype(np.float32)


def nats(documents: Sequence[str]) -> float:
    """What Costly takes, counted by hand."""
    total = 0.0
    for text in documents:
        tokens = [END, *map(ord, text), END]
        total += sum(after + before / 1000 for before, after in pairwise(tokens))
    return total


DOCUMENTS = st.lists(st.text(st.characters(codec="ascii"), max_size=60), min_size=1, max_size=12)


@given(DOCUMENTS, st.integers(2, 20))
def test_each_token_is_predicted_once_from_its_own_document(
    documents: list[str], n_ctx: int
) -> None:
    held_out = HeldOut.encode(documents, Characters(), n_ctx)
    trainer = Costly(n_ctx)
    assert held_out.tokens == sum(len(text) + 1 for text in documents)
    assert held_out.loss(trainer) * held_out.tokens == pytest.approx(nats(documents), rel=1e-5)
    assert all(count * length <= n_ctx or count == 1 for count, length in trainer.shapes)
    assert all(length <= n_ctx for _, length in trainer.shapes)


def test_bits_are_those_of_a_byte_of_text() -> None:
    held_out = HeldOut.encode(["ab", "é"], Characters(), 10)  # 5 tokens, 4 bytes
    assert held_out.bits_per_byte(2 * log(2)) == pytest.approx(2 * 5 / 4)


def test_of_many_documents_some_are_looked_at_from_everywhere() -> None:
    documents = [chr(n) * 999 for n in range(300)]  # of a thousand tokens each
    held_out = HeldOut.encode(documents, Characters(), 1024)
    assert held_out.tokens == 60_000
    assert [int(window[1]) for window in held_out.windows] == list(range(0, 300, 5))


@pytest.fixture
def trainer(tiny_checkpoint: Path) -> PyTorch:
    model = Model.load(tiny_checkpoint)
    trainer = PyTorch(model.hparams, seed=0)
    model.close()
    load_weights(trainer, open_source(tiny_checkpoint))
    return trainer


def test_the_loss_is_that_of_the_engine(trainer: PyTorch, tiny_checkpoint: Path) -> None:
    documents = ["Wren rows home before the fog.", "A frog!"]
    model = Model.load(tiny_checkpoint, weights="f32")
    expected = tokens = 0.0
    for text in documents:
        ids = [model.tokenizer.end_of_text, *model.tokenizer.encode(text)]
        ids.append(model.tokenizer.end_of_text)
        logits = np.array(model.logits(ids), np.float64)
        top = logits.max(-1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        expected -= sum(log_p[at, token] for at, token in enumerate(ids[1:]))
        tokens += len(ids) - 1
    held_out = HeldOut.encode(documents, Tokenizer.load(tiny_checkpoint), model.hparams.n_ctx)
    assert held_out.loss(trainer) == pytest.approx(expected / tokens, rel=1e-5)


def test_texts_are_what_the_weights_write(
    trainer: PyTorch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("hparams.json", "encoder.json", "vocab.bpe"):
        (tmp_path / name).write_bytes((tiny_checkpoint / name).read_bytes())
    before = sorted(tmp_path.iterdir())
    texts = evaluation.write_texts(trainer, tmp_path, seed=1)
    assert len(texts) == len(set(texts)) == 8
    assert texts == evaluation.write_texts(trainer, tmp_path, seed=1)
    assert texts != evaluation.write_texts(trainer, tmp_path, seed=2)
    assert sorted(tmp_path.iterdir()) == before


def test_each_text_depends_on_its_own_seed_alone(tiny_checkpoint: Path) -> None:
    model = Model.load(tiny_checkpoint)
    texts = evaluation.write(model, texts=5, length=40, seed=1)
    assert len(texts) == len(set(texts)) == 5
    assert evaluation.write(model, texts=1, length=40, seed=4) == texts[3:4]
    shorter = evaluation.write(model, texts=5, length=10, seed=1)
    for text, begun in zip(texts, shorter, strict=True):
        assert text.text.startswith(begun.text.rstrip("\ufffd"))  # of a character cut short
        assert not begun.ended or begun == text


class Recited(list[int]):
    """A generation that is known beforehand."""

    finish_reason = "length"


class Reciter:
    """A model that writes the delimiter out, as those do that gpt-2-simple trained."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def submit(self, prompt: Sequence[int], *, seed: int, **_: object) -> Recited:
        assert prompt == [self.tokenizer.end_of_text]
        texts = ["A frog.\n<|endoftext|>\nAnother", "A frog.\n<|endo"]
        return Recited(self.tokenizer.encode(texts[seed]))


def test_the_delimiter_written_out_ends_a_text(tiny_checkpoint: Path) -> None:
    texts = evaluation.write(Reciter(Tokenizer.load(tiny_checkpoint)), texts=2, length=99, seed=0)
    assert texts == [("A frog.\n", True), ("A frog.\n<|endo", False)]


def test_the_share_copied_is_counted_in_characters(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(40)]
    corpus, path = tmp_path / "train.txt", tmp_path / "train.txt.copies"
    write_documents([" ".join(words)], corpus)
    build(corpus, path)
    index = CopyIndex.open(path)
    copy, own = " ".join(words[:20]), " ".join(f"own{n}" for n in range(30))
    assert evaluation.copied([own], index) == 0
    assert evaluation.copied([copy], index) == 1
    both = [f"{copy} {own}", own]
    assert evaluation.copied(both, index) == pytest.approx(len(copy) / sum(map(len, both)))
    assert evaluation.copied(["", " ".join(words[:11])], index) == 0
