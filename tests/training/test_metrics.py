"""metrics: what is measured survives interruptions and is drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from training.metrics import Metrics, Step, loss_svg


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


@pytest.mark.parametrize("count", [1, 2, 37, 5000])
def test_the_picture_is_small_and_within_its_frame(count: int) -> None:
    svg = loss_svg([measured(number) for number in range(1, count + 1)])
    root = ElementTree.fromstring(svg)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        assert all(0 <= x <= 720 and 0 <= y <= 400 for x, y in points)
        assert len(points) == min(count, 1000) or count > 1000
    assert f"{count:,} steps" in svg
    assert len(svg) < 40_000


def test_nothing_measured_draws_nothing(tmp_path: Path) -> None:
    Metrics(tmp_path, 0).draw()
    assert not (tmp_path / "loss.svg").exists()
