"""What a path leads to, and when it has changed."""

import shutil
from pathlib import Path

import pytest

from engine import Checkpoint, CheckpointError, Model, open_source, signature, write_gguf


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("*.packed")
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "run1", ignore=ignore))


@pytest.fixture
def light(folder: Path, tmp_path: Path) -> Path:
    """A folder that holds the same model as a GGUF file."""
    (tmp_path / "light").mkdir()
    write_gguf(Checkpoint(folder), tmp_path / "light" / "model-3.gguf", "f32")
    return tmp_path / "light"


def test_a_gguf_file_stands_for_a_checkpoint(folder: Path, light: Path) -> None:
    logits = Model.load(folder, weights="f32").logits([1, 2, 3])
    assert Model.load(light, weights="f32").logits([1, 2, 3]) == logits
    assert open_source(light).prefix == light / "model-3.gguf"
    shutil.copytree(folder, light, dirs_exist_ok=True)  # trained on
    assert open_source(light).prefix == light / "model-3"


def test_of_several_gguf_files_one_must_be_named(light: Path) -> None:
    shutil.copy(light / "model-3.gguf", light / "other.gguf")
    with pytest.raises(CheckpointError, match=r"give one: model-3\.gguf, other\.gguf"):
        open_source(light)
    assert signature(light) == ()
    assert open_source(light / "other.gguf").prefix == light / "other.gguf"


def test_signature_changes_with_a_gguf_file(light: Path) -> None:
    before = signature(light)
    assert before and signature(light) == before
    data = (light / "model-3.gguf").read_bytes()
    (light / "model-3.gguf").unlink()
    assert signature(light) != before
    (light / "model-3.gguf").write_bytes(data + b" ")
    assert signature(light) != before


@pytest.mark.parametrize(
    "name", ["checkpoint", "hparams.json", "vocab.bpe", "model-3.data-00000-of-00001"]
)
def test_signature_changes_with_each_file(folder: Path, name: str) -> None:
    before = signature(folder)
    assert signature(folder) == before
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    assert signature(folder) != before
    (folder / name).write_bytes(data + b" ")
    assert signature(folder) != before


def test_signature_ignores_other_files(folder: Path) -> None:
    before = signature(folder)
    (folder / "counter").write_text("4")
    (folder / "model-4.data-00000-of-00001.tempstate").write_bytes(b"under way")
    Model.load(folder).close()  # writes its cache
    assert signature(folder) == before


def test_signature_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert signature(tmp_path / "nothing") == ()


def test_signature_of_a_name_that_no_file_can_have() -> None:
    assert signature("x" * 5000) == ()
