"""Which model is served."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.checkpoints import CurrentModel
from engine import Checkpoint, CheckpointError, Model, write_gguf


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "run1"))


def replace(folder: Path, other: Path) -> None:
    """As a training run does: the file `checkpoint` comes last."""
    for file in sorted(other.iterdir(), key=lambda file: file.name == "checkpoint"):
        shutil.copy(file, folder / f".{file.name}")
        (folder / f".{file.name}").replace(folder / file.name)


def current(folder: Path) -> CurrentModel:
    return CurrentModel(folder, threads=1, max_batch=4)


def test_an_unchanged_checkpoint_is_loaded_once(folder: Path) -> None:
    models = current(folder)
    assert models.get() is models.get()


def test_a_new_checkpoint_serves_the_request_that_finds_it(
    folder: Path, other_checkpoint: Path
) -> None:
    models = current(folder)
    old = models.get().model
    replace(folder, other_checkpoint)
    new = models.get().model
    assert new.identity == Model.load(other_checkpoint).identity != old.identity
    assert list(old.submit([1], length=3, seed=1)) is not None  # still usable


@pytest.mark.parametrize(
    "name", ["checkpoint", "hparams.json", "model-3.index", "model-3.data-00000-of-00001"]
)
def test_a_broken_checkpoint_never_replaces_a_good_one(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    models = current(folder)
    good = models.get()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 4])
    for packed in folder.glob("*.packed"):
        packed.unlink()
    for _ in range(3):
        assert models.get() is good
    assert models.error
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1

    (folder / name).write_bytes(content)
    assert models.get().model.identity == good.model.identity
    assert models.error is None


def test_what_may_pass_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    models = current(folder)
    with monkeypatch.context() as patched:
        patched.setattr(Model, "load", fail)
        for _ in range(3):
            with pytest.raises(CheckpointError):
                models.get()
    with pytest.raises(CheckpointError):  # not at once
        models.get()
    monkeypatch.setattr("app.checkpoints.time.monotonic", lambda: 1e9)
    assert models.get().model.identity
    assert models.error is None


def test_a_gguf_file_is_served_and_replaced(
    folder: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(Checkpoint(folder), path, "q8_0")
    models = current(path)
    old = models.get()
    assert models.get() is old
    path.write_bytes(path.read_bytes()[:-1])  # a copy that is not complete
    assert models.get() is old
    assert models.error and "cut short" in models.error
    write_gguf(Checkpoint(other_checkpoint), path, "q8_0")
    assert models.get().model.identity != old.model.identity
    assert models.error is None


def test_without_any_good_checkpoint_the_reason_is_told(tmp_path: Path, folder: Path) -> None:
    models = current(tmp_path / "later")
    with pytest.raises(CheckpointError, match="later"):
        models.get()
    folder.rename(tmp_path / "later")
    assert models.get().model.identity
    assert models.error is None


def test_a_checkpoint_that_goes_away_goes_on_being_served(folder: Path) -> None:
    models = current(folder)
    good = models.get()
    shutil.rmtree(folder)
    assert models.get() is good
    assert models.error


def test_one_request_loads_for_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda *a, **k: loads.append(1) or load(*a, **k))
    models = current(folder)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: models.get(), range(8)))
    assert len(set(map(id, found))) == 1
    assert len(loads) == 1


def test_while_a_new_one_is_loaded_the_old_one_serves(
    folder: Path, other_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = current(folder)
    old = models.get()
    loading, go_on = threading.Event(), threading.Event()
    load = Model.load

    def slow_load(*args: object, **options: object) -> Model:
        loading.set()
        assert go_on.wait(60)
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "load", slow_load)
    replace(folder, other_checkpoint)
    with ThreadPoolExecutor(1) as pool:
        finder = pool.submit(models.get)
        assert loading.wait(60)
        assert models.get() is old
        go_on.set()
        assert finder.result() is not old
    assert models.get() is not old
