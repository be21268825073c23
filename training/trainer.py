"""What an engine of training is, whatever computes it, and how its tensors lie on disk.

Both engines keep their weights and Adam's moments under TensorFlow's names, so either reads what
the other has saved.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine import CheckpointError, HParams
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
OVERFLOWED = "the loss has become infinite; go on from the last save with a lower --learning-rate"


class Trainer(Protocol):
    """One GPT-2 under training: its weights, its gradients and Adam's moments."""

    @property
    def hparams(self) -> HParams: ...

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        """One step of Adam on the mean gradient of the batches; returns their mean loss before it.

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
        """Adam goes on as after so many steps: it corrects its moments by their number."""
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


def save_weights(trainer: Trainer, prefix: Path, *, rounded: bool = False) -> None:
    """Writes <prefix>.index and <prefix>.data-00000-of-00001, each whole or not at all.

    rounded: to bfloat16's 8 significant bits; they stay float32 tensors.

    Raises:
        TrainingError: the folder cannot be written or the disk is full.
    """
    _save(trainer, prefix, tensors(trainer.hparams), rounded)


def save_state(trainer: Trainer, prefix: Path) -> None:
    """Writes weights and moments, all that the next step depends on. Raises as `save_weights`."""
    _save(trainer, prefix, _state(trainer.hparams), rounded=False)


def load_weights(trainer: Trainer, prefix: Path) -> None:
    """Reads the weights of a checkpoint; Adam begins anew.

    Raises:
        TrainingError: they cannot be read.
    """
    _load(trainer, prefix, tensors(trainer.hparams))


def load_state(trainer: Trainer, prefix: Path, step: int) -> None:
    """Reads what `save_state` has written after so many steps. Raises as `load_weights`."""
    _load(trainer, prefix, _state(trainer.hparams))
    trainer.resume(step)


def _state(hp: HParams) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, shape in tensors(hp):
        for suffix in ("", *MOMENTS):
            yield name + suffix, shape


def _save(
    trainer: Trainer,
    prefix: Path,
    names: Iterable[tuple[str, tuple[int, ...]]],
    rounded: bool,
) -> None:
    def read() -> Iterator[Tensor]:
        for name, shape in names:
            value = trainer.get(name)
            data = bytearray((_bfloat16(value) if rounded else value).astype("<f4").tobytes())
            yield Tensor(name, shape, data)

    try:
        write_bundle(prefix, read())
    except OSError as error:
        raise TrainingError(f"{prefix} cannot be saved: {error.strerror}") from error


def _load(trainer: Trainer, prefix: Path, names: Iterable[tuple[str, tuple[int, ...]]]) -> None:
    try:
        bundle = Bundle(prefix)
        for name, shape in names:
            data = bundle.read(name, bundle.find(name, shape))
            trainer.put(name, np.frombuffer(data, "<f4").reshape(shape))
    except CheckpointError as error:
        raise TrainingError(f"the weights {prefix} cannot be read: {error}") from error


def _bfloat16(value: Array) -> Array:
    """Rounded to the nearest, ties to even."""
    bits = value.view(np.uint32)
    rounded: Array = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    return rounded
