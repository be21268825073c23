"""bench.base: what is told of two runs."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.base import main, markdown, svg, train
from bench.models import BenchError

CURVES = {
    "mini": [(0.0, 2.5), (5.0, 1.75), (9.9, 1.5), (12.0, 1.45), (15.0, 1.6)],
    "scratch": [(0.0, 4.5), (8.0, 2.25), (10.5, 1.9)],
}


def test_the_table_has_the_best_in_time_and_ever() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(CURVES).splitlines()
    ]
    assert rows[2] == ["mini", "2.500", "1.500", "1.450", "12.0"]
    assert rows[3] == ["scratch", "4.500", "2.250", "1.900", "10.5"]


def test_the_picture_has_a_line_for_each_run() -> None:
    root = ET.fromstring(svg(CURVES))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [5, 3]
    texts = [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")]
    assert {"mini", "scratch"} < set(texts)


def test_a_run_that_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="--model scratch has failed"):
        train("scratch", tmp_path / "no.txt", tmp_path, [])
    assert main([str(tmp_path / "no.txt"), "--busy", "--cache", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("bench.base: train_gpt2.py --model mini has failed\n")
