"""evaluate_gpt2.py as its users run it: a base against a run, names of models, texts, mistakes."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import GgufModel, open_source, write_gguf
from tests.conftest import ROOT

RUN1 = ROOT / "checkpoint" / "run1"
WRITING = {"copied", "distinct_1", "distinct_2", "distinct_3", "repetition", "words", "ended"}


def script(name: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def evaluate(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    result = script("evaluate_gpt2.py", folder, *arguments)
    assert "Traceback" not in result.stderr
    return result


def cells(table: str) -> dict[str, list[str]]:
    """A Markdown table's rows by their first cells."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {name: values for name, *values in rows}


def measured(path: Path) -> list[dict[str, object]]:
    models: list[dict[str, object]] = json.loads(path.read_text())["models"]
    return models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where data/valid.txt has two documents."""
    (tmp_path / "data").mkdir()
    text = "Wren rows home before the fog.\n<|endoftext|>\nA frog sings to Grumbit.\n"
    (tmp_path / "data" / "valid.txt").write_text(text)
    return tmp_path


def test_a_base_against_a_run(folder: Path, tiny_checkpoint: Path) -> None:
    result = evaluate(folder, tiny_checkpoint, RUN1, "--texts", 4, "--json", "measured.json")
    assert result.returncode == 0, result.stderr
    assert "data/valid.txt: 2 documents, 54 bytes" in result.stdout
    assert "4 texts of 400 tokens at most, temperature 0.7, top_k 40" in result.stdout
    assert "100%" in result.stderr
    table = cells(result.stdout)
    assert table[""] == [str(tiny_checkpoint), str(RUN1)]
    assert table["context, stride"] == ["256, 128", "1,024, 512"]
    base, run = measured(folder / "measured.json")
    for column, model in enumerate((base, run)):
        assert model.keys() >= WRITING | {"identity", "tokens"}
        assert table["perplexity"][column] == f"{model['perplexity']:,.2f}"
        assert table["bits per byte"][column] == f"{model['bits_per_byte']:.3f}"
        assert table["distinct-2"][column] == f"{model['distinct_2']:.3f}"
    assert base["copied"] is None  # it knows no corpus
    assert table["copied"] == ["-", f"{run['copied']:.1%}"]
    # Trained on English, it knows more of it than random weights.
    assert run["bits_per_byte"] < base["bits_per_byte"]

    again = evaluate(folder, RUN1, "--texts", 4, "--json", "again.json")
    assert again.returncode == 0, again.stderr
    (same,) = measured(folder / "again.json")
    assert same == run | {"checkpoint": str(RUN1)}


def test_models_are_found_by_every_name(folder: Path, tiny_checkpoint: Path) -> None:
    published = folder / "models" / "124M"
    shutil.copytree(tiny_checkpoint, published, ignore=shutil.ignore_patterns("*.packed"))
    for path in published.glob("model-3.*"):
        path.rename(published / path.name.replace("model-3", "model.ckpt"))
    (published / "model.ckpt.meta").touch()
    (published / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    write_gguf(open_source(tiny_checkpoint), folder / "tiny.gguf", "f32")
    assert GgufModel(folder / "tiny.gguf").hparams.n_ctx == 256
    names = [tiny_checkpoint, "124M", "models/124M", "tiny.gguf"]
    result = evaluate(folder, *names, "--texts", 0, "--stride", 1)
    assert result.returncode == 0, result.stderr
    table = cells(result.stdout)
    assert len(table["perplexity"]) == 4
    assert len(set(table["perplexity"])) == 1
    assert table["context, stride"] == ["256, 1"] * 4
    assert "copied" not in table


def test_a_folder_and_a_plain_text_are_read_too(folder: Path) -> None:
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "1.txt").write_text("Wren rows home before the fog.\n")
    (corpus / "2.txt").write_text("\n")
    (corpus / "3.txt").write_text("A frog sings to Grumbit.\n")
    (folder / "plain.txt").write_text("Wren rows home before the fog.")
    found = {}
    for text in ("data/valid.txt", "corpus", "plain.txt"):
        result = evaluate(folder, RUN1, "--texts", 0, "--text", text)
        assert result.returncode == 0, result.stderr
        found[text] = cells(result.stdout)["perplexity"]
    assert found["corpus"] == found["data/valid.txt"] != found["plain.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no model nothing: choose mini, 124M"),
        (["nothing.gguf"], "there is no model nothing.gguf"),
        (["scratch"], "scratch has no weights before it is trained"),
        (["data"], "data holds no model"),
        (["TINY", "--text", "no.txt"], "no.txt does not exist"),
        (["TINY", "--text", "empty"], "empty has no documents"),
        (["TINY", "--text", "TINY/model-3.index"], "is not UTF-8 text"),
        (["TINY", "--stride", "257"], "--stride 257: the context of"),
        (["TINY", "--json", "no/a.json"], "--json no/a.json is not a file's name"),
        (["TINY", "--json", "data"], "--json data is not a file's name"),
    ],
)
def test_mistakes_are_told_in_one_line(
    folder: Path, tiny_checkpoint: Path, arguments: list[str], message: str
) -> None:
    (folder / "empty").mkdir()
    result = evaluate(folder, *(a.replace("TINY", str(tiny_checkpoint)) for a in arguments))
    assert result.returncode == 1
    assert result.stderr.startswith("evaluate_gpt2.py: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments", [[], ["a", "--stride", "0"], ["a", "--texts", "-1"], ["a", "--weights", "f16"]]
)
def test_wrong_arguments(folder: Path, arguments: list[str]) -> None:
    result = evaluate(folder, *arguments)
    assert result.returncode == 2
    assert "usage: evaluate_gpt2.py" in result.stderr


def test_help_has_examples(folder: Path) -> None:
    result = evaluate(folder, "--help")
    assert result.returncode == 0
    assert "evaluate_gpt2.py 124M checkpoint/pokemon" in result.stdout


def test_writingprompts_before_and_after_fine_tuning(
    shared_data: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """The README's way to the ancestor's table, with a tiny model and few stories."""

    def run(name: str, *arguments: object) -> None:
        result = script(name, tmp_path, *arguments)
        assert result.returncode == 0, result.stderr

    prompts = tmp_path / "writingPrompts"
    prompts.mkdir()
    for split, count in (("train", 60), ("valid", 5)):
        for side in ("wp_source", "wp_target"):
            lines = (shared_data / "writingprompts" / f"{split}.{side}").read_bytes().split(b"\n")
            (prompts / f"{split}.{side}").write_bytes(b"\n".join(lines[:count]) + b"\n")
    for split, out in (("train", "data/wp"), ("valid", "data/wp-valid")):
        files = [prompts / f"{split}.wp_source", prompts / f"{split}.wp_target"]
        run("import_archive.py", *files, "--out", out)
    run("prepare_corpus.py", "data/wp", "--out", "data/wp.txt", "--holdout", 0.1)
    run(
        *("train_gpt2.py", "--model", tiny_checkpoint, "--corpus", "data/wp.txt", "--run", "wp"),
        *("--engine", "torch", "--steps", 10, "--learning-rate", 0.001),
    )
    run(
        *("evaluate_gpt2.py", tiny_checkpoint, "checkpoint/wp", "--text", "data/wp-valid"),
        *("--weights", "q8_0", "--texts", 4, "--json", "wp.json"),
    )
    before, after = measured(tmp_path / "wp.json")
    assert before["tokens"] == after["tokens"]
    assert math.isfinite(float(str(before["perplexity"])))
    assert float(str(after["perplexity"])) < float(str(before["perplexity"]))
    assert after["copied"] is not None
