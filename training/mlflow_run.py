"""A run as MLflow keeps it, at MLFLOW_TRACKING_URI, in the experiment MLFLOW_EXPERIMENT_NAME.

The run's folder remembers MLflow's id of it, so that what is resumed here goes on there, too. What
the server has already is not sent again; what it could not take is, with what comes next.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from training import report
from training.files import write_text

_ID = "mlflow_run_id"
_EXPERIMENT = "train_gpt2"
_BATCH = 100  # points; a request may have 1000 metrics
_PAUSE = 10.0  # seconds between requests
_GRACE = 10.0  # seconds at the end, for what is still to be sent


@dataclass(frozen=True)
class Point:
    """What was measured at a time, in seconds since 1970."""

    time: float
    step: int
    scalars: Mapping[str, float]


class MlflowRun:
    """What MLflow knows of a run, brought up to date by threads: training never waits for them."""

    def __init__(
        self,
        folder: Path,
        start: int,
        parameters: Mapping[str, object],
        points: Sequence[Point],
    ) -> None:
        """points: what there is to send; it grows."""
        self.trouble: str | None = None
        """What went wrong the last time."""
        self._folder = folder
        self._start = start
        self._parameters = {name: str(value) for name, value in parameters.items()}
        self._points = points
        self._sent = 0  # of the points
        self._has: dict[str, int] = {}  # the last step of each metric that the server had before
        self._reported = 0.0  # the time of the report that the server has
        self._mlflow: Any = None
        self._client: Any = None
        self._id = ""
        self._thread = Thread()  # the last one
        self._next = 0.0  # when to send again, on time.monotonic()'s clock
        # Before MLflow is imported. Who comes back has no need to be patient.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

    def update(self) -> None:
        """Begins to send what is new, unless something was sent just now."""
        if len(self._points) > self._sent and time.monotonic() >= self._next:
            self._begin(None)

    def close(self, status: str) -> None:
        """Sends what is left, but does not wait for long."""
        deadline = time.monotonic() + _GRACE
        if self._thread.is_alive():
            self._thread.join(_GRACE)
        self._begin(status)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self.trouble = "it is slow to answer"

    def _begin(self, status: str | None) -> None:
        if not self._thread.is_alive():
            self._thread = Thread(target=self._try, args=(status,), daemon=True)
            self._thread.start()

    def _try(self, status: str | None) -> None:
        try:
            self._send(status)
        # MLflow lets through what its stores raise; and nothing of it may end training.
        except Exception as error:
            self.trouble = _reason(error)
        finally:
            self._next = time.monotonic() + _PAUSE

    def _send(self, status: str | None) -> None:
        if not self._id:
            import mlflow  # noqa: PLC0415 # takes seconds

            self._mlflow, self._client = mlflow, mlflow.MlflowClient()
            self._id = self._resumed() or self._created()
        while batch := self._points[self._sent : self._sent + _BATCH]:
            metrics = [
                self._mlflow.entities.Metric(name, value, int(point.time * 1000), point.step)
                for point in batch
                for name, value in point.scalars.items()
                if point.step > self._has.get(name, -1)
            ]
            if metrics:
                self._client.log_batch(self._id, metrics=metrics)
            self._sent += len(batch)
        page = self._folder / report.NAME
        if page.exists() and (changed := page.stat().st_mtime) > self._reported:
            self._client.log_artifact(self._id, str(page))
            self._reported = changed
        if status:
            self._client.set_terminated(self._id, status)
        self.trouble = None

    def _resumed(self) -> str:
        """The id of the run that goes on; "" where the server knows none."""
        if not (self._folder / _ID).exists():
            return ""
        id = (self._folder / _ID).read_text(encoding="utf-8").strip()
        try:
            run = self._client.get_run(id)
        except self._mlflow.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # it is another server's
                return ""
            raise
        if run.info.lifecycle_stage == "deleted":
            return ""
        for name in run.data.metrics:
            history = self._client.get_metric_history(id, name)
            self._has[name] = max(metric.step for metric in history)
        # A parameter cannot be changed, but a tag can be added.
        known = run.data.params
        changed = [f"{n}={v}" for n, v in self._parameters.items() if known.get(n) != v]
        if changed:
            self._client.set_tag(id, f"from step {self._start}", ", ".join(changed))
        self._client.update_run(id, status="RUNNING")
        return id

    def _created(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = (
            experiment.experiment_id if experiment else self._client.create_experiment(name)
        )
        run = self._client.create_run(experiment_id, run_name=self._folder.resolve().name)
        id: str = run.info.run_id
        write_text(self._folder / _ID, f"{id}\n")
        params = [self._mlflow.entities.Param(n, v) for n, v in self._parameters.items()]
        self._client.log_batch(id, params=params)
        return id


def _reason(error: BaseException) -> str:
    """The first cause, in a line: MLflow's own words repeat the address, with its password."""
    while error.__context__:
        error = error.__context__
    return (str(error) or type(error).__name__).splitlines()[0][:200]
