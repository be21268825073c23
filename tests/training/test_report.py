"""report: the page of a run, read as a browser would."""

from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from training import report
from training.metrics import Evaluation, Metrics, Step


def page(
    folder: Path, steps: int, every: int = 10**6, *, held_out: bool = True
) -> LexborHTMLParser:
    metrics = Metrics(folder, 0)
    for number in range(1, steps + 1):
        metrics.add(Step(number, 8.0 / number, 1e-3, 30.0 * number, 1024 * number))
        if number % every == 0:
            loss = 3 + abs(number - 20) / 10 if held_out else None
            metrics.add(Evaluation(number, 0.125, "<b>Wren</b> & Pip\n\nsleep.", loss, loss))
    report.write(folder, metrics)
    return LexborHTMLParser((folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("steps", [1, 2, 37, 5000])
def test_the_curves_are_small_and_within_their_frame(tmp_path: Path, steps: int) -> None:
    lines = page(tmp_path, steps).css("polyline")
    assert len(lines) == 2
    for line in lines:
        points = [tuple(map(float, p.split(","))) for p in line.attributes["points"].split()]
        assert all(0 <= x <= 720 and 0 <= y <= 320 for x, y in points)
        assert len(points) == min(steps, 1000) or steps > 1000
    assert (tmp_path / "report.html").stat().st_size < 50_000


def test_evaluations_have_curves_a_row_and_a_text_each(tmp_path: Path) -> None:
    tree = page(tmp_path, 40, every=10)
    assert len(tree.css("polyline")) == 4  # loss, its mean, held out; copied
    rows = [[cell.text(strip=True) for cell in row.css("td")] for row in tree.css("tr")[1:]]
    assert rows == [
        ["10", "4.000", "54.6", "4.000", "12.5%"],
        ["20", "3.000", "20.1", "3.000", "12.5%"],
        ["30", "4.000", "54.6", "4.000", "12.5%"],
        ["40", "5.000", "148.4", "5.000", "12.5%"],
    ]
    assert [row.css_first("td").text() for row in tree.css("tr.best")] == ["20"]
    texts = [node.text() for node in tree.css(".text")]
    assert texts == ["<b>Wren</b> & Pip\n\nsleep."] * 4


def test_without_documents_held_out_the_page_says_what_there_is(tmp_path: Path) -> None:
    tree = page(tmp_path, 20, every=10, held_out=False)
    assert len(tree.css("polyline")) == 3
    assert not tree.css("tr.best")
    assert "held out are" not in tree.body.text()


def test_losses_on_other_corpora_stand_beside(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    metrics.add(Step(1, 3.0, 1e-3, 1.0, 1024))
    metrics.add(Evaluation(1, 0.0, "", 3.0, 1.0, 0, {"mine.txt": 4.5}))
    metrics.add(Evaluation(2, 0.0, "", 2.0, 1.0, 1, {"authors.txt": 3.25}))
    report.write(tmp_path, metrics)
    tree = LexborHTMLParser((tmp_path / "report.html").read_text(encoding="utf-8"))
    cells = [[cell.text(strip=True) for cell in row.css("th, td")] for row in tree.css("tr")]
    assert [row[5:] for row in cells] == [
        ["loss on authors.txt", "loss on mine.txt"],
        ["–", "4.500"],
        ["3.250", "–"],
    ]


def test_nothing_measured_writes_nothing(tmp_path: Path) -> None:
    report.write(tmp_path, Metrics(tmp_path, 0))
    assert not (tmp_path / "report.html").exists()
