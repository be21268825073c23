"""What to train: the options of a run, and what each step reads, at which learning rate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi

import numpy as np

from training.dataset import Dataset, Tokens

ADAM, MUON = OPTIMIZERS = ("adam", "muon")


@dataclass(frozen=True)
class Plan:
    """What to train. gpt-2-simple's names where it has one.

    A step reads accumulate_gradients batches of batch_size windows of n_ctx tokens. A share
    short_windows of the steps cuts each window into four. Attention costs less there: with three
    of four steps cut, mini reads 1.6 times the tokens a second on a CPU and learns as much from
    each, while the other steps teach it the far positions. The share is drawn per step, not
    scheduled, so that a run stopped at any moment has seen all positions.
    """

    steps: int
    batch_size: int
    accumulate_gradients: int
    short_windows: float
    learning_rate: float
    """At its peak, for stages without one of their own."""
    optimizer: str = ADAM
    replay: float = 0.1
    """Share of the batches that are drawn from earlier stages, against forgetting."""
    weight_decay: float = 0.0
    seed: int = 0
    save_every: int = 100
    eval_every: int = 50
    patience: int = 5
    """Evaluations without a lower loss on the documents held out, after which training stops."""
    max_copied: float = 1.0
    """Share of the texts written that may be copied from the corpus; more stops training."""

    def tokens_per_step(self, n_ctx: int) -> int:
        """How many tokens one step reads."""
        return self.accumulate_gradients * self.batch_size * n_ctx


# gpt-2-simple's numbers.
FINE_TUNING = Plan(
    steps=1000, batch_size=1, accumulate_gradients=5, short_windows=0.0, learning_rate=1e-4
)
# A base of 10 million parameters has more to learn from a small corpus, and can take more.
FINE_TUNING_MINI = Plan(
    steps=400, batch_size=1, accumulate_gradients=1, short_windows=0.75, learning_rate=3e-4
)
# What learned fastest on two CPU cores from a hundred short stories (45,000 tokens).
FROM_SCRATCH = Plan(
    steps=600, batch_size=1, accumulate_gradients=1, short_windows=0.75, learning_rate=1e-3
)
# For a base model of 10 million parameters, from some 100 MB of text.
PRETRAINING = Plan(
    steps=12_000,
    batch_size=8,
    accumulate_gradients=1,
    short_windows=0.75,
    learning_rate=4e-3,
    optimizer=MUON,
    weight_decay=0.1,
    eval_every=200,
    patience=20,
)


@dataclass(frozen=True)
class Stage:
    """A corpus that is learned for some steps."""

    name: str
    data: Dataset
    steps: int
    learning_rate: float
    """At its peak."""


@dataclass(frozen=True)
class Curriculum:
    """The stages of a run, in their order."""

    plan: Plan
    stages: Sequence[Stage]

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> int:
        """Which stage a step belongs to, counted from 0; the steps are counted from 1."""
        return self._place(step)[0]

    def ends_stage(self, step: int) -> bool:
        """Whether a stage is over after a step."""
        return step == self.steps or self.stage(step) != self.stage(step + 1)

    def batches(self, n_ctx: int, step: int) -> Iterator[Tokens]:
        """The batches of a step: a function of the seed and the step's number alone."""
        random = np.random.default_rng([self.plan.seed, step])
        parts = 4 if random.random() < self.plan.short_windows else 1
        now = self.stage(step)
        for _ in range(self.plan.accumulate_gradients):
            replays = now > 0 and random.random() < self.plan.replay
            drawn = int(random.integers(now)) if replays else now
            count = self.plan.batch_size * parts
            data = self.stages[drawn].data
            yield data.windows(count=count, length=n_ctx // parts, random=random)

    def longest_windows(self, n_ctx: int) -> tuple[int, int]:
        """How long the longest windows are, and how many of them a batch has."""
        parts = 4 if self.plan.short_windows == 1 else 1
        most = max(len(stage.data.tokens) for stage in self.stages) + 1
        return min(n_ctx // parts, most), self.plan.batch_size * parts

    def rate(self, step: int, start: int) -> float:
        """The learning rate of a step where Adam's moments began after step start.

        In each stage it warms up over the first tenth of the steps (at most 100) and decays on a
        cosine to a tenth at the last.
        """
        number, begin = self._place(step)
        stage = self.stages[number]
        warmup = min(100, max(1, stage.steps // 10))
        decay = 0.1 + 0.45 * (1 + cos(pi * (step - begin - 1) / max(1, stage.steps - 1)))
        return stage.learning_rate * decay * min(1.0, (step - max(begin, start)) / warmup)

    def _place(self, step: int) -> tuple[int, int]:
        """A step's stage, and after which step that begins."""
        begin = 0
        for number, stage in enumerate(self.stages):
            if step <= begin + stage.steps or number == len(self.stages) - 1:
                break
            begin += stage.steps
        return number, begin
