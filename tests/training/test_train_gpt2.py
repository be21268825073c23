"""train_gpt2.py as its users run it: begin, interrupt, resume, begin anew, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from corpus.copies import IN_CHECKPOINT, CopyIndex, build, index_of, up_to_date
from corpus.documents import write_documents
from engine import Checkpoint, Model, write_gguf

ROOT = Path(__file__).parents[2]
# Where it does not matter which engine computes: PyTorch starts in half the time.
TORCH = ("--engine", "torch")


class Script:
    """The script in a working folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run1 = folder / "checkpoint" / "run1"

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = [sys.executable, str(ROOT / "train_gpt2.py"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )

    def start(self, *arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start it; its outputs go into a file."""
        script = str(ROOT / "train_gpt2.py")
        command = [sys.executable, *launcher, script, *map(str, arguments)]
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)

    def wait_for_steps(self, process: subprocess.Popen[bytes], count: int) -> None:
        """Wait until metrics.jsonl tells of so many steps."""
        while not self.metrics()[count - 1 :]:
            assert process.poll() is None, (self.folder / "output").read_text()
            time.sleep(0.02)

    def metrics(self) -> list[int]:
        """The steps that metrics.jsonl tells of."""
        path = self.run1 / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return [line["step"] for line in map(json.loads, lines) if "loss" in line]

    def losses(self, run: str) -> list[float]:
        """Of each step, as metrics.jsonl tells them."""
        lines = (self.run1.with_name(run) / "metrics.jsonl").read_text().splitlines()
        return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def assert_whole(run: Path, step: int) -> None:
    """The folder holds the checkpoint of that step, every checksum right, and nothing older."""
    checkpoint = Checkpoint(run)
    assert checkpoint.prefix.name == f"model-{step}"
    assert sum(map(len, checkpoint.read_tensors())) > 0
    assert (run / "counter").read_text() == f"{step}\n"


def assert_one_line(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """A user's mistake: exit code 1 and one line that says what to do."""
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("train_gpt2.py: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_begins_samples_ends_and_goes_on(
    script: Script, corpus: Path, tiny_checkpoint: Path
) -> None:
    options = ("--model", tiny_checkpoint, "--corpus", corpus)
    result = script(*options, "--steps", 5, "--eval-every", 2, "--save-every", 3)
    assert result.returncode == 0, result.stderr
    assert "60 documents" in result.stdout
    assert "small" in result.stdout
    looked = [f"Step {step}: copied" in result.stdout for step in range(6)]
    assert looked == [True, False, True, False, True, True]
    assert "no documents are held out" in result.stdout
    assert "5/5" in result.stderr
    assert "tokens/s" in result.stderr
    for noise in ("Warning:", "WARNING", "oneDNN", "cuda", "Traceback", "deprecated"):
        assert noise not in result.stderr
    assert_whole(script.run1, 5)
    assert script.metrics() == [1, 2, 3, 4, 5]
    assert (script.run1 / "report.html").read_text().startswith("<!doctype html>")

    card = script.run1 / "README.md"
    assert ", 5 steps." in card.read_text()

    again = script(*options, "--steps", 5)
    assert again.returncode == 0
    assert "has 5 steps already" in again.stdout

    more = script(*options, "--steps", 7)
    assert more.returncode == 0, more.stderr
    assert "after step 5" in more.stdout
    assert ", 7 steps." in card.read_text()
    for first, steps in (("From the beginning", 5), ("After step 5", 7)):
        told = f"{first}:\n\n    python train_gpt2.py --model {tiny_checkpoint} --corpus {corpus} "
        assert f"{told}--steps {steps}" in card.read_text()
    versions = [f"{name} {version(name)}" for name in ("gpt-2-simple", "tensorflow", "numpy")]
    assert f"- engine: gpt-2-simple ({', '.join(versions)}, Python" in card.read_text()
    assert_whole(script.run1, 7)
    assert script.metrics() == [1, 2, 3, 4, 5, 6, 7]

    options = (*options, *TORCH)
    # Put away in half the space, it goes on as well.
    write_gguf(Checkpoint(script.run1), script.run1 / "model-7.gguf", "f16")
    shutil.rmtree(script.run1 / "state")
    for path in (*script.run1.glob("model-7.[id]*"), script.run1 / "checkpoint"):
        path.unlink()
    light = script(*options, "--steps", 8)
    assert light.returncode == 0, light.stderr
    assert "after step 7" in light.stdout
    assert_whole(script.run1, 8)
    assert not list(script.run1.glob("*.gguf"))

    fresh = script(*options, "--steps", 1, "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    assert "checkpoint/run1.1" in fresh.stdout
    assert_whole(script.run1, 1)
    assert_whole(script.folder / "checkpoint" / "run1.1", 8)


def test_the_copy_index_of_the_corpus_lies_in_the_run(
    script: Script, documents: list[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    corpus, index = tmp_path / "train.txt", script.run1 / IN_CHECKPOINT

    def train(documents: list[str], steps: int) -> None:
        write_documents(documents, corpus)
        options = ("--model", tiny_checkpoint, "--corpus", corpus, *TORCH)
        result = script(*options, "--steps", steps)
        assert result.returncode == 0, result.stderr
        assert up_to_date(corpus, index)

    train(documents, 1)
    # One that is prepared, which knows the titles, is taken; one of another corpus is not.
    write_documents(documents[1:], corpus)
    build(corpus, index_of(corpus), titles=["A title"] * len(documents))
    train(documents[1:], 2)
    assert index.read_bytes() == index_of(corpus).read_bytes()
    train(documents[2:], 3)
    assert not up_to_date(corpus, index_of(corpus))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_saves(
    script: Script, corpus: Path, tiny_checkpoint: Path, number: int, code: int
) -> None:
    process = script.start(
        *("--model", tiny_checkpoint, "--corpus", corpus, *TORCH),
        *("--steps", 10**6, "--save-every", 10**6, "--eval-every", 10**6),
    )
    script.wait_for_steps(process, 3)
    process.send_signal(number)
    assert process.wait(60) == code
    output = (script.folder / "output").read_text()
    assert "Stopping after this step, then saving" in output
    assert "Traceback" not in output
    steps = script.metrics()
    assert steps == list(range(1, len(steps) + 1))
    assert_whole(script.run1, len(steps))


def test_a_kill_loses_nothing_that_was_saved(
    script: Script, corpus: Path, tiny_checkpoint: Path
) -> None:
    # It saves after each step, so that the kill most likely hits it saving.
    options = ("--model", tiny_checkpoint, "--corpus", corpus, "--accumulate-gradients", 1, *TORCH)
    process = script.start(*options, "--steps", 10**6, "--save-every", 1, "--eval-every", 10**6)
    script.wait_for_steps(process, 4)
    process.kill()
    process.wait(60)
    step = int(Checkpoint(script.run1).prefix.name.removeprefix("model-"))
    assert step >= 3
    list(Checkpoint(script.run1).read_tensors())

    (script.run1 / "model-99_temp").mkdir()
    result = script(*options, "--steps", step + 3)
    assert result.returncode == 0, result.stderr
    assert_whole(script.run1, step + 3)
    assert script.metrics() == list(range(1, step + 4))
    assert {path.name.partition(".")[0] for path in script.run1.glob("model-*")} == {
        f"model-{step + 3}"
    }


@pytest.mark.parametrize("engine", ["gpt-2-simple", "torch"])
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(
    script: Script, corpus: Path, tiny_checkpoint: Path, engine: str
) -> None:
    """The same losses, learning rates and weights, to the last bit."""
    options = ("--model", tiny_checkpoint, "--corpus", corpus, "--engine", engine)
    options += ("--accumulate-gradients", 1, "--weight-decay", 0.1, "--save-every", 2)
    process = script.start(*options, "--steps", 40)
    script.wait_for_steps(process, 5)
    process.kill()
    process.wait(60)
    resumed = script(*options, "--steps", 40)
    assert resumed.returncode == 0, resumed.stderr
    straight = script(*options, "--steps", 40, "--run", "straight")
    assert straight.returncode == 0, straight.stderr
    runs = [script.run1, script.run1.with_name("straight")]
    measured = [
        [
            (line["step"], line["loss"], line["learning_rate"])
            for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
            if "loss" in line
        ]
        for run in runs
    ]
    assert len(measured[0]) == 40
    assert measured[0] == measured[1]
    assert Checkpoint(runs[0]).identity == Checkpoint(runs[1]).identity


def test_bfloat16_needs_torch(script: Script, corpus: Path, tiny_checkpoint: Path) -> None:
    options = ("--model", tiny_checkpoint, "--corpus", corpus, "--steps", 1)
    result = script(*options, "--precision", "bfloat16")
    assert result.returncode == 1
    assert result.stderr == "train_gpt2.py: --precision bfloat16 needs --engine torch\n"
    assert not script.run1.exists()
    for precision in ("float32", "bfloat16"):
        run = ("--engine", "torch", "--precision", precision, "--run", precision)
        assert script(*options, *run).returncode == 0
    identities = [
        Checkpoint(script.run1.with_name(run)).identity for run in ("float32", "bfloat16")
    ]
    assert identities[0] != identities[1]


def test_one_engine_goes_on_with_the_others_run(
    script: Script, corpus: Path, tiny_checkpoint: Path
) -> None:
    options = ("--model", tiny_checkpoint, "--corpus", corpus)
    assert script(*options, "--steps", 2).returncode == 0
    result = script(*options, "--steps", 4, "--engine", "torch")
    assert result.returncode == 0, result.stderr
    assert "after step 2" in result.stdout
    assert_whole(script.run1, 4)


def test_two_processes_train_as_one(script: Script, corpus: Path, tiny_checkpoint: Path) -> None:
    """Of three windows one has one, the other two. Interrupted, one goes on with what two began."""
    options = ("--model", tiny_checkpoint, "--corpus", corpus, *TORCH, "--precision", "float32")
    options += ("--batch-size", 3, "--accumulate-gradients", 1, "--weight-decay", 0.1)
    options += ("--steps", 60, "--eval-every", 100, "--save-every", 100)
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--")
    process = script.start(*options, launcher=torchrun)
    script.wait_for_steps(process, 3)
    process.terminate()
    process.wait(60)
    output = (script.folder / "output").read_text()
    assert output.count("Beginning checkpoint/run1") == 1
    assert output.count("Stopping after this step, then saving") == 1
    assert_whole(script.run1, len(script.metrics()))
    card = (script.run1 / "README.md").read_text()
    assert "torchrun --nnodes 1 --nproc-per-node 2 -- train_gpt2.py --model" in card
    for run in ("run1", "straight"):
        result = script(*options, "--run", run)
        assert result.returncode == 0, result.stderr
    assert script.losses("run1") == pytest.approx(script.losses("straight"), rel=1e-5)


def test_documents_held_out_decide(
    script: Script, documents: list[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    write_documents(documents[:40], tmp_path / "eps.txt")
    write_documents(documents[40:], tmp_path / "eps.valid.txt")
    options = ("--model", tiny_checkpoint, "--corpus", tmp_path / "eps.txt", "--steps", 400)
    options += ("--learning-rate", 0.01, "--eval-every", 10, "--patience", 2, *TORCH)
    result = script(*options)
    assert result.returncode == 0, result.stderr
    assert "eps.valid.txt: held out" in result.stdout
    lines = map(json.loads, (script.run1 / "metrics.jsonl").read_text().splitlines())
    losses = {line["step"]: line["valid_loss"] for line in lines if "copied" in line}
    best = min(losses, key=lambda step: losses[step])
    assert 0 < best < max(losses) < 400
    assert max(losses) == best + 20
    assert f"Stopped after step {max(losses)}" in result.stdout
    assert_whole(script.run1, best)
    again = script(*options)
    assert f"Stopped after step {max(losses)}" in again.stdout
    assert_whole(script.run1, best)


def test_corpora_are_learned_one_after_another(
    script: Script, documents: list[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for name, texts in (("authors", documents[:30]), ("mine.2", documents[30:])):
        write_documents(texts[3:], tmp_path / f"{name}.txt")
        # The second is one of several stages, which have one file together.
        write_documents(texts[:3], tmp_path / f"{name.removesuffix('.2')}.valid.txt")
    options = ("--model", tiny_checkpoint, "--eval-every", 4, *TORCH)
    corpora = ("--corpus", tmp_path / "authors.txt:6", "--corpus", tmp_path / "mine.2.txt:5:5e-5")
    result = script(*options, *map(str, corpora))
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (script.run1 / "metrics.jsonl").read_text().splitlines()]
    looked = [line for line in lines if "copied" in line]
    assert [(e["step"], e.get("stage", 0), *e["others"]) for e in looked] == [
        (0, 0, "mine.2.txt"),
        (4, 0, "mine.2.txt"),
        (6, 0, "mine.2.txt"),
        (8, 1, "authors.txt"),
        (11, 1, "authors.txt"),
    ]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert (max(rates[:6]), max(rates[6:])) == (1e-4, 5e-5)
    assert "on authors.txt, then mine.2.txt" in (script.run1 / "README.md").read_text()
    index = CopyIndex.open(script.run1 / IN_CHECKPOINT)
    assert index.find(documents[5].replace("\n", " ")) and index.find(documents[35])

    wrong = script(*options, "--corpus", "a.txt:3", "--corpus", "b.txt")
    assert wrong.returncode == 2 and "each needs its steps" in wrong.stderr
    wrong = script(*options, *map(str, corpora), "--valid", "v.txt")
    assert wrong.returncode == 2 and "as many files as --corpus" in wrong.stderr


def test_only_what_is_asked_for_is_imported(
    script: Script, corpus: Path, tiny_checkpoint: Path
) -> None:
    """TensorFlow takes seconds and half a gigabyte."""
    program = f"""
import sys
import train_gpt2
options = ["--model", {str(tiny_checkpoint)!r}, "--corpus", {str(corpus)!r}]
train_gpt2.main([*options, "--steps", "1", "--engine", "torch"])
print(sorted({{"tensorflow", "tensorboard", "mlflow"}} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=script.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    assert list(script.run1.glob("tensorboard/events.out.tfevents.*"))


def test_scratch_is_served_by_the_engine_and_by_gpt2_simple(script: Script, corpus: Path) -> None:
    result = script("--model", "scratch", "--corpus", corpus, "--steps", 2, "--batch-size", 1)
    assert result.returncode == 0, result.stderr
    assert_whole(script.run1, 2)
    model = Model.load(script.run1)
    with model.submit([model.tokenizer.end_of_text], length=5, seed=1) as text:
        assert len(list(text)) == 5
    assert model.hparams.n_ctx == 1024
    model.close()

    program = """
import gpt_2_simple
session = gpt_2_simple.start_tf_sess()
gpt_2_simple.load_gpt2(session, run_name="run1")
[text] = gpt_2_simple.generate(
    session, run_name="run1", prefix="Wren", length=8, top_k=1, return_as_list=True
)
print(repr(text))
"""
    generated = subprocess.run(
        [sys.executable, "-c", program],
        cwd=script.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert generated.returncode == 0, generated.stderr
    assert len(generated.stdout.splitlines()[-1]) > 8


def test_a_corpus_shorter_than_a_window_trains(
    script: Script, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "short.txt"
    corpus.write_text("Wren sleeps.\n", encoding="utf-8")
    result = script("--model", tiny_checkpoint, "--corpus", corpus, "--steps", 1, *TORCH)
    assert result.returncode == 0, result.stderr
    assert "fewer than one window" in result.stdout
    assert "no line <|endoftext|>" in result.stdout


def test_mistakes_are_told_in_one_line(
    script: Script, corpus: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    assert_one_line(
        script("--model", "scratch"), "data/train.txt does not exist", "prepare_corpus.py"
    )
    table = tmp_path / "posts.csv"
    table.write_text("id,text\n1,hello\n")
    assert_one_line(script("--corpus", table), "CSV", "prepare_corpus.py")
    assert_one_line(script("--model", "gpt3", "--corpus", corpus), "no model gpt3", "124M")
    delimiters = tmp_path / "delimiters.txt"
    delimiters.write_text("<|endoftext|>\n<|endoftext|>\n")
    assert_one_line(script("--model", "scratch", "--corpus", delimiters), "no documents")
    assert not (script.folder / "checkpoint").exists()
    (script.folder / "checkpoint").touch()
    assert_one_line(script("--model", tiny_checkpoint, "--corpus", corpus), "checkpoint")


def test_a_run_is_not_continued_by_another_model(
    script: Script, corpus: Path, tiny_checkpoint: Path
) -> None:
    options = ("--corpus", corpus, "--steps", 1, *TORCH)
    assert script("--model", tiny_checkpoint, *options).returncode == 0
    assert_one_line(
        script("--model", "scratch", *options), "not begun from the model scratch", "--fresh"
    )
    assert_one_line(script("--model", "gpt3", "--fresh", *options), "no model gpt3")
    assert_whole(script.run1, 1)
    assert_one_line(script("--model", "checkpoint/run1", "--fresh", *options), "its own base")
    assert_whole(script.run1, 1)
    (script.run1 / "model-1.data-00000-of-00001").write_bytes(b"")
    assert_one_line(script("--model", tiny_checkpoint, *options), "is empty")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--steps", "0"),
        ("--learning-rate", "nan"),
        ("--short-windows", "1.5"),
        ("--seed", "-1"),
        ("--run", "../run1"),
        ("--run", ""),
    ],
)
def test_wrong_options_are_refused(script: Script, arguments: tuple[str, str]) -> None:
    result = script(*arguments)
    assert result.returncode == 2
    assert f"argument {arguments[0]}" in result.stderr
