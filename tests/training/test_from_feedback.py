"""train_gpt2.py --from-feedback and --go-back, from stored stories to the served model."""

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import train_gpt2
from app.checkpoints import CurrentModel
from app.library import Library, StoredStory
from corpus import read_documents
from corpus.copies import IN_CHECKPOINT, CopyIndex
from corpus.documents import write_documents

SENTENCES = [
    f"{who} {deed}."
    for who in ("Wren", "Ash Bramley", "Old Mr. Tamsin", "A girl called Pip", "The ferryman")
    for deed in (
        "finds a lantern under the bridge and hides it",
        "sleeps through the noise of twelve frogs",
        "loses a race against the wheel of the mill",
        "sells the last pie to somebody in a red hat",
        "waits on the pier until the fog has gone",
    )
]


def story(number: int, ending: str = "") -> StoredStory:
    """Sentences in an order that no other story has."""
    text = " ".join(random.Random(number).sample(SENTENCES, 7))
    return StoredStory(
        id=f"story{number:07d}",
        created=datetime.now(UTC),
        model="0" * 16,
        prefix=f"On day {number}",
        text=f" it rains. {text}{ending}",
        seed=1,
        tokens=80,
        finish_reason="stop",
        attempts=1,
        copied=None,
        parameters={},
    )


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Place:
    """A working folder with a corpus, a served run and stories."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def served(self) -> Path:
        return self.folder / "checkpoint" / "run1"

    def run(self, *options: object) -> Result:
        """Run the script; --from-feedback comes with what makes it quick."""
        self.capture.readouterr()
        code = train_gpt2.main([str(option) for option in options])
        return Result(code, *self.capture.readouterr())

    def learn(self, *options: object) -> Result:
        return self.run("--from-feedback", "--engine", "torch", "--eval-every", 100, *options)

    def mistake(self, *options: object) -> str:
        """What is told in one line of a run that trains nothing."""
        result = self.learn(*options)
        assert result.code == 1
        assert not self.served.with_name("run1.feedback").exists()
        line = result.stderr.splitlines()[-1]
        assert line.startswith("train_gpt2.py: ")
        return line


@pytest.fixture
def place(
    documents: list[str],
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    """Thirty visitors have liked three stories each."""
    place = Place(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "data").mkdir()
    write_documents(documents[:50], tmp_path / "data" / "train.txt")
    write_documents(documents[50:], tmp_path / "data" / "valid.txt")
    shutil.copytree(tiny_checkpoint, place.served)
    library = Library(f"sqlite:///{tmp_path}/data/stories.db")
    library.save([story(number) for number in range(90)])
    for number in range(90):
        library.like(story(number).id, f"visitor {number // 3}")
    library.close()
    return place


def test_from_likes_to_the_served_model_and_back(place: Place) -> None:
    service = CurrentModel(place.served, threads=1, max_batch=4)
    first = service.get().model.identity

    promoted = place.learn("--steps", 30, "--learning-rate", 0.01)
    assert promoted.code == 0, promoted.stderr
    assert "Picked: " in promoted.stdout
    assert "| picks held out, bits a byte" in promoted.stdout
    assert "checkpoint/run1.feedback is checkpoint/run1 now" in promoted.stdout
    second = service.get().model.identity
    assert second != first
    assert service.error is None
    assert not place.served.with_name("run1.feedback").exists()
    card = (place.served / "README.md").read_text()
    assert "\n# run1\n" in card
    assert "train_gpt2.py --from-feedback" in card
    # The gate knows what it has learned, of the corpus and of the picks, but for those held out.
    index = CopyIndex.open(place.served / IN_CHECKPOINT)
    train, held_out = (
        list(read_documents(place.folder / "data" / name))
        for name in ("picks.txt", "picks.valid.txt")
    )
    assert 50 <= len(train) < 90 == len(train) + len(held_out)
    # A pick's first words may be somebody's, so its name is another.
    assert {copy.source for text in train for copy in index.find(text)} == {
        "a story that visitors picked"
    }
    known = list(read_documents(place.folder / "data" / "train.txt"))
    assert [copy.source for copy in index.find(known[3])] == [known[3].partition("\n")[0]]
    # Of those who picked, and where it was stored, nothing is written down.
    for path in (*place.served.rglob("*"), *(place.folder / "data").glob("*.txt")):
        if path.is_file():
            data = path.read_bytes()
            assert b"visitor " not in data and b"story0000" not in data, path

    # What is deleted is not used any more; what makes the model worse is not promoted.
    with closing(sqlite3.connect(place.folder / "data" / "stories.db")) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM stories WHERE prefix = 'On day 7'")
    worse = place.learn("--steps", 2, "--learning-rate", 0.3)
    assert worse.code == 3, worse.stderr
    assert "is not promoted, and checkpoint/run1 stays: it predicts the documents" in worse.stdout
    assert service.get().model.identity == second
    assert (place.served.with_name("run1.feedback") / "checkpoint").is_file()
    again = [
        list(read_documents(place.folder / "data" / name))
        for name in ("picks.txt", "picks.valid.txt")
    ]
    assert len(train) + len(held_out) == len(again[0]) + len(again[1]) + 1
    assert {*again[0]} <= {*train}
    assert {*again[1]} <= {*held_out}
    assert not any(text.startswith("On day 7 ") for text in again[0] + again[1])

    back = place.run("--go-back")
    assert back.code == 0, back.stderr
    assert back.stdout == (
        "checkpoint/run1.1 is checkpoint/run1 again. What was there is checkpoint/run1.2 now.\n"
    )
    assert service.get().model.identity == first
    assert service.error is None
    nothing = place.run("--go-back")
    assert nothing.code == 1
    assert "none to go back to" in nothing.stderr


def test_mistakes_are_told_before_anything_is_trained(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "too few picks to learn from: 2" in place.mistake("--per-visitor", 1)
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("mill\nfrogs # noise\n")
    monkeypatch.setenv("BLOCKED_WORDS", str(blocked))
    assert "too few picks" in place.mistake()
    monkeypatch.setenv("BLOCKED_WORDS", "none.txt")
    assert "BLOCKED_WORDS" in place.mistake()
    monkeypatch.setenv("BLOCKED_WORDS", "")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data/none.db")
    assert "no stories are kept there" in place.mistake()
    assert not (tmp_path / "data" / "none.db").exists()
    monkeypatch.setenv("DATABASE_URL", "mysql://me@localhost/stories")
    assert "DATABASE_URL: must be" in place.mistake()
    monkeypatch.delenv("DATABASE_URL")
    assert "checkpoint/run2 is not there" in place.mistake("--run", "run2")
    (tmp_path / "data" / "valid.txt").unlink()
    assert "no documents are held out of data/train.txt" in place.mistake()
    for wrong in (("--model", "mini"), ("--corpus", "a.txt:1", "--corpus", "b.txt:1")):
        with pytest.raises(SystemExit, match="2"):
            place.learn(*wrong)
