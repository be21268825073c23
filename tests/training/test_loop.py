"""loop: the plan of a run, and when it ends. The rest is tested at train_gpt2.py."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import Checkpoint, HParams
from training import base, loop
from training.dataset import Dataset
from training.loop import FINE_TUNING, FROM_SCRATCH, Plan
from training.metrics import Evaluation, Metrics
from training.pytorch import PyTorch

DATA = Dataset(np.arange(5000, dtype=np.int32), np.array([0, 700, 3000], np.int32))


def test_batches_depend_on_seed_and_step_alone() -> None:
    def drawn(seed: int, step: int) -> list[list[list[int]]]:
        plan = replace(FINE_TUNING, seed=seed)
        return [batch.tolist() for batch in plan.batches(DATA, 1024, step)]

    assert drawn(1, 7) == drawn(1, 7)
    assert drawn(1, 7) != drawn(1, 8)
    assert drawn(1, 7) != drawn(2, 7)


def test_a_step_reads_as_many_tokens_however_it_cuts_them() -> None:
    plan = replace(FROM_SCRATCH, batch_size=2, accumulate_gradients=3)
    shapes = set()
    for step in range(1, 40):
        batches = list(plan.batches(DATA, 1024, step))
        assert sum(batch.size for batch in batches) == plan.tokens_per_step(1024) == 3 * 2 * 1024
        shapes |= {batch.shape for batch in batches}
    assert shapes == {(2, 1024), (8, 256)}


def test_fine_tuning_reads_full_windows_as_gpt2_simple_does() -> None:
    batches = [b for step in range(1, 9) for b in FINE_TUNING.batches(DATA, 1024, step)]
    assert [batch.shape for batch in batches] == [(1, 1024)] * 8 * 5


def test_the_learning_rate_warms_up_and_decays_to_a_tenth() -> None:
    plan = replace(FINE_TUNING, steps=1000, learning_rate=1e-3)
    rates = [plan.rate(step, 0) for step in range(1, 1001)]
    assert rates[0] < 2e-5
    assert 0.95e-3 < max(rates) <= 1e-3
    assert rates[-1] == pytest.approx(1e-4)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_a_restart_warms_up_again_and_meets_the_same_decay() -> None:
    plan = replace(FINE_TUNING, steps=1000)
    assert plan.rate(501, 500) < plan.rate(501, 0) / 50
    assert plan.rate(700, 500) == plan.rate(700, 0)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(steps: int) -> None:
    plan = replace(FINE_TUNING, steps=steps)
    assert all(0 < plan.rate(step, 0) <= plan.learning_rate for step in range(1, steps + 1))


HPARAMS = HParams(n_vocab=5000, n_ctx=16, n_embd=4, n_head=1, n_layer=1)


class Run:
    """Trains a model of no use; how good it is is said beforehand."""

    def __init__(self, folder: Path, valid: list[float | None], copied: list[float]) -> None:
        self.folder = folder
        self.valid, self.copied = valid, copied
        base.write_hparams(HPARAMS, folder)
        for name in ("encoder.json", "vocab.bpe"):
            (folder / name).touch()
        self.said: list[str] = []

    def train(self, plan: Plan, start: int = 0) -> None:
        loop.train(
            PyTorch(HPARAMS, seed=0),
            DATA,
            run=self.folder,
            start=start,
            moments_from=0,
            plan=plan,
            evaluate=self.evaluate,
            say=self.said.append,
        )

    def evaluate(self, step: int) -> Evaluation:
        at = step // 2
        return Evaluation(step, self.copied[at], f"text {step}", self.valid[at], self.valid[at])

    @property
    def served(self) -> str:
        return Checkpoint(self.folder).prefix.name

    @property
    def states(self) -> list[str]:
        return [path.stem for path in (self.folder / "state").glob("*.index")]


PLAN = replace(FROM_SCRATCH, steps=20, eval_every=2, save_every=3, patience=2)


def test_training_ends_when_what_is_held_out_gets_no_better(tmp_path: Path) -> None:
    run = Run(tmp_path, [5.0, 4.0, 4.5, 3.0, 3.5, 3.1, *[1.0] * 9], [0.0] * 15)
    run.train(PLAN)
    assert (run.served, run.states) == ("model-6", ["step-10"])
    assert [e.step for e in Metrics(tmp_path, 99).evaluations] == [0, 2, 4, 6, 8, 10]
    assert "Stopped after step 10" in run.said[-1]
    assert "step 6" in run.said[-1] and "--patience" in run.said[-1]
    # Once more: it says so again; with more patience it goes on.
    run.train(PLAN, start=10)
    assert "Stopped after step 10" in run.said[-1]
    run.train(replace(PLAN, patience=3), start=10)
    assert "Stopped after step 18" in run.said[-1]  # the second evaluation after the best is equal
    assert run.served == "model-12"


def test_without_documents_held_out_the_last_weights_are_served(tmp_path: Path) -> None:
    run = Run(tmp_path, [None] * 11, [0.0] * 11)
    run.train(PLAN)
    assert (run.served, run.states) == ("model-20", ["step-20"])
    assert not run.said[-1].startswith("Stopped")


def test_training_ends_when_too_much_is_copied(tmp_path: Path) -> None:
    run = Run(tmp_path, [None] * 11, [0.0, 0.1, 0.2, *[0.3] * 8])
    run.train(replace(PLAN, max_copied=0.2))
    assert run.served == "model-6"
    assert "30.0% of what it writes is copied" in run.said[-1]
    assert all(math.isnan(e.perplexity) for e in Metrics(tmp_path, 99).evaluations)
