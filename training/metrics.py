"""What training measured: one JSON line a step, and the loss as a picture.

`metrics.jsonl` has one object a line: step, loss (nats a token), learning_rate, seconds and
tokens (both summed up over the run). `loss.svg` is drawn from it.
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.files import write_text


@dataclass(frozen=True)
class Step:
    """The measurements of one training step."""

    step: int
    loss: float
    learning_rate: float
    seconds: float
    tokens: int


class Metrics:
    """metrics.jsonl and loss.svg of one run, over all its interruptions."""

    def __init__(self, folder: Path, step: int) -> None:
        """Read what the run measured up to step; later lines belong to steps that were lost."""
        self._folder = folder
        self._path = folder / "metrics.jsonl"
        self.steps = [s for s in _read(self._path) if s.step <= step]
        write_text(self._path, "".join(f"{json.dumps(asdict(s))}\n" for s in self.steps))

    @property
    def seconds(self) -> float:
        """Time spent in training steps so far."""
        return self.steps[-1].seconds if self.steps else 0.0

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.steps[-1].tokens if self.steps else 0

    def average(self) -> float:
        """The mean loss of late steps, weighted as gpt-2-simple's progress lines weight it."""
        # What is older weighs less than a hundredth.
        return _averages([s.loss for s in self.steps[-500:]], 0.99)[-1]

    def add(self, step: Step) -> None:
        """Append a step."""
        self.steps.append(step)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(step))}\n")

    def draw(self) -> None:
        """Write loss.svg."""
        if self.steps:
            write_text(self._folder / "loss.svg", loss_svg(self.steps))


def _read(path: Path) -> list[Step]:
    """Read whole lines; a kill may have left a part of one at the end."""
    if not path.is_file():
        return []
    steps = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
            steps.append(Step(**{field.name: values[field.name] for field in fields(Step)}))
        except (ValueError, KeyError, TypeError):
            continue
    return steps


def _averages(losses: list[float], decay: float) -> list[float]:
    """The running means of losses, older ones fading by decay each step."""
    total = weight = 0.0
    means = []
    for loss in losses:
        total = total * decay + loss
        weight = weight * decay + 1.0
        means.append(total / weight)
    return means


_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 400, 56, 44, 40, 20
_SMOOTHING = 0.95
_POINTS = 1000  # more than a screen shows


def loss_svg(steps: list[Step]) -> str:
    """Draw each step's loss, and their running mean over it, as a picture of its own."""
    stride = -(-len(steps) // _POINTS)
    means = _averages([s.loss for s in steps], _SMOOTHING)
    shown = [*range(0, len(steps) - 1, stride), len(steps) - 1]
    first, last = steps[0].step, max(steps[-1].step, steps[0].step + 1)
    low, high = 0.0, max(1e-6, *(s.loss for s in steps))

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _HEIGHT - _BOTTOM - (loss - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)

    def line(losses: list[float], style: str) -> str:
        points = " ".join(f"{x(steps[i].step):.1f},{y(losses[i]):.1f}" for i in shown)
        return f'<polyline points="{points}" fill="none" {style}/>'

    ticks = []
    for loss in _ticks(low, high):
        ticks.append(
            f'<path d="M{_LEFT} {y(loss):.1f}H{_WIDTH - _RIGHT}" stroke="#e4e0ea"/>'
            f'<text x="{_LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>'
        )
    for step in _ticks(first, last):
        ticks.append(
            f'<text x="{x(step):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">'
            f"{step:g}</text>"
        )
    end = steps[-1]
    title = (
        f"Loss {means[-1]:.2f} nats a token after {end.step:,} steps, "
        f"{end.tokens:,} tokens, {end.seconds / 60:.1f} minutes"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12" '
            'fill="#4a4453">',
            f"<title>{title}</title>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<text x="{_LEFT}" y="24" font-size="14">{title}</text>',
            *ticks,
            line([s.loss for s in steps], 'stroke="#c9b8e8"'),
            line(means, 'stroke="#6b3fb5" stroke-width="2"'),
            f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">step</text>',
            "</svg>",
            "",
        ]
    )


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers between low and high."""
    power = 10.0 ** math.floor(math.log10(high - low))
    width = power * next(f for f in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (power * f) <= 8)
    return [i * width for i in range(math.ceil(low / width), math.floor(high / width) + 1)]
