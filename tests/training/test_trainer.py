"""Both engines: the loss against numpy, the steps and files of each against the other's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import Checkpoint, HParams, Vocabulary, write_model_files
from engine.checkpoint import tensors
from training import TrainingError
from training.base import PUBLISHED
from training.gpt2simple import Gpt2Simple
from training.pytorch import PyTorch, can_compile, compiling_pays
from training.trainer import (
    MOMENTS,
    Trainer,
    load_state,
    load_weights,
    save_state,
    save_weights,
    shares,
)

HPARAMS = HParams(n_vocab=300, n_ctx=32, n_embd=64, n_head=4, n_layer=2)
Open = Callable[..., Trainer]


@pytest.fixture(params=[Gpt2Simple, PyTorch])
def engine(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens trainers of one engine."""
    opened = []

    def open_one(*, seed: int = 3, **options: object) -> Trainer:
        opened.append(request.param(HPARAMS, seed=seed, **options))
        return opened[-1]

    yield open_one
    for trainer in opened:
        trainer.close()


@pytest.fixture
def trainer(engine: Open) -> Trainer:
    return engine()


def draw(windows: int, length: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, HPARAMS.n_vocab, (windows, length), dtype=np.int32)


def weights_of(trainer: Trainer) -> dict[str, np.ndarray]:
    return {name: trainer.get(name).copy() for name, _ in tensors(HPARAMS)}


def reference_loss(w: dict[str, np.ndarray], batch: np.ndarray, n_head: int) -> float:
    """GPT-2 by the paper, in double precision (Radford et al. 2019)."""

    def norm(x: np.ndarray, scope: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return (
            x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[scope + "/g"] + w[scope + "/b"]
        )

    def linear(x: np.ndarray, scope: str) -> np.ndarray:
        return x @ w[scope + "/w"][0] + w[scope + "/b"]

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    w = {name.removeprefix("model/"): value.astype(np.float64) for name, value in w.items()}
    losses = []
    for tokens in batch:
        n = len(tokens)
        future = np.triu(np.full((n, n), -np.inf), 1)
        x = w["wte"][tokens] + w["wpe"][:n]
        for layer in range(sum(name.endswith("attn/c_attn/w") for name in w)):
            h = f"h{layer}"
            qkv = linear(norm(x, f"{h}/ln_1"), f"{h}/attn/c_attn")
            q, k, v = qkv.reshape(n, 3, n_head, -1).transpose(1, 2, 0, 3)
            a = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + future) @ v
            x = x + linear(a.transpose(1, 0, 2).reshape(n, -1), f"{h}/attn/c_proj")
            f = linear(norm(x, f"{h}/ln_2"), f"{h}/mlp/c_fc")
            gelu = 0.5 * f * (1 + np.tanh(np.sqrt(2 / np.pi) * (f + 0.044715 * f**3)))
            x = x + linear(gelu, f"{h}/mlp/c_proj")
        p = softmax(norm(x, "ln_f") @ w["wte"].T)
        losses.append(-np.log(p[np.arange(n - 1), tokens[1:]]))
    return float(np.mean(losses))


def test_loss_is_gpt2s(trainer: Trainer) -> None:
    # After some steps, so that no bias is zero and no gain one.
    for seed in range(3):
        trainer.step([draw(2, 32, seed)], 1e-2)
    batch = draw(3, 20, seed=9)
    expected = reference_loss(weights_of(trainer), batch, HPARAMS.n_head)
    assert trainer.losses(batch).mean() == pytest.approx(expected, rel=1e-5)
    assert trainer.step([batch], 1e-3) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("length", [2, 3, 6])
def test_short_windows_have_their_losses(trainer: Trainer, length: int) -> None:
    """Some of the parts into which attention divides a window are empty."""
    batch = draw(2, length)
    expected = reference_loss(weights_of(trainer), batch, HPARAMS.n_head)
    assert trainer.losses(batch).mean() == pytest.approx(expected, rel=1e-5)
    assert trainer.step([batch], 1e-3) == pytest.approx(expected, rel=1e-5)


def test_bfloat16_is_for_steps_alone() -> None:
    """What they multiply; the losses by which runs are compared stay the same."""
    exact, rounded = (PyTorch(HPARAMS, seed=3, bfloat16=bfloat16) for bfloat16 in (False, True))
    batch = draw(4, 32)
    assert (rounded.losses(batch) == exact.losses(batch)).all()
    loss = exact.step([batch], 1e-3)
    assert rounded.step([batch], 1e-3) == pytest.approx(loss, abs=1e-2)
    assert (rounded.get("model/wte") != exact.get("model/wte")).any()
    assert rounded.get("model/wte").dtype == np.float32


