"""The forward pass against gpt-2-simple's own on the same checkpoint."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import Model
from tests.conftest import ROOT, make_checkpoint

Logits = NDArray[np.float32]


def gpt_2_simple(folder: Path, tokens: NDArray[np.int32], tmp_path: Path) -> Logits:
    """gpt-2-simple's logits [rows][n][n_vocab] of tokens [rows][n], in a process of its own."""
    np.save(tmp_path / "tokens.npy", tokens)
    script = Path(__file__).with_name("reference_logits.py")
    command = [sys.executable, script, folder, tmp_path / "tokens.npy", tmp_path / "logits.npy"]
    subprocess.run(command, check=True, capture_output=True)
    logits: Logits = np.load(tmp_path / "logits.npy")
    return logits


def ours(model: Model, tokens: NDArray[np.int32]) -> Logits:
    return np.stack([np.asarray(model.logits(row.tolist())) for row in tokens])


@pytest.fixture(scope="module")
def mini_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hparams = {"n_ctx": 1024, "n_embd": 256, "n_head": 8, "n_layer": 8}
    return make_checkpoint(tmp_path_factory.mktemp("mini"), hparams, "--scale", "4")


@pytest.fixture(scope="module")
def random_124m(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    hparams = {"n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
    vocabulary = str(shared_data / "gpt2")
    folder = tmp_path_factory.mktemp("124M")
    return make_checkpoint(folder, hparams, "--vocabulary", vocabulary, "--scale", "1")


@pytest.mark.parametrize(
    ("checkpoint", "n"), [("tiny_checkpoint", 256), ("mini_checkpoint", 300), ("random_124m", 40)]
)
def test_logits_are_gpt_2_simples(
    checkpoint: str, n: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Floats to 1e-4 of the largest logit; Q8_0 as near as its 8 bits allow on random weights."""
    folder = request.getfixturevalue(checkpoint)
    exact, quantised = Model.load(folder, weights="f32"), Model.load(folder)
    tokens = np.random.default_rng(0).integers(0, exact.hparams.n_vocab, (2, n), dtype=np.int32)
    expected = gpt_2_simple(folder, tokens, tmp_path)
    assert np.abs(ours(exact, tokens) - expected).max() < 1e-4 * np.abs(expected).max()
    error = np.linalg.norm(ours(quantised, tokens) - expected) / np.linalg.norm(expected)
    assert error < 0.05


@pytest.mark.parametrize("weights", ["q8_0", "f32"])
def test_every_kernel_and_thread_count_gives_the_same_bits(
    tiny_checkpoint: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [i * 7 % 341 for i in range(200)]
    seen = {}
    for kernel in ("avx512", "avx2", "portable"):
        monkeypatch.setenv("GPT2_KERNEL", kernel)
        for threads in (1, 2, 3):
            model = Model.load(tiny_checkpoint, weights=weights, threads=threads)
            seen[model.kernel, threads] = bytes(model.logits(tokens))
    assert ("portable", 2) in seen
    assert len(set(seen.values())) == 1


def test_logits_of_a_part_are_those_of_the_whole(tiny_checkpoint: Path) -> None:
    model = Model.load(tiny_checkpoint)
    tokens = [i * 5 % 341 for i in range(150)]
    whole = np.asarray(model.logits(tokens))
    for n in (1, 63, 64, 65, 149):
        assert np.array_equal(np.asarray(model.logits(tokens[:n])), whole[:n])


@pytest.mark.parametrize("tokens", [[], [341], [-1], [0] * 257])
def test_tokens_that_do_not_fit(tiny_checkpoint: Path, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="1 to 256 tokens below 341"):
        Model.load(tiny_checkpoint).logits(tokens)


def log_softmax(x: Logits) -> NDArray[np.float64]:
    x = x.astype(np.float64) - x.max(-1, keepdims=True)
    result: NDArray[np.float64] = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return result


def test_quantisation_costs_a_trained_model_nearly_nothing() -> None:
    """The committed checkpoint on episodes of its own corpus: perplexity within 0.5%, the same
    likeliest token at least 97% of the time, mean KL divergence under 5e-3."""
    exact, quantised = (
        Model.load(ROOT / "checkpoint" / "run1", weights=w) for w in ("f32", "q8_0")
    )
    end = exact.tokenizer.end_of_text
    nll = np.zeros(2)
    same, divergence = [], []
    for path in sorted((ROOT / "data" / "sample").glob("*.txt"))[::6]:
        tokens = [end, *exact.tokenizer.encode(path.read_text().strip()), end]
        p, q = (log_softmax(np.asarray(model.logits(tokens[:-1]))) for model in (exact, quantised))
        nll -= [x[np.arange(len(tokens) - 1), tokens[1:]].sum() for x in (p, q)]
        same.extend(p.argmax(-1) == q.argmax(-1))
        divergence.extend((np.exp(p) * (p - q)).sum(-1))
    assert len(same) > 5000
    perplexity = np.exp(nll / len(same))
    assert abs(perplexity[1] / perplexity[0] - 1) < 0.005
    assert np.mean(same) >= 0.97
    assert np.mean(divergence) < 5e-3
