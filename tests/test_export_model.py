"""export_model.py as its users run it: formats, names, mistakes, Ctrl-C."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Checkpoint, GgufModel, Model
from tests.conftest import ROOT


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "export_model.py"), *map(str, arguments)]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Where checkpoint/run1 is."""
    ignore = shutil.ignore_patterns("*.packed")
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint" / "run1", ignore=ignore)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_help_has_examples(tmp_path: Path) -> None:
    result = run(tmp_path, "--help")
    assert result.returncode == 0
    assert "export_model.py checkpoint/run1 --to gguf" in result.stdout


@pytest.mark.parametrize("way", ["checkpoint/run1", "checkpoint/../checkpoint/run1/"])
def test_names_are_those_of_the_checkpoint(folder: Path, way: str) -> None:
    result = run(folder, way, "--to", "gguf")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("checkpoint/run1-q8_0.gguf\n")
    assert "28/28" in result.stderr  # the progress bar
    assert run(folder, way, "--to", "gguf", "--type", "f16").returncode == 0
    assert run(folder, way, "--to", "hf").returncode == 0
    assert names(folder / "checkpoint") == {"run1", "run1-q8_0.gguf", "run1-f16.gguf", "run1-hf"}
    assert "model.safetensors" in names(folder / "checkpoint" / "run1-hf")
    assert names(folder) == {"checkpoint"}


def test_in_the_checkpoints_own_folder(folder: Path) -> None:
    assert run(folder / "checkpoint" / "run1", ".", "--to", "gguf").returncode == 0
    assert (folder / "checkpoint" / "run1-q8_0.gguf").exists()


def test_from_gguf_to_gguf_and_back(folder: Path) -> None:
    new = folder / "new" / "a.gguf"
    new.parent.mkdir()
    result = run(folder, "checkpoint/run1", "--to", "gguf", "--type", "f32", "--out", new)
    assert result.returncode == 0, result.stderr
    exact = Model.load(folder / "checkpoint" / "run1", weights="f32").logits([1, 2, 3])
    assert Model.load(new, weights="f32").logits([1, 2, 3]) == exact
    assert run(folder, "new/a.gguf", "--to", "gguf").returncode == 0
    assert GgufModel(folder / "new" / "a-q8_0.gguf").hparams.n_embd == 48
    assert run(folder, new, "--to", "gguf", "--type", "f16", "--out", new).returncode == 0
    assert Model.load(new, weights="f32").logits([1, 2, 3]) != exact


def test_gpt_2_simples_layout_is_made_of_a_gguf_file(folder: Path) -> None:
    assert run(folder, "checkpoint/run1", "--to", "gguf", "--type", "f32").returncode == 0
    result = run(folder, "checkpoint/run1-f32.gguf", "--to", "gpt-2-simple")
    assert result.returncode == 0, result.stderr
    made, origin = folder / "checkpoint" / "run1-f32-gpt-2-simple", folder / "checkpoint" / "run1"
    assert "28/28" in result.stderr
    assert list(Checkpoint(made).read_tensors()) == list(Checkpoint(origin).read_tensors())
    for name in ("encoder.json", "vocab.bpe"):
        assert (made / name).read_bytes() == (origin / name).read_bytes()


def test_the_terms_of_the_texts_go_along(folder: Path) -> None:
    terms = "Bulbapedia, CC BY-NC-SA 2.5\n3 texts.\n\nA Wiki, CC BY 4.0\n1 text.\n"
    (folder / "checkpoint/run1/corpus.attribution").write_text(terms)
    (folder / "checkpoint/run1/README.md").write_text("The card.\n")
    assert run(folder, "checkpoint/run1", "--to", "hf", "--out", "hf").returncode == 0
    assert (folder / "hf/corpus.attribution").read_text() == terms
    assert (folder / "hf/README.md").read_text() == "The card.\n"
    assert run(folder, "checkpoint/run1", "--to", "gguf", "--out", "a.gguf").returncode == 0
    assert run(folder, "a.gguf", "--to", "gguf", "--type", "f16", "--out", "b.gguf").returncode == 0
    for name in ("a.gguf", "b.gguf"):
        assert GgufModel(folder / name).about == {
            "general.description": terms,
            "general.license": "CC-BY-NC-SA-2.5 AND CC-BY-4.0",
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--to", "gguf"], "nothing is not a folder: no checkpoint there"),
        (["nothing.gguf", "--to", "hf"], "nothing.gguf is missing"),
        (["checkpoint", "--to", "gguf"], "checkpoint holds no model"),
        (["text.txt", "--to", "hf"], "text.txt is not a GGUF file"),
        (["checkpoint/run1", "--to", "gguf", "--out", "text.txt/a.gguf"], "Not a directory"),
        (["checkpoint/run1", "--to", "hf", "--out", "text.txt"], "text.txt: File exists"),
        (["checkpoint/run1", "--to", "gguf", "--out", "no/a.gguf"], "no/a.gguf: No such file"),
        (["checkpoint/run1", "--to", "gguf", "--out", "x" * 250 + ".gguf"], "File name too long"),
    ],
)
def test_mistakes_are_told_in_one_line(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "text.txt").write_text("Once upon a time")
    before = names(folder), names(folder / "checkpoint")
    result = run(folder, *arguments)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("export_model.py: ")
    assert message in last
    assert (names(folder), names(folder / "checkpoint")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a"],
        ["a", "--to", "onnx"],
        ["--to", "hf"],
        ["a", "--to", "hf", "--type", "q8_0"],
        ["checkpoint/run1", "--to", "gguf", "--out", "checkpoint"],
    ],
)
def test_wrong_arguments(folder: Path, arguments: list[str]) -> None:
    result = run(folder, *arguments)
    assert result.returncode == 2
    assert "usage: export_model.py" in result.stderr


def test_a_damaged_checkpoint_leaves_nothing(folder: Path) -> None:
    data = folder / "checkpoint" / "run1" / "model-3.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1  # in the last tensor
    data.write_bytes(content)
    for way in ("gguf", "hf", "gpt-2-simple"):
        result = run(folder, "checkpoint/run1", "--to", way)
        assert result.returncode == 1
        assert "is damaged or half-written" in result.stderr
    assert names(folder / "checkpoint") == {"run1"}


INTERRUPTED = """
import os, signal, sys
import export_model

def first_tensors(tensors, **_):
    for i, tensor in enumerate(tensors):
        if i == 3:
            os.kill(os.getpid(), signal.SIGINT)
        yield tensor

export_model.tqdm = first_tensors
sys.exit(export_model.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("way", ["gguf", "hf", "gpt-2-simple"])
def test_ctrl_c_leaves_nothing(folder: Path, way: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, folder / "checkpoint" / "run1", "--to", way]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 130
    assert result.stderr == "\nInterrupted. No file was changed.\n"
    assert names(folder / "checkpoint") == {"run1"}
