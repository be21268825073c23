"""report.html of a run: its curves, its evaluations and what it wrote, on one page of its own."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.files import write_text
from training.metrics import Metrics, averages

NAME = "report.html"

_SMOOTHING = 0.95
_POINTS = 1000  # more than a screen shows
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 320, 56, 20, 12, 28


@dataclass(frozen=True)
class Curve:
    """Points of a chart, (step, value), under a name."""

    name: str
    points: Sequence[tuple[float, float]]


def write(folder: Path, metrics: Metrics) -> None:
    """Writes the report of what was measured so far; nothing where nothing was."""
    if not metrics.steps:
        return
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template(NAME).render(
        run=folder.resolve().name,
        metrics=metrics,
        last=metrics.steps[-1],
        charts=list(_charts(metrics)),
        others=sorted({name for e in metrics.evaluations for name in e.others}),
    )
    write_text(folder / NAME, page)


def _charts(metrics: Metrics) -> Iterator["Chart"]:
    steps, evaluations = metrics.steps, metrics.evaluations
    numbers = [float(s.step) for s in steps]
    losses = [s.loss for s in steps]
    means = averages(losses, _SMOOTHING)
    held_out = [(float(e.step), e.valid_loss) for e in evaluations if e.valid_loss is not None]
    curves = [
        Curve("each step", list(zip(numbers, losses, strict=True))),
        Curve("its running mean", list(zip(numbers, means, strict=True))),
        Curve("held out", held_out),
    ]
    yield Chart("Loss, in nats a token", [c for c in curves if c.points])
    if evaluations:
        shares = [(float(e.step), 100 * e.copied) for e in evaluations]
        title = "Copied from the corpus, in % of what it writes"
        yield Chart(title, [Curve("copied", shares)], least=5.0)


class Chart:
    """Curves over steps as coordinates of an SVG picture, whose bottom stands for zero."""

    width, height, left, right, bottom = _WIDTH, _HEIGHT, _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def __init__(self, title: str, curves: Sequence[Curve], *, least: float = 0.1) -> None:
        """least: the lowest value that the picture's top stands for."""
        self.title = title
        points = [point for curve in curves for point in curve.points]
        self._first = min(x for x, _ in points)
        self._last = max(self._first + 1, *(x for x, _ in points))
        self._high = max(least, *(y for _, y in points))
        self.lines = [(curve.name, " ".join(self._coordinates(curve))) for curve in curves]
        self.rows = [(self._y(value), f"{value:g}") for value in _ticks(0.0, self._high)]
        self.columns = [(self._x(step), f"{step:g}") for step in _ticks(self._first, self._last)]

    def _coordinates(self, curve: Curve) -> Iterator[str]:
        stride = math.ceil(len(curve.points) / _POINTS)
        for x, y in [*curve.points[:-1:stride], curve.points[-1]]:
            yield f"{self._x(x):.1f},{self._y(y):.1f}"

    def _x(self, step: float) -> float:
        share = (step - self._first) / (self._last - self._first)
        return round(self.left + share * (self.right - self.left), 1)

    def _y(self, value: float) -> float:
        return round(self.bottom - value / self._high * (self.bottom - _TOP), 1)


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers between low and high."""
    power = 10.0 ** math.floor(math.log10(high - low))
    width = power * next(f for f in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (power * f) <= 8)
    return [i * width for i in range(math.ceil(low / width), math.floor(high / width) + 1)]
