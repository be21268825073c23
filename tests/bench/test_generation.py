"""bench: the command measures what it says, on a tiny model; nothing here depends on speed."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.quality import evaluate, held_out
from bench.report import Case, Entrant, Process, Results, Round, markdown
from engine import HParams, Tokenizer
from tests.conftest import ROOT, make_checkpoint

ENGINES = ["ours", "llama.cpp wheel", "CTranslate2"]
SMALL = HParams(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 wide: Q8_0 files need multiples of 32."""
    hparams = {"n_ctx": 64, "n_embd": 64, "n_head": 2, "n_layer": 2}
    return make_checkpoint(tmp_path_factory.mktemp("bench") / "run1", hparams)


def command(checkpoint: Path, cache: Path, *options: str) -> list[str]:
    measure = [sys.executable, "-m", "bench.generation", "--busy", "--checkpoint", str(checkpoint)]
    return [*measure, "--cache", str(cache), "--engines", ",".join(ENGINES), *options]


def rows(text: str, title: str) -> dict[str, list[str]]:
    """A table's rows, by their first cell; the title is the header's."""
    table = re.search(rf"^\| {re.escape(title)} \|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None, text
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table[1].splitlines()]
    return {first: rest for first, *rest in cells}


def test_the_command_measures_every_engine(checkpoint: Path, tmp_path: Path) -> None:
    options = ["--only", "mini", "--streams", "1,3", "--rounds", "2", "--length", "8"]
    options += ["--seconds", "0"]
    done = subprocess.run(
        command(checkpoint, tmp_path, *options), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    table = rows(done.stdout, "tokens/s")
    assert list(table) == ["mini, 1 request", "mini, 3 requests"]
    for cells in table.values():
        *speeds, ratio, share = cells
        assert len(speeds) == len(ENGINES)
        assert all(int(speed.replace(",", "")) > 0 for speed in speeds)
        assert re.fullmatch(
            r"\*\*[\d.]+\*\* \([\d.]+-[\d.]+\) (llama.cpp wheel|CTranslate2)", ratio
        )
        assert re.fullmatch(r"\d+% (memory|int8)", share)

    results = json.loads((tmp_path / "results.json").read_text())
    assert results["failures"] == []
    for case in results["cases"]:
        assert [sorted(r["speeds"]) for r in case["rounds"]] == [sorted(ENGINES)] * 2
        assert min(min(r["limits"].values()) for r in case["rounds"]) > 0
        # The same weights: the engines agree where none has to decide a close call.
        ours, *peers = (case["greedy"][label] for label in ENGINES)
        assert [peer[:2] for peer in peers] == [ours[:2]] * 2


def test_an_interrupt_leaves_no_process_behind(checkpoint: Path, tmp_path: Path) -> None:
    options = ["--only", "mini", "--streams", "2", "--rounds", "100000", "--length", "8"]
    bench = subprocess.Popen(
        command(checkpoint, tmp_path, *options), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert bench.stderr is not None
    while not children(bench.pid, "CTranslate2"):
        assert bench.poll() is None
        time.sleep(0.05)
    workers = children(bench.pid, "bench.engines")
    bench.send_signal(signal.SIGINT)
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert "Traceback" not in errors
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def children(parent: int, having: str) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if having in _command_line(pid)]


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "everything"], "'everything' is none of 124M, prefill, mini, process, quality"),
        (["--engines", "ours,vLLM"], "'vLLM' is none of ours"),
        (["--streams", "0"], "at least one each"),
        (["--rounds", "0"], "--rounds: must be at least 1"),
    ],
)
def test_wrong_arguments_are_explained(options: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.generation", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "nothing", tmp_path, "--only", "mini"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bench.generation: ")
    assert "Traceback" not in done.stderr


ENTRANTS = [
    Entrant("ours", "Ours"),
    Entrant("llama.cpp", "LlamaServer"),
    Entrant("CTranslate2", "CTranslate2"),
]


