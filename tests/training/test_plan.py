"""plan: what each step reads, and at which learning rate."""

from dataclasses import replace

import numpy as np
import pytest

from training.dataset import Dataset
from training.plan import FINE_TUNING, FROM_SCRATCH, Curriculum, Plan, Stage

DATA = Dataset(np.arange(5000, dtype=np.int32), np.array([0, 700, 3000], np.int32))


def alone(plan: Plan) -> Curriculum:
    return Curriculum(plan, [Stage("train.txt", DATA, plan.steps, plan.learning_rate)])


def test_batches_depend_on_seed_and_step_alone() -> None:
    def drawn(seed: int, step: int) -> list[list[list[int]]]:
        plan = replace(FINE_TUNING, seed=seed)
        return [batch.tolist() for batch in alone(plan).batches(1024, step)]

    assert drawn(1, 7) == drawn(1, 7)
    assert drawn(1, 7) != drawn(1, 8)
    assert drawn(1, 7) != drawn(2, 7)


def test_a_step_reads_as_many_tokens_however_it_cuts_them() -> None:
    plan = replace(FROM_SCRATCH, batch_size=2, accumulate_gradients=3)
    shapes = set()
    for step in range(1, 40):
        batches = list(alone(plan).batches(1024, step))
        assert sum(batch.size for batch in batches) == plan.tokens_per_step(1024) == 3 * 2 * 1024
        shapes |= {batch.shape for batch in batches}
    assert shapes == {(2, 1024), (8, 256)}


def test_fine_tuning_reads_full_windows_as_gpt2_simple_does() -> None:
    batches = [b for step in range(1, 9) for b in alone(FINE_TUNING).batches(1024, step)]
    assert [batch.shape for batch in batches] == [(1, 1024)] * 8 * 5


def test_the_learning_rate_warms_up_and_decays_to_a_tenth() -> None:
    plan = replace(FINE_TUNING, steps=1000, learning_rate=1e-3)
    rates = [alone(plan).rate(step, 0) for step in range(1, 1001)]
    assert rates[0] < 2e-5
    assert 0.95e-3 < max(rates) <= 1e-3
    assert rates[-1] == pytest.approx(1e-4)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_a_restart_warms_up_again_and_meets_the_same_decay() -> None:
    plan = replace(FINE_TUNING, steps=1000)
    assert alone(plan).rate(501, 500) < alone(plan).rate(501, 0) / 50
    assert alone(plan).rate(700, 500) == alone(plan).rate(700, 0)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(steps: int) -> None:
    plan = replace(FINE_TUNING, steps=steps)
    assert all(0 < alone(plan).rate(step, 0) <= plan.learning_rate for step in range(1, steps + 1))


def stages() -> Curriculum:
    """Three corpora whose tokens tell them apart."""
    corpora = [
        Dataset(np.full(3000, number, np.int32), np.array([0], np.int32)) for number in range(3)
    ]
    plan = replace(FINE_TUNING, replay=0.25)
    learned = zip("abc", corpora, (300, 500, 200), (1e-3, 1e-4, 1e-5), strict=True)
    return Curriculum(plan, [Stage(*stage) for stage in learned])


def test_stages_follow_each_other() -> None:
    curriculum = stages()
    assert curriculum.steps == 1000
    ends = [step for step in range(1, 1001) if curriculum.ends_stage(step)]
    assert ends == [300, 800, 1000]
    assert [curriculum.stage(step) for step in (1, 300, 301, 800, 801, 1000)] == [0, 0, 1, 1, 2, 2]


def test_earlier_stages_are_replayed() -> None:
    curriculum = stages()
    read = np.zeros((3, 3), int)  # by stage, which corpora
    for step in range(1, 1001):
        for batch in curriculum.batches(64, step):
            assert len(set(batch.flat)) == 1
            read[curriculum.stage(step), batch[0, 0]] += 1
    assert read.sum(1).tolist() == [1500, 2500, 1000]
    shares = read / read.sum(1, keepdims=True)
    expected = [[1, 0, 0], [0.25, 0.75, 0], [0.125, 0.125, 0.75]]
    np.testing.assert_allclose(shares, expected, atol=0.04)


def test_each_stage_has_its_own_learning_rate() -> None:
    curriculum = stages()
    rates = [curriculum.rate(step, 0) for step in range(1, 1001)]
    for begin, end, peak, warmup in (
        (0, 300, 1e-3, 30),
        (300, 800, 1e-4, 50),
        (800, 1000, 1e-5, 20),
    ):
        stage = rates[begin:end]
        assert 0.95 * peak < max(stage) <= peak
        assert stage.index(max(stage)) == warmup - 1
        assert stage[-1] == pytest.approx(peak / 10)
    # Adam's moments begin anew in the middle of a stage.
    assert curriculum.rate(501, 500) == pytest.approx(curriculum.rate(501, 0) / 50)
    assert curriculum.rate(801, 500) == curriculum.rate(801, 0)
