"""loop: the plan of a run. What the loop does is tested at train_gpt2.py."""

from dataclasses import replace

import numpy as np
import pytest

from training.dataset import Dataset
from training.loop import FINE_TUNING, FROM_SCRATCH

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
