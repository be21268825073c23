"""run: the folder shows one finished checkpoint at any moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import HParams
from engine.checkpoint import newest_prefix
from training import TrainingError, run
from training.pytorch import PyTorch
from training.trainer import Trainer


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = PyTorch(HParams(n_vocab=20, n_ctx=8, n_embd=8, n_head=2, n_layer=1), seed=0)
    yield trainer
    trainer.close()


@pytest.fixture
def folder(tmp_path: Path, trainer: Trainer) -> Path:
    """A run's folder after step 7."""
    folder = tmp_path / "run1"
    folder.mkdir()
    run.save(folder, trainer, 7)
    return folder


def test_a_run_has_begun_with_its_first_checkpoint(folder: Path) -> None:
    assert run.begun(folder)
    assert run.counter(folder) == 7
    assert not run.begun(folder / "none")
    assert run.counter(folder / "none") == 0


def test_saving_replaces_weights_and_state(folder: Path, trainer: Trainer) -> None:
    (folder / "model-70.x.packed").write_text("y")
    (folder / "model-3.meta").write_text("x")
    (folder / "model-5_temp").mkdir()
    (folder / "model-5_temp" / "part-00000").write_text("x")
    run.save(folder, trainer, 70)
    assert newest_prefix(folder) == folder / "model-70"
    assert run.counter(folder) == 70
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint",
        "counter",
        "model-70.index",
        "model-70.data-00000-of-00001",
        "model-70.x.packed",
        "state",
    }
    assert {path.name for path in (folder / "state").iterdir()} == {
        "step-70.index",
        "step-70.data-00000-of-00001",
    }


def test_the_newest_state_counts_unless_the_weights_are_newer(
    folder: Path, trainer: Trainer
) -> None:
    assert run.newest(folder) == (7, folder / "state" / "step-7")
    # A kill while the next one was being saved: the state is there, the weights are not yet.
    for path in list((folder / "state").iterdir()):
        (folder / "state" / path.name.replace("-7.", "-9.")).write_bytes(path.read_bytes())
    assert run.newest(folder) == (9, folder / "state" / "step-9")
    (folder / "counter").write_text("12\n")
    assert run.newest(folder) == (12, None)


def test_a_folder_that_is_full_keeps_what_was_saved(folder: Path, trainer: Trainer) -> None:
    (folder / "model-9.index").mkdir()
    (folder / "model-9.index" / "x").touch()
    with pytest.raises(TrainingError, match="model-9 cannot be saved"):
        run.save(folder, trainer, 9)
    assert newest_prefix(folder) == folder / "model-7"


def test_tensorflow_reads_the_state_file(folder: Path) -> None:
    import tensorflow as tf

    assert tf.train.latest_checkpoint(folder) == str(folder / "model-7")


def test_a_run_is_set_aside_under_a_free_name(folder: Path) -> None:
    (folder.parent / "run1.1").mkdir()
    aside = run.set_aside(folder)
    assert aside == folder.parent / "run1.2"
    assert run.counter(aside) == 7
    assert not folder.exists()