def test_ratios_are_medians_of_rounds_to_the_best_peer_of_each() -> None:
    case = Case("124M, 4 requests", SMALL, 4, 6, 128)
    limits = {"read": 32.8, "vnni": 400.0, "avx2": 100.0}
    for ours, llama, ct2 in ((300, 100, 150), (200, 100, 50), (400, 80, 100)):
        speeds = {"ours": float(ours), "llama.cpp": float(llama), "CTranslate2": float(ct2)}
        case.rounds.append(Round(0.0, limits, speeds))
    text = markdown(Results({}, cases=[case]), ENTRANTS)
    cells = rows(text, "tokens/s")["124M, 4 requests"]
    # 300/150, 200/100, 400/100. Reading allows 32.8e9 / 131.2e6 * 4 = 1,000, computing 3,239.
    assert cells == ["300", "100", "100", "**2.00** (2.00-4.00) CTranslate2", "30% memory"]


def test_the_head_is_needed_for_the_last_prompt_token_alone() -> None:
    limits = {"read": 30.0, "vnni": 400.0, "avx2": 100.0}
    body, head = 12 * 12 * 768**2, 50257 * 768
    speed, what = Case("", SMALL, 1, 512, 1).limit(limits, "vnni")
    assert (speed, what) == (pytest.approx(400e9 / (body + head / 512)), "int8")


def test_processes_and_quality_have_tables(checkpoint: Path) -> None:
    texts = ["Wren and Fizzlet walk along the harbor. " * 6]
    quality = {w: evaluate(checkpoint, texts, w, 1) for w in ("f32", "q8_0")}
    results = Results(
        {"processor": "a fast one"},
        processes={"ours": Process([0.3, 0.1, 0.2], [0.05], {1: 150_000_000, 16: 200_000_000})},
        quality=quality,
        failures=["gpt-2-simple, mini: the process ended: killed"],
    )
    text = markdown(results, ENTRANTS)
    assert rows(text, "124M")["ours"] == ["0.20 s", "0.05 s", "150 MB", "200 MB"]
    f32, q8 = (float(rows(text, "held-out text")[w][0]) for w in ("f32", "q8_0"))
    assert q8 / f32 == pytest.approx(1, abs=0.05)
    assert "- processor: a fast one" in text
    assert "- gpt-2-simple, mini: the process ended: killed" in text


def test_perplexity_is_that_of_gpt_2_simple(checkpoint: Path, tmp_path: Path) -> None:
    texts = [
        "Suddenly, the Umbrage Trio appears! Dorian laughs. " * 8,
        "In 1997 they'd counted 24.",
    ]
    tokenizer = Tokenizer.load(checkpoint)
    end = tokenizer.end_of_text
    inputs, wanted = [], []
    for text in texts:
        tokens = [end, *tokenizer.encode(text), end]
        for i in range(0, len(tokens) - 1, 64):
            wanted.append(tokens[i + 1 : i + 65])
            inputs.append([*tokens[i : i + len(wanted[-1])], *[0] * (64 - len(wanted[-1]))])
    assert len(inputs) > len(texts)  # one needs several windows
    np.save(tmp_path / "tokens.npy", np.array(inputs, dtype=np.int32))
    script = ROOT / "tests" / "engine" / "reference_logits.py"
    files = [tmp_path / "tokens.npy", tmp_path / "logits.npy"]
    subprocess.run([sys.executable, script, checkpoint, *files], check=True, capture_output=True)
    nats = 0.0
    for rows_, ids in zip(np.load(files[1]).astype(np.float64), wanted, strict=True):
        chances = np.exp(rows_) / np.exp(rows_).sum(axis=1, keepdims=True)
        nats -= float(np.log(chances[np.arange(len(ids)), ids]).sum())

    quality = evaluate(checkpoint, texts, "f32", 2)
    assert quality.tokens == sum(map(len, wanted))
    assert quality.perplexity == pytest.approx(math.exp(nats / quality.tokens), rel=1e-3)
    bits = nats / math.log(2)
    assert quality.bits_per_byte == pytest.approx(bits / sum(map(len, texts)), rel=1e-3)


def test_held_out_documents_are_those_that_preparation_holds_out(tmp_path: Path) -> None:
    held = held_out(ROOT / "data" / "sample")
    prepare = [sys.executable, "prepare_corpus.py", "data/sample", "--out", tmp_path / "train.txt"]
    subprocess.run(prepare, cwd=ROOT, check=True, capture_output=True)
    valid = (tmp_path / "valid.txt").read_text()
    assert len(held) >= 1
    assert [text in valid for text in held] == [True] * len(held)
    assert valid.count("<|endoftext|>") >= len(held) - 1
