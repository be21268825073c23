"""Where the measurements of a run go: metrics.jsonl and TensorBoard."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from training.metrics import Evaluation, Metrics, Step
from training.tensorboard import EventFile

_EVENTS = "tensorboard"


class Tracker:
    """The measurements of a run, told to whoever follows it.

    TensorBoard reads ``<run>/tensorboard``, which is written anew from metrics.jsonl at each start:
    it shows no step twice and none that was lost.
    """

    def __init__(self, run: Path, start: int) -> None:
        """Goes on after step start. Raises OSError."""
        self.metrics = Metrics(run, start)
        # A run's time is that of its training: without its interruptions.
        self._origin = time.time() - self.metrics.seconds
        self._last = Step(0, 0.0, 0.0, 0.0, 0)
        self._events = EventFile(run / _EVENTS)
        kept: list[Step | Evaluation] = [*self.metrics.steps, *self.metrics.evaluations]
        for measured in sorted(kept, key=lambda measured: measured.step):
            self._pass_on(measured)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()

    def add(self, measured: Step | Evaluation) -> None:
        """Takes a step or an evaluation. Raises OSError."""
        self.metrics.add(measured)
        self._pass_on(measured)

    def _pass_on(self, measured: Step | Evaluation) -> None:
        texts = {}
        if isinstance(measured, Step):
            scalars = _of_step(measured, self._last)
            self._last = measured
        else:
            scalars = _of_evaluation(measured)
            # In Markdown, in which two spaces keep the end of a line.
            texts["text"] = measured.text.replace("\n", "  \n")
        self._events.add(self._origin + self._last.seconds, measured.step, scalars, texts)


def _of_step(step: Step, before: Step) -> dict[str, float]:
    speed = (step.tokens - before.tokens) / max(1e-9, step.seconds - before.seconds)
    return {
        "train/loss": step.loss,
        "train/learning_rate": step.learning_rate,
        "train/tokens_per_second": speed,
    }


def _of_evaluation(evaluation: Evaluation) -> dict[str, float]:
    scalars = {"copied": evaluation.copied}
    if evaluation.valid_loss is not None:
        scalars["valid/loss"] = evaluation.valid_loss
        scalars["valid/perplexity"] = evaluation.perplexity
    if evaluation.bits_per_byte is not None:
        scalars["valid/bits_per_byte"] = evaluation.bits_per_byte
    return scalars
