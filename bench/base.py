"""What the base brings: mini, fine-tuned, beside the best that training from scratch reaches.

Both learn the same corpus by train_gpt2.py until the documents held out get no better. Bits a byte
of those compare across their vocabularies. Time is that of the training steps.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.machine import machine, require_idle
from bench.models import ROOT, BenchError
from bench.report import table
from training import metrics
from training.base import MINI, SCRATCH
from training.files import write_text
from training.metrics import Step
from training.report import Chart, Curve

EXAMPLES = """\
examples:
  python prepare_corpus.py data/eps --out data/eps.txt && python -m bench.base data/eps.txt
      half an hour on two cores
"""

_MINUTES = 10.0
"""That fine-tuning is granted."""
_COLOURS = {MINI: "#b4450f", SCRATCH: "#3b6ea5"}

Points = Sequence[tuple[float, float]]
"""Minutes of training, and bits a byte of the documents held out."""


def train(model: str, corpus: Path, cache: Path, options: Sequence[str]) -> Points:
    """Trains anew, in a process of its own, and reads what was measured.

    Raises BenchError where it fails, or nothing is held out.
    """
    command = [sys.executable, str(ROOT / "train_gpt2.py"), "--model", model, "--run", model]
    command += ["--corpus", str(corpus), "--checkpoint-dir", str(cache), "--fresh", *options]
    result = subprocess.run(command, stdout=2, check=False)  # noqa: S603
    if result.returncode:
        raise BenchError(f"train_gpt2.py --model {model} has failed")
    minutes, points = 0.0, []
    for measured in metrics.read(cache / model):
        if isinstance(measured, Step):
            minutes = measured.seconds / 60
        elif measured.bits_per_byte is not None:
            points.append((minutes, measured.bits_per_byte))
    if not points:
        raise BenchError(f"nothing is held out of {corpus}: prepare_corpus.py does it")
    return points


def markdown(curves: dict[str, Points]) -> str:
    """A row for each model: its best within the time granted, and ever."""
    rows = []
    for name, points in curves.items():
        early = min(bits for minutes, bits in points if minutes <= _MINUTES)
        when, best = min(points, key=lambda point: point[1])
        rows.append((name, f"{points[0][1]:.3f}", f"{early:.3f}", f"{best:.3f}", f"{when:.1f}"))
    header = ("bits a byte, held out", "at first", f"in {_MINUTES:g} minutes", "ever", "after, min")
    return table(header, rows)


def svg(curves: dict[str, Points]) -> str:
    """The curves as a picture."""
    chart = Chart("", [Curve(name, points) for name, points in curves.items()])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height + 20}" '
        'font-family="sans-serif" font-size="12" fill="#6a655c">',
        '<rect width="100%" height="100%" fill="#fbfaf7"/>',
    ]
    for y, label in chart.rows:
        parts.append(f'<path d="M{chart.left} {y}H{chart.right}" stroke="#ddd8cc"/>')
        parts.append(f'<text x="{chart.left - 8}" y="{y + 4}" text-anchor="end">{label}</text>')
    for x, label in chart.columns:
        parts.append(f'<text x="{x}" y="{chart.bottom + 20}" text-anchor="middle">{label}</text>')
    for number, (name, line) in enumerate(chart.lines):
        colour = f'fill="none" stroke="{_COLOURS[name]}" stroke-width="2"'
        parts.append(f'<polyline points="{line}" {colour}/>')
        y = 30 + 18 * number
        parts.append(f'<text x="{chart.right - 90}" y="{y}" fill="{_COLOURS[name]}">{name}</text>')
    middle = (chart.left + chart.right) / 2
    label = "minutes of training; bits a byte of the documents held out"
    parts.append(f'<text x="{middle}" y="{chart.height + 14}" text-anchor="middle">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.base",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("corpus", type=Path, help="a training file, its documents held out beside it")
    add("--cache", type=Path, default=Path(__file__).parent / ".cache/base", help="for the runs")
    add("--svg", type=Path, metavar="FILE", help="leave the curves there")
    add("--steps", type=int, default=4000, help="of each at most; default 4000")
    add("--engine", default="torch", help="default torch")
    add("--busy", action="store_true", help="measure even though the machine is busy")
    args = parser.parse_args(arguments)
    options = ["--engine", args.engine, "--steps", str(args.steps), "--eval-every", "25"]
    options += ["--patience", "8"]
    try:
        if not args.busy:
            require_idle()
        curves = {name: train(name, args.corpus, args.cache, options) for name in (MINI, SCRATCH)}
    except BenchError as error:
        print(f"bench.base: {error}", file=sys.stderr)
        return 1
    print(f"{', '.join(machine().values())}\n\n{markdown(curves)}")
    if args.svg:
        write_text(args.svg, svg(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
