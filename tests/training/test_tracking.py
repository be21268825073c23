"""tracking: what TensorBoard and MLflow are told of a run, read back with their own libraries."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training import report
from training.metrics import Evaluation, Step
from training.tracking import Tracker

PARAMETERS = {"steps": 40, "learning_rate": 0.001}


def measure(tracker: Tracker, first: int, last: int) -> None:
    """Steps of half a second and 2048 tokens; an evaluation after every tenth."""
    for number in range(first, last + 1):
        tracker.add(Step(number, 8.0 / number, 1e-3, 0.5 * number, 2048 * number))
        if number % 10 == 0:
            tracker.add(Evaluation(number, 0.25, "Wren\nsleeps.", 64.0 / number, 2.0))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint" / "pokemon"
    folder.mkdir(parents=True)
    return folder


# ---- TensorBoard ----------------------------------------------------------------------------


def events(run: Path) -> dict[str, list[tuple[int, Any]]]:
    """The steps and values of each tag."""
    import tensorflow as tf

    told: dict[str, list[tuple[int, Any]]] = {}
    for path in (run / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                text = value.HasField("tensor") and tf.make_ndarray(value.tensor)[0].decode()
                told.setdefault(value.tag, []).append((event.step, text or value.simple_value))
    return told


def test_tensorboard_shows_each_step_once_and_none_that_was_lost(
    run: Path, said: list[str]
) -> None:
    with Tracker(run, 0, PARAMETERS, said.append) as tracker:
        measure(tracker, 1, 37)
    with Tracker(run, 25, PARAMETERS, said.append) as tracker:
        assert [step for step, _ in events(run)["train/loss"]] == list(range(1, 26))
        measure(tracker, 26, 30)
        told = events(run)  # while the run goes on
    assert told["train/loss"] == [(n, pytest.approx(8.0 / n)) for n in range(1, 31)]
    assert told["train/learning_rate"][-1] == (30, pytest.approx(1e-3))
    assert told["train/tokens_per_second"] == [(n, 4096.0) for n in range(1, 31)]
    assert told["valid/loss"] == [(n, pytest.approx(64.0 / n)) for n in (10, 20, 30)]
    assert told["valid/perplexity"][0] == (10, pytest.approx(601.845))
    assert told["valid/bits_per_byte"] == [(10, 2.0), (20, 2.0), (30, 2.0)]
    assert told["copied"] == [(10, 0.25), (20, 0.25), (30, 0.25)]
    assert told["text"] == [(n, "Wren  \nsleeps.") for n in (10, 20, 30)]
    assert said == []


def test_without_documents_held_out_tensorboard_has_no_loss_of_them(
    run: Path, said: list[str]
) -> None:
    with Tracker(run, 0, PARAMETERS, said.append) as tracker:
        tracker.add(Evaluation(0, 0.5, "Wren."))
    assert events(run) == {"copied": [(0, 0.5)], "text": [(0, "Wren.")]}


# ---- MLflow ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before the first run, which it takes seconds to make."""
    mlflow = pytest.importorskip("mlflow")
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's client on a real store in a database; the run's measurements go there."""
    import mlflow

    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path)}"
    monkeypatch.chdir(tmp_path)  # where the store keeps artifacts
    before = dict(os.environ)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    yield mlflow.MlflowClient(uri)
    os.environ.clear()
    os.environ.update(before)


def tracked(mlflow: Any) -> Any:
    """The only run that the store knows."""
    experiment = mlflow.get_experiment_by_name("train_gpt2")
    [run] = mlflow.search_runs([experiment.experiment_id])
    return run


def history(mlflow: Any, name: str) -> list[tuple[int, float]]:
    metrics = mlflow.get_metric_history(tracked(mlflow).info.run_id, name)
    return sorted((metric.step, metric.value) for metric in metrics)


def test_mlflow_is_told_of_a_run_and_of_how_it_goes_on(
    run: Path, said: list[str], mlflow: Any
) -> None:
    with Tracker(run, 0, PARAMETERS, said.append) as tracker:
        measure(tracker, 1, 25)
        report.write(run, tracker.metrics)
    first = tracked(mlflow)
    assert (first.info.run_name, first.info.status) == ("pokemon", "FINISHED")
    assert first.data.params == {"steps": "40", "learning_rate": "0.001"}
    assert [file.path for file in mlflow.list_artifacts(first.info.run_id)] == ["report.html"]
    assert history(mlflow, "train/loss") == [(10, 0.8), (20, 0.4)]
    assert history(mlflow, "train/tokens_per_second") == [(10, 4096.0), (20, 4096.0)]

    # It is resumed from a step before those that were sent, and ends with an error.
    with (
        pytest.raises(OSError, match="full"),
        Tracker(run, 15, PARAMETERS | {"steps": 50}, said.append) as tracker,
    ):
        measure(tracker, 16, 30)
        raise OSError("the disk is full")
    second = tracked(mlflow)
    assert (second.info.run_id, second.info.status) == (first.info.run_id, "FAILED")
    assert second.data.tags["from step 15"] == "steps=50"
    assert [step for step, _ in history(mlflow, "train/loss")] == [10, 20, 30]
    assert history(mlflow, "valid/loss") == [(10, 6.4), (20, 3.2), (30, pytest.approx(64 / 30))]
    assert [step for step, _ in history(mlflow, "copied")] == [10, 20, 30]
    assert said == []


def test_a_run_that_the_server_does_not_know_begins_there_with_all_its_steps(
    run: Path, said: list[str], mlflow: Any
) -> None:
    with Tracker(run, 0, PARAMETERS, said.append) as tracker:
        measure(tracker, 1, 20)
    first = tracked(mlflow).info.run_id
    mlflow.delete_run(first)
    with Tracker(run, 20, PARAMETERS, said.append):
        pass
    second = tracked(mlflow).info.run_id
    assert second != first
    assert [step for step, _ in history(mlflow, "train/loss")] == [10, 20]
    (run / "mlflow_run_id").write_text(f"{'0' * 32}\n")  # another server's
    mlflow.delete_run(second)
    with Tracker(run, 20, PARAMETERS, said.append):
        pass
    assert [step for step, _ in history(mlflow, "copied")] == [10, 20]
    assert said == []


def test_a_server_that_is_away_is_told_once_and_gets_all_when_it_is_back(
    run: Path, said: list[str], mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        with monkeypatch.context() as away:
            port = taken.getsockname()[1]
            away.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
            for _ in range(2):
                with Tracker(run, 0, PARAMETERS, said.append) as tracker:
                    measure(tracker, 1, 20)
    assert len(said) == 2
    for line in said:
        assert "MLflow does not take" in line and "refused" in line
        assert "\n" not in line and "secret" not in line
    with Tracker(run, 20, PARAMETERS, said.append) as tracker:
        measure(tracker, 21, 30)
    assert [step for step, _ in history(mlflow, "train/loss")] == [10, 20, 30]
    assert len(said) == 2


def test_nobody_waits_for_a_server_that_does_not_answer(
    run: Path, said: list[str], mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1000")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with Tracker(run, 0, PARAMETERS, said.append) as tracker:
            measure(tracker, 1, 100)
            connection, _ = silent.accept()
            connection.close()
            silent.close()
    assert len(said) == 1
    assert len(tracker.metrics.steps) == 100


def test_without_mlflow_it_is_said_how_to_get_it(
    run: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with Tracker(run, 0, PARAMETERS, said.append) as tracker:
        measure(tracker, 1, 10)
    [line] = said
    pinned = Path(__file__).parents[2] / "requirements-dev.txt"
    [package] = [line for line in pinned.read_text().splitlines() if line.startswith("mlflow")]
    assert line.endswith(f"pip install {package}")
