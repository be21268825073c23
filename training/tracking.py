"""Where the measurements of a run go: metrics.jsonl, TensorBoard and, if wanted, MLflow."""

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from training.metrics import Evaluation, Metrics, Step
from training.mlflow_run import MlflowRun, Point
from training.tensorboard import EventFile

_EVENTS = "tensorboard"
_MLFLOW_PACKAGE = "mlflow-skinny==3.17.2"
_MLFLOW_EVERY = 10  # steps


class Tracker:
    """The measurements of a run, told to whoever follows it.

    TensorBoard reads ``<run>/tensorboard``, which is written anew from metrics.jsonl at each start:
    it shows no step twice and none that was lost. Where MLFLOW_TRACKING_URI is set, the run is
    tracked there (see `mlflow_run`).
    """

    def __init__(
        self, run: Path, start: int, parameters: Mapping[str, object], say: Callable[[str], None]
    ) -> None:
        """Goes on after step start.

        Args:
            parameters: how the run is trained, for MLflow.
            say: is told, once, what is wrong with MLflow.

        Raises:
            OSError: the folder cannot be written.
        """
        self.metrics = Metrics(run, start)
        self._say = say
        self._told = False  # of trouble with MLflow
        # A run's time is that of its training: without its interruptions.
        self._origin = time.time() - self.metrics.seconds
        self._last = Step(0, 0.0, 0.0, 0.0, 0)
        self._points: list[Point] = []
        self._events = EventFile(run / _EVENTS)
        for measured in self.metrics.in_order():
            self._pass_on(measured)
        self._mlflow = self._open_mlflow(run, start, parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        if self._mlflow:
            self._mlflow.close("FAILED" if kind else "FINISHED")
            self._tell_trouble(self._mlflow)

    def add(self, measured: Step | Evaluation) -> None:
        """Takes a step or an evaluation. Raises OSError."""
        self.metrics.add(measured)
        self._pass_on(measured)
        if self._mlflow:
            self._mlflow.update()
            self._tell_trouble(self._mlflow)

    def _pass_on(self, measured: Step | Evaluation) -> None:
        texts = {}
        if isinstance(measured, Step):
            scalars = _of_step(measured, self._last)
            self._last = measured
        else:
            scalars = _of_evaluation(measured)
            # In Markdown, in which two spaces keep the end of a line.
            texts["text"] = measured.text.replace("\n", "  \n")
        point = Point(self._origin + self._last.seconds, measured.step, scalars)
        self._events.add(point.time, point.step, scalars, texts)
        if isinstance(measured, Evaluation) or measured.step % _MLFLOW_EVERY == 0:
            self._points.append(point)

    def _open_mlflow(
        self, run: Path, start: int, parameters: Mapping[str, object]
    ) -> MlflowRun | None:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        if not importlib.util.find_spec("mlflow"):
            self._say(
                "Warning: MLFLOW_TRACKING_URI is set, but MLflow is not installed, so this start "
                f"is not tracked: pip install {_MLFLOW_PACKAGE}"
            )
            return None
        return MlflowRun(run, start, parameters, self._points)

    def _tell_trouble(self, mlflow: MlflowRun) -> None:
        if not self._told and (trouble := mlflow.trouble):
            self._told = True
            with tqdm.external_write_mode():
                self._say(
                    f"Warning: MLflow does not take what is measured ({trouble}). Training goes "
                    "on; MLflow gets what it lacks as soon as it does, or when the run goes on."
                )


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
