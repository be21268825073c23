"""loop: when training ends, and what is served. The rest is tested at train_gpt2.py."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from engine import Checkpoint, HParams
from training import loop
from training.dataset import Dataset
from training.metrics import Evaluation, Metrics
from training.plan import FROM_SCRATCH, Curriculum, Plan, Stage
from training.pytorch import PyTorch
from training.tracking import Tracker

DATA = Dataset(np.arange(5000, dtype=np.int32), np.array([0, 700, 3000], np.int32))
HPARAMS = HParams(n_vocab=5000, n_ctx=16, n_embd=4, n_head=1, n_layer=1)


class Run:
    """Trains a model of no use; how good it is is said beforehand."""

    def __init__(self, folder: Path, valid: list[float | None], copied: list[float]) -> None:
        self.folder = folder
        self.valid, self.copied = valid, copied
        (folder / "hparams.json").write_text(json.dumps(asdict(HPARAMS)))
        for name in ("encoder.json", "vocab.bpe"):
            (folder / name).touch()
        self.said: list[str] = []

    def train(self, plan: Plan, start: int = 0, stages: tuple[int, ...] = ()) -> None:
        steps = stages or (plan.steps,)
        self.curriculum = Curriculum(plan, [Stage("train.txt", DATA, n, 1e-3) for n in steps])
        loop.train(
            PyTorch(HPARAMS, seed=0),
            self.curriculum,
            run=self.folder,
            start=start,
            moments_from=0,
            evaluate=self.evaluate,
            tracker=Tracker(self.folder, start, {}, self.said.append),
            describe=lambda: None,
            say=self.said.append,
        )

    def evaluate(self, step: int) -> Evaluation:
        at = step // 2
        loss, stage = self.valid[at], self.curriculum.stage(step)
        return Evaluation(step, self.copied[at], f"text {step}", loss, loss, stage)

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


def test_of_several_stages_the_last_decides(tmp_path: Path) -> None:
    run = Run(tmp_path, [2.0, 2.1, 2.2, 2.3, 4.0, 3.0, 3.5, 3.6, *[1.0] * 3], [0.0] * 11)
    run.train(PLAN, stages=(6, 14))
    assert [e.step for e in Metrics(tmp_path, 99).evaluations] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert "Stopped after step 14" in run.said[-1]
    assert run.served == "model-10"
