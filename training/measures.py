"""How good a finished model is: how well it predicts texts, and what it writes.

`evaluation` looks at weights beside training, where time counts; this is the careful look.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from corpus.copies import CopyIndex, words
from engine import HParams
from training.dataset import Encoder, Tokens
from training.evaluation import Written, copied

_ROWS = 64  # of logits at once in float64: a window of GPT-2's vocabulary would take 412 MB
_REPEATED = 4  # words


class Predictor(Protocol):
    """What this module needs of engine.Model."""

    @property
    def hparams(self) -> HParams: ...

    @property
    def tokenizer(self) -> Encoder: ...

    def logits(self, tokens: Sequence[int], /) -> "memoryview[float]": ...


class Window(NamedTuple):
    """Tokens of one document that a model reads at once: all but the last one are its input."""

    tokens: Tokens
    predicted: int
    """How many of the last ones are predicted; those before are only read."""


@dataclass(frozen=True)
class Prediction:
    """How well a model predicts texts."""

    nats: float
    """Cross-entropy, summed up over the tokens."""
    tokens: int
    """Predicted ones: all of the texts, and the end of each."""
    bytes: int
    """Of the texts in UTF-8."""

    @property
    def perplexity(self) -> float:
        """Of a token."""
        return math.exp(self.nats / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Compares across vocabularies, as perplexity does not."""
        return self.nats / math.log(2) / self.bytes


def predict(
    model: Predictor,
    texts: Sequence[str],
    *,
    stride: int,
    progress: Callable[[Sequence[Window]], Iterable[Window]] = iter,
) -> Prediction:
    """Predict each token of each text once, in a window that slides by a stride.

    A text stands alone: its first token is predicted from ``<|endoftext|>``, and that is predicted
    at its end, as when the service writes. Each token is predicted from more than n_ctx - stride
    tokens before it, where the text has so many. A stride of n_ctx cuts a text into windows that
    do not overlap, which is fastest and says the worst of the model.

    Args:
        stride: 1 to the model's n_ctx.
        progress: wraps the iteration over the windows.
    """
    end = model.tokenizer.end_of_text
    windows: list[Window] = []
    for text in texts:
        tokens = np.array([end, *model.tokenizer.encode(text), end], np.int32)
        windows += _windows(tokens, model.hparams.n_ctx, stride)
    nats = 0.0
    for window in progress(windows):
        logits = np.asarray(model.logits(window.tokens[:-1].tolist()))
        nats += _nats(logits[-window.predicted :], window.tokens[-window.predicted :])
    return Prediction(
        nats,
        sum(window.predicted for window in windows),
        sum(len(text.encode()) for text in texts),
    )


def _windows(tokens: Tokens, n_ctx: int, stride: int) -> Iterator[Window]:
    """The windows of a document whose tokens begin and end with ``<|endoftext|>``."""
    done, inputs = 0, len(tokens) - 1
    for begin in range(0, inputs, stride):
        last = min(begin + n_ctx, inputs)
        yield Window(tokens[begin : last + 1], last - done)
        if last == inputs:
            return
        done = last


def _nats(logits: npt.NDArray[np.float32], wanted: Tokens) -> float:
    """Cross-entropy of the tokens that were to be predicted."""
    total = 0.0
    for at in range(0, len(wanted), _ROWS):
        rows = logits[at : at + _ROWS].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        right = rows[np.arange(len(rows)), wanted[at : at + _ROWS]]
        total += float((np.log(np.exp(rows).sum(axis=1)) - right).sum())
    return total


@dataclass(frozen=True)
class Writing:
    """What the texts that a model has written are like; None where there is nothing to count."""

    copied: float | None
    """Share of the characters that is copied from the corpus."""
    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    repetition: float | None
    words: float
    """Of a text, on average."""
    ended: float
    """Share of the texts that ended by themselves."""


def describe(written: Sequence[Written], index: CopyIndex | None) -> Writing:
    """Measure texts, at least one.

    index: the corpus's, where it is known.

    Raises CorpusError if it finds the index damaged.
    """
    texts = [text for text, _ in written]
    return Writing(
        copied=copied(texts, index) if index else None,
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        distinct_3=distinct(texts, 3),
        repetition=repetition(texts),
        words=sum(len(words(text)) for text in texts) / len(texts),
        ended=sum(ended for _, ended in written) / len(written),
    )


def distinct(texts: Iterable[str], n: int) -> float | None:
    """distinct-n: the different n-grams of words over all n-grams, of all texts together.

    After Li et al. 2016 (https://arxiv.org/abs/1510.03055), who divide by the words. The more
    is written, the lower it is: compare as much with as much.
    """
    return _different(chain.from_iterable(_ngrams(text, n) for text in texts))


def repetition(texts: Iterable[str]) -> float | None:
    """Share of a text's 4-grams of words that stood in it before, on average over the texts.

    seq-rep-4 of Welleck et al. 2020 (https://arxiv.org/abs/1908.04319), in words instead of
    tokens, so that it compares across vocabularies. Texts of fewer words do not count.
    """
    shares = [_different(_ngrams(text, _REPEATED)) for text in texts]
    repeated = [1 - share for share in shares if share is not None]
    return sum(repeated) / len(repeated) if repeated else None


def _ngrams(text: str, n: int) -> Iterable[tuple[str, ...]]:
    """Runs of n words; case makes no difference."""
    folded = words(text.casefold())
    return zip(*(folded[start:] for start in range(n)), strict=False)


def _different(ngrams: Iterable[tuple[str, ...]]) -> float | None:
    """Share of n-grams that are different ones."""
    found = list(ngrams)
    return len(set(found)) / len(found) if found else None
