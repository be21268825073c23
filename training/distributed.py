"""One run on several processes, for several GPUs or machines, as torchrun starts them.

Process 0 trains as if it were alone: it reads, prints, evaluates and saves, and decides when to
stop. The others do what its trainer is told, on a trainer of their own with the same weights. So
files are needed on its machine alone, and whatever ends it ends all after the same step.

Of each step's windows every process takes its share (`PyTorch.step`), and DistributedDataParallel
sums up the gradients while they are computed. Each process holds all of the model, so that process
0 saves and evaluates it without asking anybody. FSDP, which divides it, is for models that one GPU
is too small for; 1558M, GPT-2's largest, takes 25 GB of weights, gradients and moments.

Importing this module imports PyTorch, which takes seconds.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from engine import HParams
from training.dataset import Tokens
from training.errors import TrainingError
from training.pytorch import PyTorch
from training.trainer import Array

_OPEN = "open"


def lead(main: Callable[[], int]) -> int:
    """Run main in process 0; the others help its trainers until it ends. Returns the exit code."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    # Others wait while process 0 evaluates or downloads. torchrun notices who has died.
    dist.init_process_group(backend, timeout=timedelta(days=1))
    try:
        if dist.get_rank():
            _help()
            return 0
        try:
            return main()
        finally:
            _broadcast()
    finally:
        dist.destroy_process_group()


class Distributed:
    """A `PyTorch` in each process, told by process 0 (see `trainer.Trainer`)."""

    def __init__(self, hparams: HParams, **options: Any) -> None:
        self.hparams = hparams
        _broadcast((_OPEN, (hparams,), options))
        self._mine = PyTorch(hparams, **options)

    def moments(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        return self._mine.moments()

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        loss: float = self._all("step", list(batches), learning_rate)
        return loss

    def losses(self, batch: Tokens) -> Array:
        return self._mine.losses(batch)

    def get(self, name: str) -> Array:
        return self._mine.get(name)

    def put(self, name: str, value: Array) -> None:
        self._all("put", name, value)

    def resume(self, step: int) -> None:
        self._all("resume", step)

    def close(self) -> None:
        self._all("close")

    def _all(self, method: str, *arguments: object) -> Any:
        _broadcast((method, arguments, {}))
        return getattr(self._mine, method)(*arguments)


_Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def _help() -> None:
    """Do what process 0 tells, until it has nothing more to tell."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # process 0 decides, and torchrun tells it, too
    while call := _broadcast():
        method, arguments, options = call
        if method == _OPEN:
            trainer = PyTorch(*arguments, **options)
        else:
            with suppress(TrainingError):  # which process 0 meets, too
                getattr(trainer, method)(*arguments)


def _broadcast(call: _Call | None = None) -> _Call | None:
    """What process 0 gives, in all processes."""
    calls = [call]
    dist.broadcast_object_list(calls, device=torch.device("cpu"))
    return calls[0]
