"""Checkpoint folders: what is wrong with a broken one, and when one has changed."""

import json
import shutil
from pathlib import Path

import pytest

from engine import Checkpoint, CheckpointError, Model


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to break, without the cache that other tests have left."""
    ignore = shutil.ignore_patterns("*.packed")
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "run1", ignore=ignore))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lfs_pointers", r"Git LFS pointer, not the file itself: run `git lfs pull`"),
        ("empty_data", r"model\.ckpt\.data-00000-of-00001 is empty, but its index describes 497,"),
        ("missing_data", r"model-24000\.data-00000-of-00001 is missing"),
    ],
)
def test_checkpoints_found_in_the_wild(shared_data: Path, name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Model.load(shared_data / "gpt2" / "broken_checkpoints" / name)


def test_reads_what_gpt_2_simple_saved(folder: Path) -> None:
    checkpoint = Checkpoint(folder)
    assert checkpoint.prefix.name == "model-3"
    assert vars(checkpoint.hparams) == json.loads((folder / "hparams.json").read_text())
    assert (
        sum(len(tensor) for tensor in checkpoint.read_tensors())
        == (folder / "model-3.data-00000-of-00001").stat().st_size
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("hparams.json", None, "hparams.json is missing"),
        ("hparams.json", b'{"n_vocab": 341}', "n_ctx is None, not a sensible number"),
        ("hparams.json", b'{"n_vocab": -1}', "n_vocab is -1, not a sensible number"),
        ("hparams.json", b"[1]", "not a table"),
        ("model-3.index", None, "holds no model"),
        ("model-3.index", b"", "it is empty"),
        ("model-3.data-00000-of-00001", None, "is missing, though model-3.index is there"),
        ("model-3.data-00000-of-00001", b"abc", "has only 3 bytes, but its index describes"),
        ("checkpoint", b"garbage", "names no model_checkpoint_path"),
        ("checkpoint", b"\xff\xff", "not UTF-8"),
    ],
)
def test_broken_folders(folder: Path, name: str, change: bytes | None, message: str) -> None:
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change)
    with pytest.raises(CheckpointError, match=message):
        Model.load(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        Model.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["encoder.json", "vocab.bpe", "hparams.json", "checkpoint"])
def test_folders_in_place_of_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: Is a directory"):
        Model.load(folder)


def test_names_that_no_file_can_have() -> None:
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        Model.load("x" * 5000)


def test_hparams_of_another_model(folder: Path) -> None:
    hparams = json.loads((folder / "hparams.json").read_text()) | {"n_embd": 96}
    (folder / "hparams.json").write_text(json.dumps(hparams))
    with pytest.raises(CheckpointError, match="model/wte is 341x48, but hparams.json asks for"):
        Model.load(folder)


def test_a_flipped_bit_in_the_weights(folder: Path) -> None:
    path = folder / "model-3.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="the checksum of .* is wrong"):
        Model.load(folder)


def test_the_state_file_may_be_of_another_machine(folder: Path) -> None:
    (folder / "checkpoint").write_text('model_checkpoint_path: "/content/checkpoint/run1/model-3"')
    assert Checkpoint(folder).prefix == folder / "model-3"


def test_the_only_model_is_found_without_a_state_file(folder: Path) -> None:
    (folder / "checkpoint").unlink()
    assert Checkpoint(folder).prefix == folder / "model-3"
    shutil.copy(folder / "model-3.index", folder / "model-9.index")
    with pytest.raises(CheckpointError, match="several models: model-3, model-9"):
        Checkpoint(folder)


def test_identity_follows_content_alone(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert Checkpoint(copy).identity == Checkpoint(folder).identity
    (copy / "vocab.bpe").write_text("#version: 0.2\n")
    assert Checkpoint(copy).identity != Checkpoint(folder).identity


def test_the_packed_weights_are_a_cache(folder: Path) -> None:
    def text() -> list[int]:
        model = Model.load(folder)
        return list(model.submit([1, 2, 3], length=20, seed=5))

    first = text()
    (cache,) = folder.glob("*.packed")
    stamp = cache.stat().st_mtime_ns
    assert text() == first
    assert cache.stat().st_mtime_ns == stamp  # it was used, not written again

    good = cache.read_bytes()
    for damaged in (good[:1000], bytes(len(good))):  # cut short, or of another version: made anew
        cache.write_bytes(damaged)
        assert text() == first
        assert cache.read_bytes() == good

    stale = folder / "model-2.0123456789abcdef.q8_0.packed"
    stale.write_bytes(b"old")
    cache.unlink()
    assert text() == first
    assert not stale.exists()


def test_a_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("read-only file system")

    expected = list(Model.load(folder).submit([1], length=9, seed=5))
    (cache,) = folder.glob("*.packed")
    cache.unlink()
    monkeypatch.setattr(Path, "replace", refuse)
    assert list(Model.load(folder).submit([1], length=9, seed=5)) == expected
    assert not list(folder.glob("*.packed"))
