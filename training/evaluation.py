"""How good weights are: on documents held out, and in what they write."""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from corpus.copies import CopyIndex
from engine import END_OF_TEXT, Model, Sampling
from engine.checkpoint import MODEL_FILES
from training.dataset import Encoder, Tokens
from training.trainer import Trainer, save_weights

SAMPLING = Sampling(temperature=0.7, top_k=40)
"""The service's default."""

_MOST_TOKENS = 1 << 16  # of documents held out: more would take too long beside training
_TEXTS = 8
_LENGTH = 200  # tokens of each

_Step = tuple[int | None, ...]


class Written(NamedTuple):
    """A text that a model has written."""

    text: str
    ended: bool
    """By itself, and not for want of tokens."""


@dataclass(frozen=True)
class HeldOut:
    """Documents held out, as the windows that a model predicts each of their tokens in.

    A document stands alone: its first token is predicted from ``<|endoftext|>``, and that is
    predicted at its end, as when the service writes. One that is longer than the context goes on in
    a window that begins with the last token of the one before.
    """

    windows: tuple[Tokens, ...]
    tokens: int
    """That are predicted."""
    bytes: int
    """Of the documents' texts in UTF-8."""

    @classmethod
    def encode(cls, documents: Iterable[str], encoder: Encoder, n_ctx: int) -> "HeldOut":
        """Encodes documents; of many, some that are spread evenly over all."""
        encoded = [(encoder.encode(text), len(text.encode())) for text in documents]
        total = sum(len(ids) + 1 for ids, _ in encoded)
        chosen = encoded[:: max(1, math.ceil(total / _MOST_TOKENS))]
        end = encoder.end_of_text
        windows = []
        for ids, _ in chosen:
            tokens = np.array([end, *ids, end], np.int32)
            windows += [tokens[at : at + n_ctx] for at in range(0, len(tokens) - 1, n_ctx - 1)]
        return cls(
            tuple(windows),
            sum(len(window) - 1 for window in windows),
            sum(size for _, size in chosen),
        )

    def loss(self, trainer: Trainer) -> float:
        """Mean cross-entropy in nats a token."""
        total = 0.0
        for windows in self._batches(trainer.hparams.n_ctx):
            longest = max(map(len, windows))
            # What fills a window up is behind what is measured, where GPT-2 cannot see it.
            batch = np.stack([np.pad(window, (0, longest - len(window))) for window in windows])
            losses = trainer.losses(batch)
            total += sum(
                float(row[: len(window) - 1].sum(dtype=np.float64))
                for row, window in zip(losses, windows, strict=True)
            )
        return total / self.tokens

    def bits_per_byte(self, loss: float) -> float:
        """A mean loss as bits for each byte of text, which compares across vocabularies."""
        return loss * self.tokens / math.log(2) / self.bytes

    def _batches(self, n_ctx: int) -> Iterator[list[Tokens]]:
        """Windows of about the same length, as many as fill a window of the model's."""
        batch: list[Tokens] = []
        for window in sorted(self.windows, key=len):
            if batch and len(window) * (len(batch) + 1) > n_ctx:
                yield batch
                batch = []
            batch.append(window)
        if batch:
            yield batch


def write_texts(trainer: Trainer, run: Path, seed: int) -> list[str]:
    """Texts that the weights of a run under training write.

    Raises:
        TrainingError, CheckpointError: the weights cannot be saved, or hold NaN.
    """
    with tempfile.TemporaryDirectory(prefix=".written-", dir=run) as folder:
        save_weights(trainer, Path(folder, "model-0"))
        for name in MODEL_FILES:
            shutil.copyfile(run / name, Path(folder, name))
        model = Model.load(folder)
    length = min(_LENGTH, model.hparams.n_ctx - 1)
    texts = [written.text for written in write(model, texts=_TEXTS, length=length, seed=seed)]
    model.close()
    return texts


def write(
    model: Model,
    *,
    texts: int,
    length: int,
    seed: int,
    progress: Callable[[Iterable[_Step]], Iterable[_Step]] = iter,
) -> list[Written]:
    """What a model writes of itself, one text for each seed from `seed` on.

    As the service's default asks for it, but without the service's gate.

    Args:
        length: tokens of each text at most.
        progress: wraps the iteration over the steps, which advance all texts by a token.
    """
    prompt = [model.tokenizer.end_of_text]
    generations = [
        model.submit(prompt, length=length, sampling=SAMPLING, seed=seed + number)
        for number in range(texts)
    ]
    tokens: list[list[int]] = [[] for _ in generations]
    for step in progress(zip_longest(*generations)):
        for written, token in zip(tokens, step, strict=True):
            if token is not None:
                written.append(token)
    return [
        _written(model.tokenizer.decode(written), stopped=generation.finish_reason == "stop")
        for written, generation in zip(tokens, generations, strict=True)
    ]


def _written(data: bytes, *, stopped: bool) -> Written:
    # A model that gpt-2-simple trained elsewhere writes the delimiter out.
    text, delimiter, _ = data.decode("utf-8", "replace").partition(END_OF_TEXT)
    return Written(text, stopped or bool(delimiter))


def copied(texts: Iterable[str], index: CopyIndex) -> float:
    """The share of texts, by their characters, that is copied from the corpus (`corpus.copies`)."""
    characters = copies = 0
    for text in texts:
        characters += len(text)
        end = 0
        for copy in index.find(text):
            copies += copy.end - max(end, copy.start)
            end = copy.end
    return copies / max(1, characters)