def test_compiling_is_for_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it costs here; where a compiler is missing, never.

    That steps are the same was looked at by hand, as compiling takes half a minute and more: the
    first six losses of a tiny model were apart by less than 1e-6 (`--compile`, float32).
    """
    can = can_compile()
    assert compiling_pays(PUBLISHED["124M"], 10**7) is can
    assert not compiling_pays(PUBLISHED["124M"], 10**6)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not can_compile()
    assert not compiling_pays(PUBLISHED["124M"], 10**7)


def test_steps_lower_the_loss(trainer: Trainer) -> None:
    batch = draw(2, 32)
    first = trainer.step([batch], 1e-3)
    for _ in range(20):
        last = trainer.step([batch], 1e-3)
    assert last < first - 0.5


def test_accumulated_batches_count_as_one(engine: Open) -> None:
    results = []
    for parts in (1, 4):
        trainer = engine()
        losses = [trainer.step(np.split(draw(4, 16, seed), parts), 1e-3) for seed in range(3)]
        results.append((losses, weights_of(trainer)))
    (losses, weights), (accumulated_losses, accumulated) = results
    assert accumulated_losses == pytest.approx(losses, rel=1e-5)
    for name, weight in weights.items():
        np.testing.assert_allclose(accumulated[name], weight, atol=2e-4, err_msg=name)


def assert_same_training(trainer: Trainer, reference: Trainer) -> None:
    """The same losses and weights by batches of several sizes."""
    for seed in range(3):
        batches = [draw(5, 16, seed), draw(2, 32, seed)]
        loss = reference.step(batches, 1e-3)
        assert trainer.step(batches, 1e-3) == pytest.approx(loss, rel=1e-5)
    for name, weight in weights_of(reference).items():
        np.testing.assert_allclose(trainer.get(name), weight, atol=2e-4, err_msg=name)


def test_a_batch_that_is_cut_counts_as_before(engine: Open) -> None:
    """Into three windows and two, and into single ones."""
    assert_same_training(engine(most_tokens=50), engine())


def test_what_is_computed_again_is_the_same() -> None:
    trainer, reference = PyTorch(HPARAMS, seed=3, recompute=True), PyTorch(HPARAMS, seed=3)
    assert_same_training(trainer, reference)
    # More than a part of what is before the losses.
    batch = draw(20, 32)
    assert trainer.step([batch], 1e-3) == pytest.approx(reference.step([batch], 1e-3), rel=1e-5)


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 8])
def test_processes_share_a_step(processes: int) -> None:
    """Every window is one process's, none has two more than another, and all count the same."""
    batches = [draw(5, 16, 1), draw(2, 32, 2)]
    per_process = [shares(batches, 40, process, processes) for process in range(processes)]
    counts = [sum(len(tokens) for tokens, _ in parts) for parts in per_process]
    assert sum(counts) == 7 and max(counts) - min(counts) <= 1
    weights = {}
    for tokens, share in (part for parts in per_process for part in parts):
        assert tokens.size <= 40
        weights |= {window.tobytes(): share / len(tokens) for window in tokens}
    assert weights == pytest.approx(
        {window.tobytes(): 1 / 2 / len(batch) for batch in batches for window in batch}
    )


def test_weight_decay_shrinks_matrices_alone(engine: Open) -> None:
    """Without the gradient's part, which the learning rate of both has in common."""
    batch = draw(2, 32)
    with_decay, without = engine(weight_decay=0.5), engine()
    before = weights_of(without)
    for trainer in (with_decay, without):
        trainer.step([batch], 1e-2)
    for name, weight in weights_of(with_decay).items():
        decay = 0.5 * 1e-2 * before[name] if name.endswith(("/w", "wte", "wpe")) else 0
        np.testing.assert_allclose(weight, without.get(name) - decay, atol=1e-6, err_msg=name)


