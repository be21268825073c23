"""tracking: what TensorBoard is told of a run, read back with TensorFlow."""

from pathlib import Path
from typing import Any

import pytest

from training.metrics import Evaluation, Step
from training.tracking import Tracker


def measure(tracker: Tracker, first: int, last: int) -> None:
    """Steps of half a second and 2048 tokens; an evaluation after every tenth."""
    for number in range(first, last + 1):
        tracker.add(Step(number, 8.0 / number, 1e-3, 0.5 * number, 2048 * number))
        if number % 10 == 0:
            tracker.add(Evaluation(number, 0.25, "Wren\nsleeps.", 64.0 / number, 2.0))


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


def test_tensorboard_shows_each_step_once_and_none_that_was_lost(run: Path) -> None:
    with Tracker(run, 0) as tracker:
        measure(tracker, 1, 37)
    with Tracker(run, 25) as tracker:
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


def test_without_documents_held_out_tensorboard_has_no_loss_of_them(run: Path) -> None:
    with Tracker(run, 0) as tracker:
        tracker.add(Evaluation(0, 0.5, "Wren."))
    assert events(run) == {"copied": [(0, 0.5)], "text": [(0, "Wren.")]}
