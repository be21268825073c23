"""metrics: what is measured survives interruptions."""

import json
import math
from pathlib import Path

import pytest

from training.metrics import Evaluation, Metrics, Step


def measured(number: int) -> Step:
    return Step(number, 8.0 / number, 1e-3, 0.5 * number, 2048 * number)


def test_a_resumed_run_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for number in range(1, 8):
        metrics.add(measured(number))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # a kill in the middle of a line

    resumed = Metrics(tmp_path, 5)
    assert (resumed.seconds, resumed.tokens) == (2.5, 10240)
    resumed.add(measured(6))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert Metrics(tmp_path, 6).steps == [measured(number) for number in range(1, 7)]


def test_a_new_run_forgets_an_earlier_ones_losses(tmp_path: Path) -> None:
    Metrics(tmp_path, 0).add(measured(1))
    assert Metrics(tmp_path, 0).steps == []


def test_the_average_fades_as_gpt2_simples(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    total = weight = 0.0
    for number in range(1, 40):
        metrics.add(measured(number))
        total, weight = total * 0.99 + 8.0 / number, weight * 0.99 + 1.0
    assert metrics.average() == pytest.approx(total / weight)


def looked(step: int, loss: float | None) -> Evaluation:
    return Evaluation(step, 0.25, "Wren sleeps.", loss, loss)


def test_evaluations_are_kept_among_the_steps(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for number in range(1, 5):
        metrics.add(measured(number))
        if number % 2 == 0:
            metrics.add(looked(number, 1 / number))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
    assert lines[2] == {
        "step": 2,
        "copied": 0.25,
        "text": "Wren sleeps.",
        "valid_loss": 0.5,
        "bits_per_byte": 0.5,
        "stage": 0,
    }
    again = Metrics(tmp_path, 3)
    assert again.steps == metrics.steps[:3]
    assert again.evaluations == [looked(2, 0.5)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_the_best_evaluation_has_the_lowest_loss(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    assert (metrics.best, metrics.since_best) == (None, 0)
    for step, loss in enumerate([3.0, 2.0, 2.5, 2.0, None]):
        metrics.add(looked(step, loss))
    assert metrics.best == looked(1, 2.0)
    assert metrics.since_best == 3
    assert metrics.best.perplexity == pytest.approx(7.389, rel=1e-4)
    assert math.isnan(metrics.evaluations[-1].perplexity)
