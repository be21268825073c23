"""What quantisation costs in quality: perplexity on held-out text, Q8_0 against float32."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.documents import read_documents, read_texts
from corpus.preparation import prepare
from engine import Model, Weights


@dataclass(frozen=True)
class Quality:
    """How well a model predicts a text."""

    perplexity: float
    """Per token."""
    bits_per_byte: float
    tokens: int
    """Predicted ones: all of the text, and the end of each document."""


def held_out(corpus: Path) -> list[str]:
    """The documents of a corpus folder that `prepare_corpus.py` holds out by default."""
    with tempfile.TemporaryDirectory() as folder:
        valid = Path(folder, "valid.txt")
        prepare(read_texts(corpus), Path(folder, "train.txt"), valid)
        return list(read_documents(valid))


def evaluate(checkpoint: Path, texts: Sequence[str], weights: Weights, threads: int) -> Quality:
    """Each document is read from its beginning, in windows of n_ctx tokens, as in training.

    Raises CheckpointError.
    """
    model = Model.load(checkpoint, weights=weights, threads=threads)
    end, n_ctx = model.tokenizer.end_of_text, model.hparams.n_ctx
    nats, predicted = 0.0, 0
    for text in texts:
        tokens = [end, *model.tokenizer.encode(text), end]
        for i in range(0, len(tokens) - 1, n_ctx):
            window = tokens[i : i + n_ctx + 1]
            logits = np.asarray(model.logits(window[:-1]), dtype=np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            wanted = logits[np.arange(len(logits)), window[1:]]
            nats += float((np.log(np.exp(logits).sum(axis=1)) - wanted).sum())
            predicted += len(logits)
    model.close()
    size = sum(len(text.encode()) for text in texts)
    return Quality(math.exp(nats / predicted), nats / math.log(2) / size, predicted)
