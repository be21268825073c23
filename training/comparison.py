"""Models side by side: how well they predict the same texts, and what they write."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from corpus import copies
from corpus.copies import CopyIndex
from engine import Model, Weights, open_source
from training import evaluation, measures
from training.errors import TrainingError
from training.evaluation import SAMPLING
from training.measures import Prediction, Writing

LENGTH = 400
"""Tokens of a text at most, the service's default."""
FIRST_SEED = 1


@dataclass(frozen=True)
class Measured:
    """All that is known of one model."""

    checkpoint: str
    """As the user named it."""
    identity: str
    n_ctx: int
    stride: int
    prediction: Prediction
    writing: Writing | None
    """None where it was not asked to write."""


def stride_of(path: Path, asked: int | None) -> int:
    """The stride asked for, or half of the model's context.

    Raises TrainingError where it is longer than that, CheckpointError for a broken model.
    """
    n_ctx = open_source(path).hparams.n_ctx
    if asked is not None and asked > n_ctx:
        raise TrainingError(f"--stride {asked}: the context of {path} has {n_ctx:,} tokens")
    return asked or max(1, n_ctx // 2)


def measure(
    name: str, path: Path, texts: Sequence[str], *, stride: int, weights: Weights, writes: int
) -> Measured:
    """Measure one model, with progress bars.

    Args:
        name: what to call it.
        writes: how many texts it is to write; 0: none.

    Raises:
        CheckpointError, CorpusError: the model, or its copy index, is broken.
        MemoryError: it does not fit.
    """
    beside = path / copies.IN_CHECKPOINT
    index = CopyIndex.open(beside) if beside.is_file() else None
    model = Model.load(path, weights=weights)
    reading = partial(tqdm, desc=f"{name} reads", unit="window")
    prediction = measures.predict(model, texts, stride=stride, progress=reading)
    writing = None
    if writes:
        written = evaluation.write(
            model,
            texts=writes,
            length=LENGTH,
            seed=FIRST_SEED,
            progress=partial(tqdm, desc=f"{name} writes", unit="token", total=LENGTH),
        )
        writing = measures.describe(written, index)
    measured = Measured(name, model.identity, model.hparams.n_ctx, stride, prediction, writing)
    model.close()
    return measured


def table(models: Sequence[Measured]) -> str:
    """A column a model, in Markdown."""

    def row(name: str, told: Callable[[Measured], str]) -> list[str]:
        return [name, *map(told, models)]

    def written(name: str, told: Callable[[Writing], float | None], form: str) -> list[str]:
        return row(name, lambda m: _number(told(m.writing) if m.writing else None, form))

    rows = [
        row("", lambda m: m.checkpoint),
        row("perplexity", lambda m: f"{m.prediction.perplexity:,.2f}"),
        row("bits per byte", lambda m: f"{m.prediction.bits_per_byte:.3f}"),
        row("tokens predicted", lambda m: f"{m.prediction.tokens:,}"),
        row("context, stride", lambda m: f"{m.n_ctx:,}, {m.stride:,}"),
    ]
    if any(model.writing for model in models):
        rows += [
            written("copied", lambda w: w.copied, ".1%"),
            written("distinct-1", lambda w: w.distinct_1, ".3f"),
            written("distinct-2", lambda w: w.distinct_2, ".3f"),
            written("distinct-3", lambda w: w.distinct_3, ".3f"),
            written("repetition", lambda w: w.repetition, ".1%"),
            written("words a text", lambda w: w.words, ",.1f"),
            written("ended by themselves", lambda w: w.ended, ".1%"),
        ]
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its head, the first column names the others."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
    lines = []
    for name, *cells in (rows[0], rule, *rows[1:]):
        right = (cell.rjust(width) for cell, width in zip(cells, others, strict=True))
        lines.append(f"| {' | '.join([name.ljust(first), *right])} |\n")
    return "".join(lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def to_json(models: Sequence[Measured], *, text: Path, documents: int, weights: Weights) -> str:
    """All that was measured, and how."""
    sampling = asdict(SAMPLING) | {"length": LENGTH, "first_seed": FIRST_SEED}
    measured = [
        {
            "checkpoint": model.checkpoint,
            "identity": model.identity,
            "n_ctx": model.n_ctx,
            "stride": model.stride,
            "perplexity": model.prediction.perplexity,
            "bits_per_byte": model.prediction.bits_per_byte,
            **asdict(model.prediction),
            **(asdict(model.writing) if model.writing else {}),
        }
        for model in models
    ]
    about = {"text": str(text), "documents": documents, "weights": weights, "sampling": sampling}
    return json.dumps(about | {"models": measured}, indent=2) + "\n"
