"""bench.prepare: that all do their work; nothing here depends on speed."""

import json
from pathlib import Path

import pytest

from bench.prepare import ENTRANTS, main, make_corpus
from corpus.documents import read_texts


def test_all_entrants_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--megabytes", "1", "--rounds", "1", "--busy", "--cache", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {cells[0]: cells[1:] for line in lines if (cells := line.strip("| ").split(" | "))[1:]}
    assert [name for name in rows if name in ENTRANTS] == list(ENTRANTS)
    runs = json.loads((tmp_path / "prepare.json").read_text())["runs"]
    assert {(one["entrant"], one["part"]) for one in runs} == {
        (name, part) for name in ENTRANTS for part in ("quarter", "all")
    }
    for one in runs:
        assert one["seconds"] > 0
        assert one["memory"] > 1_000_000
        assert one["megabytes"] == pytest.approx(1 if one["part"] == "all" else 0.25, rel=0.1)


def test_near_copies_are_dropped_by_those_who_look_for_them(tmp_path: Path) -> None:
    make_corpus(tmp_path / "corpus", 1)
    texts = [text.text for text in read_texts(tmp_path / "corpus")]
    copies = sum(f"{text} The end." in texts or f"{text}\n\nThe end." in texts for text in texts)
    assert copies >= 1
    for name, entrant in ENTRANTS.items():
        looks = name in ("ours, near-duplicates", "ours, all filters", "MinHash in Python")
        left = entrant(tmp_path / "corpus", len(texts), tmp_path)
        assert left == len(texts) - (copies if looks else 0), name


def test_a_folder_without_texts_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", str(tmp_path), "--busy", "--cache", str(tmp_path)]) == 1
    assert "no texts" in capsys.readouterr().err
