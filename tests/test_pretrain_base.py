"""pretrain_base.py: from books to a base, and what is told of mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

from corpus.documents import read_documents
from engine import GgufModel, Model
from tests.conftest import ROOT

BOOKS = 22
PARAGRAPH = "The {} of {} went over the hill, and nobody in the village asked it why. "


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "pretrain_base.py"), *map(str, arguments)]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Twenty-two, of some hundred paragraphs."""
    folder = tmp_path / "books"
    folder.mkdir()
    for book in range(BOOKS):
        paragraphs = [PARAGRAPH.format(f"goat{n}", f"book{book}") * 3 for n in range(100)]
        (folder / f"{book:02}.txt").write_text("\n".join(paragraphs))
    (folder / "ATTRIBUTION.txt").write_text("Goats, public domain\nBy nobody.\n")
    return folder


def test_books_become_a_base(books: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "books", "--out", "models/goats", "--steps", 1)
    assert result.returncode == 0, result.stderr
    prepared = tmp_path / "checkpoint" / "goats"
    train = list(read_documents(prepared / "books.txt"))
    valid = list(read_documents(prepared / "books.valid.txt"))
    # One book is held out, and whole; nothing of the others is lost or stands there twice.
    assert {text.count("book20") for text in train} == {0}
    assert sum(text.count("book20") for text in valid) == 300
    assert sum(text.count(" went over the hill") for text in train) == 300 * (BOOKS - 1)
    assert all(700 <= len(text.split()) < 800 for text in train[:2])
    assert "\n\n" in train[0]
    out = tmp_path / "models" / "goats"
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "corpus.attribution",
        "model.gguf",
    }
    source = GgufModel(out / "model.gguf")
    assert "Goats, public domain" in source.about["general.description"]
    assert source.prefix.stat().st_size < 2.2 * (source.hparams.n_vocab * 320 + 7.8e6)
    model = Model.load(out)
    assert len(list(model.submit([1, 2], length=3, seed=1))) <= 3
    model.close()
    card = (out / "README.md").read_text()
    assert "A GPT-2, trained from scratch on books.txt, 1 steps." in card
    assert "python pretrain_base.py books --out models/goats --steps 1" in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no such folder"),
        (["few"], "few has 3 books; 21 are needed"),
        (["few/0.txt"], "few/0.txt is a file, not a folder of books"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "few").mkdir()
    for number in range(3):
        (tmp_path / "few" / f"{number}.txt").write_text("A short book.\n")
    result = run(tmp_path, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("pretrain_base.py: ") and result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not (tmp_path / "models").exists()
