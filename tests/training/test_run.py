"""run: the folder shows one finished checkpoint at any moment."""

from pathlib import Path

import pytest

from engine.checkpoint import newest_prefix
from training import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder after step 7; nobody reads the weights here."""
    folder = tmp_path / "run1"
    folder.mkdir()
    for name in ("model-7.index", "model-7.data-00000-of-00001"):
        (folder / name).write_text("x")
    run.commit(folder, folder / "model-7", 7)
    return folder


def test_a_run_has_begun_with_its_first_checkpoint(folder: Path) -> None:
    assert run.begun(folder)
    assert run.counter(folder) == 7
    assert not run.begun(folder / "none")
    assert run.counter(folder / "none") == 0


def test_commit_replaces_the_weights(folder: Path) -> None:
    for name in ("model-70.index", "model-70.data-00000-of-00001", "model-70.x.packed"):
        (folder / name).write_text("y")
    (folder / "model-3.meta").write_text("x")
    (folder / "model-5_temp").mkdir()
    (folder / "model-5_temp" / "part-00000").write_text("x")
    run.commit(folder, folder / "model-70", 70)
    assert newest_prefix(folder) == folder / "model-70"
    assert run.counter(folder) == 70
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint",
        "counter",
        "model-70.index",
        "model-70.data-00000-of-00001",
        "model-70.x.packed",
    }


def test_tensorflow_reads_the_state_file(folder: Path) -> None:
    import tensorflow as tf

    assert tf.train.latest_checkpoint(folder) == str(folder / "model-7")


def test_a_run_is_set_aside_under_a_free_name(folder: Path) -> None:
    (folder.parent / "run1.1").mkdir()
    aside = run.set_aside(folder)
    assert aside == folder.parent / "run1.2"
    assert run.counter(aside) == 7
    assert not folder.exists()