def test_saved_weights_are_loaded_again(
    engine: Open, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    trainer, other = engine(), engine(seed=4)
    batch = draw(2, 32)
    trainer.step([batch], 1e-2)
    save_weights(trainer, tmp_path / "model-1")
    assert {path.name for path in tmp_path.iterdir()} == {
        "model-1.index",
        "model-1.data-00000-of-00001",
    }
    write_model_files(HPARAMS, Vocabulary.load(tiny_checkpoint), tmp_path)
    assert other.losses(batch).mean() != trainer.losses(batch).mean()
    load_weights(other, Checkpoint(tmp_path))
    assert other.losses(batch).mean() == trainer.losses(batch).mean()


def test_a_loaded_state_goes_on_as_if_it_had_never_stopped(engine: Open, tmp_path: Path) -> None:
    straight = engine(weight_decay=0.1)
    for seed in range(3):
        straight.step([draw(2, 32, seed)], 1e-2)
    save_state(straight, tmp_path / "step-3")
    resumed = engine(seed=4, weight_decay=0.1)
    load_state(resumed, tmp_path / "step-3", 3)
    for seed in range(3, 6):
        batch = draw(2, 32, seed)
        assert resumed.step([batch], 1e-2) == straight.step([batch], 1e-2)
    for name, weight in weights_of(straight).items():
        np.testing.assert_array_equal(resumed.get(name), weight, err_msg=name)


def test_each_engine_goes_on_with_what_the_other_saved(tmp_path: Path) -> None:
    """A state there and back again: the same losses."""
    theirs = Gpt2Simple(HPARAMS, seed=1, weight_decay=0.1)
    for seed in range(3):
        theirs.step([draw(2, 32, seed)], 1e-2)
    save_state(theirs, tmp_path / "step-3")
    ours = PyTorch(HPARAMS, seed=2, weight_decay=0.1)
    load_state(ours, tmp_path / "step-3", 3)
    for seed in range(3, 6):
        batches = [draw(2, 32, seed), draw(3, 20, seed)]
        assert ours.step(batches, 1e-2) == pytest.approx(theirs.step(batches, 1e-2), rel=1e-5)
    save_state(ours, tmp_path / "step-6")
    again = Gpt2Simple(HPARAMS, seed=5, weight_decay=0.1)
    load_state(again, tmp_path / "step-6", 6)
    for suffix in ("", *MOMENTS):
        for name, _ in tensors(HPARAMS):
            np.testing.assert_array_equal(again.get(name + suffix), ours.get(name + suffix))
    for seed in range(6, 9):
        batch = draw(2, 32, seed)
        assert again.step([batch], 1e-2) == pytest.approx(ours.step([batch], 1e-2), rel=1e-4)
    theirs.close()
    again.close()


def test_the_seed_decides_the_first_weights(engine: Open) -> None:
    first = [engine(seed=seed).get("model/wte").copy() for seed in (3, 3, 4)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()
    assert first[0].std() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_a_broken_state_is_an_error_of_one_line(
    trainer: Trainer, tmp_path: Path, suffix: str
) -> None:
    save_state(trainer, tmp_path / "step-1")
    path = tmp_path / f"step-1{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TrainingError, match=r"step-1 cannot be read[^\n]+$"):
        load_state(trainer, tmp_path / "step-1", 1)


def muon(seed: int = 3) -> PyTorch:
    return PyTorch(HPARAMS, seed=seed, weight_decay=0.1, muon=True)


def test_muon_turns_all_directions_of_a_matrix_alike() -> None:
    trainer, rate = muon(), 1e-2
    before = {name: weight.astype(np.float64) for name, weight in weights_of(trainer).items()}
    trainer.step([draw(4, 32)], rate)
    for name, weight in weights_of(trainer).items():
        step = before[name] * (1 - rate * 0.1) - weight
        if name.endswith("/w"):
            sizes = np.linalg.svd(step[0], compute_uv=False) / (0.2 * np.sqrt(max(step[0].shape)))
            assert 0.5 * rate < np.median(sizes) < 1.5 * rate, name
            assert sizes.max() < 1.5 * rate, name
        elif name.endswith(("/g", "/b")):  # Adam's first step is the rate in each number
            np.testing.assert_allclose(abs(before[name] - weight).max(), rate, rtol=0.01)


def test_muon_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    straight, resumed = muon(), muon(seed=4)
    for seed in range(2):
        straight.step([draw(2, 32, seed)], 1e-2)
    save_state(straight, tmp_path / "step-2")
    load_state(resumed, tmp_path / "step-2", 2)
    for seed in range(2, 4):
        batch = draw(2, 32, seed)
        assert resumed.step([batch], 1e-2) == straight.step([batch], 1e-2)
    with pytest.raises(TrainingError, match="by this --optimizer"):
        load_state(PyTorch(HPARAMS, seed=1), tmp_path / "step-2", 2)


def test_a_step_that_explodes_is_an_error(trainer: Trainer) -> None:
    with pytest.raises(TrainingError, match="--learning-rate"):
        for seed in range(4):
            trainer.step([draw(2, 32, seed)], 1e30)


def test_a_folder_that_cannot_be_written_is_an_error(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"model-1 cannot be saved: [^\n]+$"):
        save_weights(trainer, tmp_path / "file" / "model-1")
