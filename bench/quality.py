"""What quantisation costs in quality: perplexity on held-out text, Q8_0 against float32."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from corpus.documents import read_documents, read_texts
from corpus.preparation import prepare
from engine import Model, Weights
from training.measures import Prediction, predict


def held_out(corpus: Path) -> list[str]:
    """The documents of a corpus folder that `prepare_corpus.py` holds out by default."""
    with tempfile.TemporaryDirectory() as folder:
        valid = Path(folder, "valid.txt")
        prepare(read_texts(corpus), Path(folder, "train.txt"), valid)
        return list(read_documents(valid))


def evaluate(checkpoint: Path, texts: Sequence[str], weights: Weights, threads: int) -> Prediction:
    """Each document is read from its beginning, in windows of n_ctx tokens, as in training.

    Raises CheckpointError.
    """
    model = Model.load(checkpoint, weights=weights, threads=threads)
    prediction = predict(model, texts, stride=model.hparams.n_ctx)
    model.close()
    return prediction
