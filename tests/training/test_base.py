"""base: what a run takes over, and what it refuses."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine import Checkpoint, CheckpointError, HParams, Tokenizer, signature, write_gguf
from training import TrainingError, base
from training.base import PUBLISHED, SCRATCH_HPARAMS, Base


@pytest.fixture
def tiny(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint


def prepare(model: object, run: Path, documents: tuple[str, ...] = ()) -> Base:
    return base.begin(base.find(str(model), run.parent / "models"), run, documents)


def write_hparams(hparams: HParams, folder: Path) -> None:
    (folder / "hparams.json").write_text(json.dumps(asdict(hparams)))


def test_scratch_learns_its_vocabulary_from_the_corpus(
    documents: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "checkpoint" / "run1"
    begin = prepare("scratch", run, tuple(documents))
    assert begin.source is None
    assert begin.hparams == replace(SCRATCH_HPARAMS, n_vocab=begin.hparams.n_vocab)
    assert HParams(**json.loads((run / "hparams.json").read_text())) == begin.hparams
    tokenizer = Tokenizer.load(run)
    assert tokenizer.n_vocab == begin.hparams.n_vocab
    assert tokenizer.end_of_text == begin.hparams.n_vocab - 1


def test_a_folder_gives_its_vocabulary_and_weights(tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run1"
    begin = prepare(tiny, run)
    assert begin.hparams == Checkpoint(tiny).hparams
    assert begin.source.prefix == tiny / "model-3"
    for name in ("encoder.json", "vocab.bpe"):
        assert (run / name).read_bytes() == (tiny / name).read_bytes()


def test_mini_comes_along(run1: Path, tiny: Path, tmp_path: Path) -> None:
    begin = prepare("mini", tmp_path / "run1")
    assert begin.hparams == base.MINI_HPARAMS
    assert Tokenizer.load(tmp_path / "run1").n_vocab == begin.hparams.n_vocab
    # The committed run is begun from it, and goes on wherever it is cloned.
    shutil.copytree(run1, tmp_path / "cloned")
    assert base.reopen("mini", tmp_path / "cloned").hparams == begin.hparams
    with pytest.raises(TrainingError, match="not begun from the model mini"):
        base.reopen("mini", tiny)


def test_a_gguf_file_is_a_base_too(tiny: Path, tmp_path: Path) -> None:
    file, run = tmp_path / "tiny.gguf", tmp_path / "run1"
    write_gguf(Checkpoint(tiny), file, "f16")
    begin = prepare(file, run)
    assert begin.hparams == Checkpoint(tiny).hparams
    assert (run / "vocab.bpe").read_bytes() == (tiny / "vocab.bpe").read_bytes()
    # One that was put away as such a file goes on from it.
    for name in ("hparams.json", "encoder.json", "vocab.bpe"):
        (run / name).unlink()
    file.rename(run / "model-7.gguf")
    assert base.reopen(str(tiny), run).source.prefix == run / "model-7.gguf"
    assert (run / "vocab.bpe").read_bytes() == (tiny / "vocab.bpe").read_bytes()


def test_a_published_model_that_is_here_needs_no_network(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "124M"
    shutil.copytree(tiny, folder)
    for path in folder.glob("model-3.*"):
        path.rename(folder / path.name.replace("model-3", "model.ckpt"))
    (folder / "model.ckpt.meta").touch()
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert prepare("124M", tmp_path / "run1").source.prefix == folder / "model.ckpt"


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"125M.*mini, 124M, 355M, 774M, 1558M, scratch, a folder or a GGUF file",
    ):
        prepare("125M", tmp_path / "run1")
    assert not (tmp_path / "run1").exists()


def test_a_broken_base_leaves_no_run(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    (broken / "model-3.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is empty"):
        prepare(broken, tmp_path / "run1")
    assert not (tmp_path / "run1").exists()


def test_heads_that_do_not_divide_the_width_are_refused(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    write_hparams(replace(Checkpoint(tiny).hparams, n_head=5), broken)
    with pytest.raises(TrainingError, match="n_head"):
        prepare(broken, tmp_path / "run1")


@pytest.mark.parametrize("other", [{"n_vocab": 1000}, {"n_layer": 3}, {"n_ctx": 32}])
def test_weights_of_another_shape_are_refused(
    tiny: Path, tmp_path: Path, other: dict[str, int]
) -> None:
    # TensorFlow would load them without a word.
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    write_hparams(replace(Checkpoint(tiny).hparams, **other), broken)
    with pytest.raises(CheckpointError, match=r"do the files belong together|no tensor"):
        prepare(broken, tmp_path / "run1")


@pytest.mark.parametrize("name", ["lfs_pointers", "empty_data", "missing_data"])
def test_folders_found_in_the_wild_are_refused(
    shared_data: Path, name: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        prepare(shared_data / "gpt2" / "broken_checkpoints" / name, tmp_path / "run1")


def test_a_run_is_continued_by_the_model_it_was_begun_from(tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run1"
    shutil.copytree(tiny, run)
    before = signature(run)
    assert base.reopen(str(tiny), run).source.prefix == run / "model-3"
    assert signature(run) == before  # or a service would load it anew
    for model in ("scratch", *PUBLISHED):
        with pytest.raises(TrainingError, match=f"not begun from the model {model} .*--fresh"):
            base.reopen(model, run)


def test_another_vocabulary_is_another_model(tiny: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run1", tmp_path / "other"
    for folder in (run, other):
        shutil.copytree(tiny, folder)
    text = (other / "vocab.bpe").read_text(encoding="utf-8").split("\n")
    (other / "vocab.bpe").write_text("\n".join([*text[:-2], ""]), encoding="utf-8")
    with pytest.raises(TrainingError, match="not begun from the model"):
        base.reopen(str(other), run)
