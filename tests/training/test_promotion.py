"""A new run in the place of the served one, and back, while it is served."""

import shutil
import threading
from pathlib import Path

import pytest

from app.checkpoints import CurrentModel
from engine import Checkpoint
from training import TrainingError, promotion
from training.promotion import Measured, go_back, objections, promote

OLD = Measured(held_out=1.2, picks=1.1, copied=0.02, words=200)


@pytest.mark.parametrize(
    ("new", "against"),
    [
        (Measured(1.2, 1.09, 0.02, 200), []),
        (Measured(1.205, 1.09, 0.029, 10), []),
        (Measured(1.0, 1.0, 0.0, 300), []),
        (Measured(1.207, 1.0, 0.0, 200), ["documents held out worse"]),
        (Measured(1.0, 1.1, 0.0, 200), ["picks held out better"]),
        (Measured(1.0, 1.0, 0.031, 200), ["copies more"]),
        (Measured(2.0, 2.0, 1.0, 200), ["documents held out", "picks held out", "copies"]),
    ],
)
def test_a_new_run_must_not_be_worse(new: Measured, against: list[str]) -> None:
    found = objections(OLD, new)
    assert len(found) == len(against)
    for objection, words in zip(found, against, strict=True):
        assert words in objection


@pytest.fixture
def served(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint" / "run1"))


@pytest.fixture
def new(served: Path) -> Path:
    """Another run, for all that tells one from another."""
    folder = Path(shutil.copytree(served, served.with_name("run1.feedback")))
    with (folder / "hparams.json").open("a") as file:
        file.write("\n")
    return folder


def folders(served: Path) -> set[str]:
    return {path.name for path in served.parent.iterdir() if path.is_dir()}


def test_each_promotion_is_undone_in_turn(served: Path, new: Path) -> None:
    first, second = Checkpoint(served).identity, Checkpoint(new).identity
    (served / "mark").write_text("first")
    assert promote(served, new).name == "run1.1"
    (served / "mark").write_text("second")
    assert Checkpoint(served).identity == second
    shutil.copytree(served.with_name("run1.1"), new)
    (new / "mark").write_text("third")
    assert promote(served, new).name == "run1.2"
    assert folders(served) == {"run1", "run1.1", "run1.2"}

    def marks() -> list[str]:
        names = sorted(folders(served))
        return [served.with_name(name).joinpath("mark").read_text() for name in names]

    assert marks() == ["third", "first", "second"]
    assert go_back(served) == (served.with_name("run1.2"), served.with_name("run1.3"))
    assert marks() == ["second", "first", "third"]
    # What was gone back from is none to go back to, after another promotion neither.
    shutil.copytree(served, new)
    (new / "mark").write_text("fourth")
    assert promote(served, new).name == "run1.2"
    go_back(served)
    assert marks()[0] == "second"
    go_back(served)
    assert marks()[0] == "first"
    assert Checkpoint(served).identity == first
    assert sorted(marks()) == ["first", "fourth", "second", "third"]
    with pytest.raises(TrainingError, match="none to go back to"):
        go_back(served)


def test_a_kill_between_the_two_renames_is_told_and_repaired(served: Path, new: Path) -> None:
    promotion.check_is_there(served)
    first, second = Checkpoint(served).identity, Checkpoint(new).identity
    models = CurrentModel(served, threads=1, max_batch=4)
    assert models.get().model.identity == first
    with pytest.raises(FileNotFoundError):
        promote(served, served.with_name("there is none"))  # fails at the second
    assert folders(served) == {"run1.1", "run1.feedback"}
    assert models.get().model.identity == first
    with pytest.raises(TrainingError, match="cut short. --go-back puts"):
        promotion.check_is_there(served)
    assert go_back(served) == (served.with_name("run1.1"), None)
    promotion.check_is_there(served)
    promote(served, new)
    served.rename(served.with_name("run1.2"))  # as far as going back has come
    assert go_back(served)[1] is None
    assert models.get().model.identity == first
    assert Checkpoint(served.with_name("run1.2")).identity == second


def test_a_run_that_never_was_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="name the run that is served"):
        promotion.check_is_there(tmp_path / "run1")
    with pytest.raises(TrainingError, match="none to go back to"):
        go_back(tmp_path / "run1")


def test_no_request_fails_meanwhile(served: Path, new: Path) -> None:
    identities = [Checkpoint(folder).identity for folder in (served, new)]
    models = CurrentModel(served, threads=1, max_batch=16)
    done = threading.Event()
    seen: list[str] = []
    failures: list[BaseException] = []

    def visit() -> None:
        while not done.is_set():
            try:
                model = models.get().model
                assert len(list(model.submit([1, 2], length=3, seed=1))) <= 3
                seen.append(model.identity)
            except BaseException as failure:
                failures.append(failure)

    def wait_for(identity: str) -> None:
        while models.get().model.identity != identity:
            assert not failures

    wait_for(identities[0])
    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    gone: Path | None = new
    for _ in range(5):
        assert gone
        promote(served, gone)
        wait_for(identities[1])
        _, gone = go_back(served)
        wait_for(identities[0])
    done.set()
    for visitor in visitors:
        visitor.join()
    assert not failures
    assert {*seen} <= {*identities}
