"""What the crawls of all wikis have in common."""

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What became of an episode."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NO_PLOT = "without a plot"


@dataclass(frozen=True)
class Episode:
    """One step of a crawl: an episode's code, or an article's title, and what became of it."""

    code: str
    outcome: Outcome
