"""measures: which token is predicted from what, and what is counted in texts."""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from corpus.copies import CopyIndex, build
from corpus.documents import write_documents
from engine import Checkpoint, HParams, Model, write_huggingface
from training import measures
from training.evaluation import Written

N_VOCAB, END, NEVER = 130, 128, 129
CHANCES = np.random.default_rng(0).dirichlet(np.ones(N_VOCAB), N_VOCAB)  # after each token


class Characters:
    """Each character is a token."""

    end_of_text = END

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


class Bigrams:
    """A model that looks at one token alone, and knows nothing where it has read too few."""

    tokenizer = Characters()

    def __init__(self, n_ctx: int, needed: int) -> None:
        self.hparams = HParams(n_vocab=N_VOCAB, n_ctx=n_ctx, n_embd=1, n_head=1, n_layer=1)
        self._needed = needed

    def logits(self, tokens: Sequence[int]) -> memoryview:
        assert 1 <= len(tokens) <= self.hparams.n_ctx
        assert END not in tokens[1:]
        logits = np.log(CHANCES[tokens]).astype(np.float32)
        if tokens[0] != END:  # the window begins in the middle
            logits[: self._needed - 1, NEVER] = 1e6
        return memoryview(logits)


TEXTS = st.lists(st.text(st.characters(codec="ascii"), max_size=60), min_size=1, max_size=5)


@given(TEXTS, st.integers(1, 20), st.data())
def test_each_token_is_predicted_once_from_enough_before_it(
    texts: list[str], n_ctx: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, n_ctx))
    model = Bigrams(n_ctx, needed=n_ctx - stride + 1)
    predicted = measures.predict(model, texts, stride=stride)
    nats = 0.0
    for text in texts:
        tokens = [END, *map(ord, text), END]
        nats -= sum(log(CHANCES[before, after]) for before, after in pairwise(tokens))
    assert predicted.tokens == sum(len(text) + 1 for text in texts)
    assert predicted.nats == pytest.approx(nats, rel=1e-5)
    assert predicted.bytes == sum(map(len, texts))


def test_perplexity_is_of_a_token_and_bits_are_of_a_byte() -> None:
    predicted = measures.Prediction(nats=6 * log(8), tokens=6, bytes=9)
    assert predicted.perplexity == pytest.approx(8)
    assert predicted.bits_per_byte == pytest.approx(2)


@pytest.mark.parametrize("stride", [256, 100, 7])
def test_perplexity_is_that_of_transformers(
    tiny_checkpoint: Path, tmp_path: Path, stride: int
) -> None:
    """A sliding window as its documentation describes it (perplexity of fixed-length models)."""
    texts = ["Wren and Fizzlet walk along the harbor while it rains. " * 25, "Où? Grumbit doesn't."]
    write_huggingface(Checkpoint(tiny_checkpoint), tmp_path / "hf")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    losses: list[float] = []
    for text in texts:
        ids = torch.tensor([tokenizer(f"<|endoftext|>{text}<|endoftext|>").input_ids])
        end = 1
        for begin in range(0, ids.shape[1], stride):
            before, end = end, min(begin + 256 + 1, ids.shape[1])
            with torch.no_grad():
                logits = theirs(ids[:, begin : end - 1]).logits[0].double()
            wanted = ids[0, begin + 1 : end]
            window = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
            losses += window[before - begin - 1 :].tolist()
            if end == ids.shape[1]:
                break
    model = Model.load(tiny_checkpoint, weights="f32")
    ours = measures.predict(model, texts, stride=stride)
    assert ours.tokens == len(losses) > 600
    assert ours.perplexity == pytest.approx(exp(sum(losses) / len(losses)), rel=1e-5)
    bits = sum(losses) / log(2) / sum(len(text.encode()) for text in texts)
    assert ours.bits_per_byte == pytest.approx(bits, rel=1e-5)


def test_distinct_n_counts_over_all_texts() -> None:
    texts = ["A cat. A dog!", "the cat"]  # a cat a dog, the cat
    assert measures.distinct(texts, 1) == pytest.approx(4 / 6)
    assert measures.distinct(texts, 2) == pytest.approx(4 / 4)  # none across two texts
    assert measures.distinct([*texts, "a cat"], 2) == pytest.approx(4 / 5)
    assert measures.distinct(texts, 3) == pytest.approx(2 / 2)
    assert measures.distinct(texts, 5) is None


def test_repetition_is_counted_within_a_text() -> None:
    loop = "round and round and round and round"  # four 4-grams, two of them different
    assert measures.repetition([loop]) == pytest.approx(1 / 2)
    once = "one frog sat on a log"
    assert measures.repetition([once, once]) == 0
    assert measures.repetition([loop, once, "too short"]) == pytest.approx(1 / 4)
    assert measures.repetition(["too short", ""]) is None


def test_texts_are_described(tmp_path: Path) -> None:
    corpus = tmp_path / "train.txt"
    known = " ".join(f"word{n}" for n in range(12))
    write_documents([known], corpus)
    build(corpus, tmp_path / "index")
    written = [Written(known, ended=True), Written("own " * 4, ended=False)]
    assert measures.describe(written, CopyIndex.open(tmp_path / "index")) == measures.Writing(
        copied=len(known) / (len(known) + 16),
        distinct_1=13 / 16,
        distinct_2=12 / 14,
        distinct_3=11 / 12,
        repetition=0,
        words=8,
        ended=0.5,
    )
    nothing = measures.describe([Written("", ended=True)], None)
    assert nothing == measures.Writing(None, None, None, None, None, words=0, ended=1)
