"""How a run came about: one JSON line for each start of training in it.

`starts.jsonl` has an object a line: a `Start`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from training.files import write_text

NAME = "starts.jsonl"


@dataclass(frozen=True)
class Start:
    """What was trained from a step on, until the next start."""

    step: int
    """After which it began."""
    command: str
    model: str
    """As --model names it."""
    corpus: str
    documents: int
    tokens: int
    """Of the corpus."""
    engine: str
    learning_rate: float
    settings: Mapping[str, float | str]
    """Other values of the plan, where they are not the defaults."""
    versions: Mapping[str, str]
    """Of what computed."""


def add(folder: Path, start: Start) -> None:
    """Append a start; forgets earlier ones whose steps were all lost."""
    starts = [*(earlier for earlier in read(folder) if earlier.step < start.step), start]
    write_text(folder / NAME, "".join(json.dumps(asdict(s)) + "\n" for s in starts))


def read(folder: Path) -> Iterator[Start]:
    """The starts of a run, in order; none of a run that is older than this file."""
    path = folder / NAME
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Start(**json.loads(line))
