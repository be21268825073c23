"""What an engine of training is, whatever computes it, and how its tensors lie on disk.

Both engines keep their weights and Adam's moments under TensorFlow's names, so either reads what
the other has saved.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine import CheckpointError, HParams, Source
from engine.bundle import Bundle
from engine.bundle_writer import Tensor, write_bundle
from engine.checkpoint import tensors
from training.dataset import Tokens
from training.errors import TrainingError

Array = npt.NDArray[np.float32]

CLIP_NORM = 1.0  # of the global gradient norm, as in GPT-3 (Brown et al. 2020, appendix B)
BETAS = 0.9, 0.999  # Adam's, as in gpt-2-simple
EPSILON = 1e-8
MOMENTS = "/Adam", "/Adam_1"
"""What the names of Adam's first and second moments add to the weight's, as in TensorFlow."""
MOMENTUM = "/Momentum"
"""The same of Muon's only one."""
OVERFLOWED = "the loss has become infinite; go on from the last save with a lower --learning-rate"


class Trainer(Protocol):
    """One GPT-2 under training: its weights, its gradients and the optimiser's moments."""

    @property
    def hparams(self) -> HParams: ...

    def moments(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        """The names and shapes of what the optimiser keeps of the weights."""
        ...

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        """One step on the mean gradient of the batches; returns their mean loss before it.

        Raises:
            TrainingError: loss or gradient overflowed; the weights are lost.
        """
        ...

    def losses(self, batch: Tokens) -> Array:
        """Cross-entropy in nats of each predicted token: (B, T - 1) of a batch (B, T)."""
        ...

    def get(self, name: str) -> Array:
        """A weight, or a moment of one."""
        ...

    def put(self, name: str, value: Array) -> None:
        """Replaces a weight or a moment."""
        ...

    def resume(self, step: int) -> None:
        """Goes on as after so many steps: Adam corrects its moments by their number."""
        ...

    def close(self) -> None:
        """Frees the memory."""
        ...


def shares(
    batches: Iterable[Tokens], most_tokens: int | None, process: int = 0, processes: int = 1
) -> list[tuple[Tokens, float]]:
    """What a process computes of a step: parts of its batches, each with its share of their mean.

    However a step is cut, by processes or for want of memory, the shares in all add up to 1 and
    every window counts as much as before.

    Args:
        most_tokens: of a part, but for one that is a single window; None: batches stay whole.
    """
    all_batches = list(batches)
    windows = sum(map(len, all_batches))
    first, end = (windows * number // processes for number in (process, process + 1))
    parts = []
    for batch in all_batches:
        mine = batch[max(0, first) : max(0, end)]
        first, end = first - len(batch), end - len(batch)
        most = max(1, most_tokens // batch.shape[1]) if most_tokens else len(batch)
        for at in range(0, len(mine), most):
            part = mine[at : at + most]
            parts.append((part, len(part) / len(batch) / len(all_batches)))
    return parts


def save_weights(trainer: Trainer, prefix: Path) -> None:
    """Writes <prefix>.index and <prefix>.data-00000-of-00001, each whole or not at all.

    Raises:
        TrainingError: the folder cannot be written or the disk is full.
    """
    _save(trainer, prefix, tensors(trainer.hparams))


def save_state(trainer: Trainer, prefix: Path) -> None:
    """Writes weights and moments, all that the next step depends on. Raises as `save_weights`."""
    _save(trainer, prefix, _state(trainer))


def load_weights(trainer: Trainer, source: Source) -> None:
    """Reads the weights of a model; the optimiser begins anew.

    Raises:
        CheckpointError: they cannot be read.
    """
    for (name, shape), data in zip(tensors(trainer.hparams), source.read_tensors(), strict=True):
        trainer.put(name, np.frombuffer(data, "<f4").reshape(shape))


def load_state(trainer: Trainer, prefix: Path, step: int) -> None:
    """Reads what `save_state` has written after so many steps.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        bundle = Bundle(prefix)
        for name, shape in _state(trainer):
            data = bundle.read(name, bundle.find(name, shape))
            trainer.put(name, np.frombuffer(data, "<f4").reshape(shape))
    except CheckpointError as error:
        raise TrainingError(
            f"the state {prefix} cannot be read, by this --optimizer at least: {error}"
        ) from error
    trainer.resume(step)


def _state(trainer: Trainer) -> Iterable[tuple[str, tuple[int, ...]]]:
    return chain(tensors(trainer.hparams), trainer.moments())


def _save(trainer: Trainer, prefix: Path, names: Iterable[tuple[str, tuple[int, ...]]]) -> None:
    def read() -> Iterator[Tensor]:
        for name, shape in names:
            yield Tensor(name, shape, bytearray(trainer.get(name).astype("<f4").tobytes()))

    try:
        write_bundle(prefix, read())
    except OSError as error:
        raise TrainingError(f"{prefix} cannot be saved: {error.strerror}") from error
