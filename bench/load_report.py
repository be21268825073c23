"""What the load test found, and the Markdown that says it."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.clients import LENGTH, Outcome
from bench.machine import Memory
from bench.report import table

OURS, ANCESTOR = "ours", "ancestor"
IN_TIME = 5.0
"""Seconds: at capacity 95 of 100 stories are finished in less."""
IN_TOUCH = 0.05
"""Seconds: 95 of 100 times /healthz answers in less."""


@dataclass
class Level:
    """So many clients for a while."""

    clients: int
    outcome: Outcome
    health: list[float]
    """Seconds until each answer of /healthz; none where it was not asked."""
    unhealthy: list[str]
    """What else it answered than that all is well."""
    memory: list[Memory]
    """Of the servers' processes, twice a second."""
    at_once: int
    """Stories that could be written at once."""

    @property
    def speed(self) -> float:
        """Stories of 100 tokens a second: one that ended sooner counts for less."""
        tokens = sum(story.tokens for story in self.outcome.stories)
        return tokens / LENGTH / self.outcome.seconds

    @property
    def story(self) -> list[float]:
        """Seconds until each story's end."""
        return [story.seconds for story in self.outcome.stories]

    @property
    def first_token(self) -> list[float]:
        """Seconds until each story's first text."""
        return [story.first_token for story in self.outcome.stories]

    @property
    def errors(self) -> int:
        """Answers that were neither stories nor refusals."""
        return sum(self.outcome.errors.values()) + len(self.unhealthy)

    @property
    def rss(self) -> int:
        """The most that was resident, in bytes."""
        return max(held.rss for held in self.memory)

    @property
    def pss(self) -> int:
        """As rss, where a page that processes share counts once."""
        return max(held.pss for held in self.memory)

    @property
    def growth(self) -> int:
        """Bytes by which the most of the second half is more than that of the first."""
        rss = [held.rss for held in self.memory]
        half = len(rss) // 2
        return max(rss[half:]) - max(rss[:half], default=rss[0])

    @property
    def pss_per_story(self) -> float:
        """Bytes for each story that was being written."""
        return self.pss / self.at_once


@dataclass
class Results:
    """All of it, as it goes into the JSON file."""

    machine: dict[str, str]
    model: str
    promise: float
    """Seconds within which a story that was accepted begins."""
    levels: dict[str, list[Level]] = field(default_factory=dict)
    """By server."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by so many percent of them (nearest rank); NaN of
    none."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def capacity(levels: Sequence[Level]) -> Level | None:
    """The level with the most stories a second among those that finish 95 of 100 in time."""
    in_time = [level for level in levels if percentile(level.story, 95) < IN_TIME]
    return max(in_time, key=lambda level: level.speed, default=None)


def markdown(results: Results) -> str:
    """The tables, and what they come to."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in results.machine.items())]
    parts += [
        _levels(f"{results.model}, {server}", levels) for server, levels in results.levels.items()
    ]
    if len(results.levels) == 2:
        parts.append(_comparison(results.model, results.levels[OURS], results.levels[ANCESTOR]))
    findings = [
        *(f"{server}: {_capacity(levels)}" for server, levels in results.levels.items()),
        *_promises(results.levels.get(OURS, []), results.promise),
        *(error for levels in results.levels.values() for x in levels for error in _errors(x)),
    ]
    parts.append("\n".join(f"- {finding}" for finding in findings))
    return "\n\n".join(parts) + "\n"


def _levels(title: str, levels: Sequence[Level]) -> str:
    columns: dict[str, Callable[[Level], str]] = {
        "stories/s": lambda x: _number(x.speed),
        "story p50, p95": lambda x: _percentiles(x.story, 50, 95),
        "first token p50, p95": lambda x: _percentiles(x.first_token, 50, 95),
        "accepted": lambda x: f"{len(x.outcome.stories):,}",
        "429": lambda x: f"{x.outcome.refused.get('429', 0):,}",
        "503": lambda x: f"{x.outcome.refused.get('503', 0):,}",
        "errors": lambda x: f"{x.errors:,}",
        "/healthz p95, max": lambda x: _percentiles(x.health, 95, 100),
        "RSS": lambda x: _megabytes(x.rss),
        "growth": lambda x: _megabytes(x.growth),
        "PSS": lambda x: _megabytes(x.pss),
        "PSS a story": lambda x: _megabytes(x.pss_per_story),
        "clients' CPU": lambda x: f"{x.outcome.cpu / x.outcome.seconds:.0%}",
    }
    rows = [[_clients(level), *(column(level) for column in columns.values())] for level in levels]
    return table([title, *columns], rows)


def _comparison(model: str, ours: Sequence[Level], ancestor: Sequence[Level]) -> str:
    """Side by side with as many clients each, and with as many as suit each best."""
    rows = [
        _compared(_clients(a), (a.speed, b.speed), (a.pss_per_story, b.pss_per_story))
        for a in ours
        for b in ancestor
        if a.clients == b.clients
    ]
    in_time = capacity(ours)
    best = [max(x.speed for x in levels) for levels in (ours, ancestor)]
    least = [min(x.pss_per_story for x in levels) for levels in (ours, ancestor)]
    rows.append(
        _compared("each at its best", (in_time.speed if in_time else best[0], best[1]), least)
    )
    columns = [
        *("stories/s, ours", "stories/s, ancestor", "ratio of stories/s"),
        *("PSS a story, ours", "PSS a story, ancestor", "ratio of PSS"),
    ]
    return table([model, *columns], rows)


def _compared(label: str, speeds: Sequence[float], sizes: Sequence[float]) -> list[str]:
    faster = f"**{speeds[0] / speeds[1]:,.0f}**" if speeds[1] else "-"
    smaller = f"**{sizes[0] / sizes[1]:.1%}**"
    return [
        *(label, *map(_number, speeds), faster),
        *(*map(_megabytes, sizes), smaller),
    ]


def _capacity(levels: Sequence[Level]) -> str:
    best = capacity(levels)
    if not best:
        return f"at every level some stories in 20 take {IN_TIME:.0f} s or longer"
    return (
        f"capacity {_number(best.speed)} stories/s, 95 of 100 in less than {IN_TIME:.0f} s, "
        f"with {_clients(best)}"
    )


def _promises(levels: Sequence[Level], promise: float) -> list[str]:
    """What is promised to visitors, at the worst level."""
    lines = []
    waits = [percentile(level.first_token, 95) for level in levels if level.first_token]
    if waits:
        kept = "kept" if max(waits) <= promise else "broken"
        lines.append(f"the wait promised, {promise:.0f} s: {kept}, p95 {_seconds(max(waits))}")
    health = [percentile(level.health, 95) for level in levels if level.health]
    if health:
        kept = "kept" if max(health) < IN_TOUCH else "broken"
        lines.append(
            f"/healthz in less than {_seconds(IN_TOUCH)}: {kept}, p95 {_seconds(max(health))}"
        )
    return lines


def _errors(level: Level) -> list[str]:
    errors = Counter(level.outcome.errors) + Counter(level.unhealthy)
    return [f"{_clients(level)}: {n} times {error}" for error, n in errors.most_common(5)]


def _clients(level: Level) -> str:
    return f"{level.clients} client{'s' * (level.clients > 1)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percentiles(seconds: Sequence[float], *percents: float) -> str:
    return ", ".join(_seconds(percentile(seconds, percent)) for percent in percents)


def _seconds(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
