"""gpt2simple: the loss against numpy, the steps against each other, files against the reader."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import HParams
from training import TrainingError
from training.gpt2simple import Gpt2Simple, tf

HPARAMS = HParams(n_vocab=300, n_ctx=32, n_embd=64, n_head=4, n_layer=2)


@pytest.fixture
def trainer() -> Iterator[Gpt2Simple]:
    trainer = Gpt2Simple(HPARAMS, seed=3)
    yield trainer
    trainer.close()


def draw(windows: int, length: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, HPARAMS.n_vocab, (windows, length), dtype=np.int32)


def weights_of(prefix: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(prefix))
    return {
        name.removeprefix("model/"): reader.get_tensor(name).astype(np.float64)
        for name in reader.get_variable_to_shape_map()
    }


def saved(trainer: Gpt2Simple, folder: Path) -> dict[str, np.ndarray]:
    trainer.save(folder / "model-1")
    return weights_of(folder / "model-1")


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


def test_loss_is_gpt2s(trainer: Gpt2Simple, tmp_path: Path) -> None:
    # After some steps, so that no bias is zero and no gain one.
    for seed in range(3):
        trainer.step([draw(2, 32, seed)], 1e-2)
    batch = draw(3, 20, seed=9)
    expected = reference_loss(saved(trainer, tmp_path), batch, HPARAMS.n_head)
    assert trainer.loss(batch) == pytest.approx(expected, rel=1e-5)
    assert trainer.step([batch], 1e-3) == pytest.approx(expected, rel=1e-5)


def test_steps_lower_the_loss(trainer: Gpt2Simple) -> None:
    batch = draw(2, 32)
    first = trainer.step([batch], 1e-3)
    for _ in range(20):
        last = trainer.step([batch], 1e-3)
    assert last < first - 0.5


def test_accumulated_batches_count_as_one(tmp_path: Path) -> None:
    results = []
    for parts in (1, 4):
        trainer = Gpt2Simple(HPARAMS, seed=3)
        losses = [trainer.step(np.split(draw(4, 16, seed), parts), 1e-3) for seed in range(3)]
        results.append((losses, saved(trainer, tmp_path)))
        trainer.close()
    (losses, weights), (accumulated_losses, accumulated) = results
    assert accumulated_losses == pytest.approx(losses, rel=1e-5)
    for name, weight in weights.items():
        np.testing.assert_allclose(accumulated[name], weight, atol=2e-4, err_msg=name)


def test_saved_weights_are_loaded_again(trainer: Gpt2Simple, tmp_path: Path) -> None:
    batch = draw(2, 32)
    trainer.step([batch], 1e-2)
    trainer.save(tmp_path / "model-1")
    assert {path.name for path in tmp_path.iterdir()} == {
        "model-1.index",
        "model-1.data-00000-of-00001",
    }
    other = Gpt2Simple(HPARAMS, seed=4)
    assert other.loss(batch) != trainer.loss(batch)
    other.load(tmp_path / "model-1")
    assert other.loss(batch) == trainer.loss(batch)
    other.close()


def test_the_seed_decides_the_first_weights(tmp_path: Path) -> None:
    first = []
    for seed in (3, 3, 4):
        trainer = Gpt2Simple(HPARAMS, seed=seed)
        first.append(saved(trainer, tmp_path)["wte"])
        trainer.close()
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()
    assert first[0].std() == pytest.approx(0.02, rel=0.05)


def test_rounded_weights_are_bfloat16_and_nearly_the_same(
    trainer: Gpt2Simple, tmp_path: Path
) -> None:
    trainer.step([draw(2, 32)], 1e-2)
    before = saved(trainer, tmp_path)
    trainer.round_weights()
    after = saved(trainer, tmp_path)
    for name, weight in after.items():
        bits = weight.astype(np.float32).view(np.uint32)
        assert (bits & 0xFFFF == 0).all()
        np.testing.assert_allclose(weight, before[name], rtol=2**-8)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_broken_weights_are_an_error_of_one_line(
    trainer: Gpt2Simple, tmp_path: Path, suffix: str
) -> None:
    trainer.save(tmp_path / "model-1")
    path = tmp_path / f"model-1{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TrainingError, match=r"model-1 cannot be read: [^\n]+$"):
        trainer.load(tmp_path / "model-1")


def test_a_step_that_explodes_is_an_error(trainer: Gpt2Simple) -> None:
    with pytest.raises(TrainingError, match="--learning-rate"):
        for seed in range(4):
            trainer.step([draw(2, 32, seed)], 1e30)


def test_a_folder_that_cannot_be_written_is_an_error(trainer: Gpt2Simple, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"model-1 cannot be saved: [^\n]+$"):
        trainer.save(tmp_path / "file" / "model-1")
