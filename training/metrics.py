"""What training measured: one JSON line a step, and one an evaluation.

`metrics.jsonl` has an object a line: a `Step` or an `Evaluation`.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.files import write_text

NAME = "metrics.jsonl"


@dataclass(frozen=True)
class Step:
    """The measurements of one training step."""

    step: int
    loss: float
    """Nats a token."""
    learning_rate: float
    seconds: float
    """In training steps, summed up over the run."""
    tokens: int
    """Summed up over the run."""


@dataclass(frozen=True)
class Evaluation:
    """How good the weights were after a step."""

    step: int
    copied: float
    """Share of the texts written that is copied from the corpus."""
    text: str
    """One of those texts."""
    valid_loss: float | None = None
    """Nats a token on the documents held out; None without such."""
    bits_per_byte: float | None = None
    stage: int = 0
    """Of the curriculum, from 0."""
    others: dict[str, float] = field(default_factory=dict)
    """Nats a token on what is held out of the other stages' corpora, by their names."""

    @property
    def perplexity(self) -> float:
        """Of a token of the documents held out; NaN without such."""
        return math.exp(self.valid_loss) if self.valid_loss is not None else math.nan


class Metrics:
    """metrics.jsonl of one run, over all its interruptions."""

    def __init__(self, folder: Path, step: int) -> None:
        """Reads what the run measured up to step; later lines belong to steps that were lost."""
        self._path = folder / NAME
        self.steps: list[Step] = []
        self.evaluations: list[Evaluation] = []
        for measured in read(folder):
            if measured.step <= step:
                self._keep(measured)
        write_text(self._path, "".join(map(_line, self.in_order())))

    def in_order(self) -> list[Step | Evaluation]:
        """Steps and evaluations as they were made."""
        measured: list[Step | Evaluation] = [*self.steps, *self.evaluations]
        return sorted(measured, key=lambda one: one.step)

    @property
    def seconds(self) -> float:
        """Time spent in training steps so far."""
        return self.steps[-1].seconds if self.steps else 0.0

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.steps[-1].tokens if self.steps else 0

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of the last stage so far with the lowest loss on documents held out."""
        stage = self.evaluations[-1].stage if self.evaluations else 0
        measured = [e for e in self.evaluations if e.stage == stage and e.valid_loss is not None]
        return min(measured, key=lambda e: e.valid_loss or 0.0, default=None)

    @property
    def since_best(self) -> int:
        """How many evaluations came after the best one."""
        best = self.best
        return sum(e.step > best.step for e in self.evaluations) if best else 0

    def average(self) -> float:
        """The mean loss of late steps, weighted as gpt-2-simple's progress lines weight it."""
        # What is older weighs less than a hundredth.
        return averages([s.loss for s in self.steps[-500:]], 0.99)[-1]

    def add(self, measured: Step | Evaluation) -> None:
        """Append a step or an evaluation."""
        self._keep(measured)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(measured))

    def _keep(self, measured: Step | Evaluation) -> None:
        if isinstance(measured, Step):
            self.steps.append(measured)
        else:
            self.evaluations.append(measured)


def _line(measured: Step | Evaluation) -> str:
    values = {name: value for name, value in asdict(measured).items() if value not in (None, {})}
    return json.dumps(values) + "\n"


def read(folder: Path) -> Iterator[Step | Evaluation]:
    """What metrics.jsonl of a run tells, without the part of a line that a kill may have left."""
    path = folder / NAME
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
            yield Evaluation(**values) if "copied" in values else Step(**values)
        except (ValueError, TypeError):
            continue


def averages(losses: list[float], decay: float) -> list[float]:
    """Running means, in which older losses fade by decay each step."""
    total = weight = 0.0
    means = []
    for loss in losses:
        total = total * decay + loss
        weight = weight * decay + 1.0
        means.append(total / weight)
    return means
