"""What the benchmark found, and the Markdown that says it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from engine import HParams
from training.measures import Prediction

OURS = "ours"
OURS_AVX2 = "ours (AVX2)"
OURS_PORTABLE = "ours (portable)"


@dataclass(frozen=True)
class Entrant:
    """An engine in one configuration."""

    label: str
    engine: str
    """A class of `bench.engines`."""
    env: dict[str, str] = field(default_factory=dict, hash=False)
    restricted: bool = False
    """To AVX2, or to plain C."""
    rounds: int = 1000
    """Slow ones do fewer."""
    streams: tuple[int, ...] = ()
    """The numbers of streams it is measured at; none: all."""


@dataclass
class Round:
    """One turn of all engines."""

    busy: float
    """Share of the processors' time that was gone while nothing of ours ran (0 to 1)."""
    limits: dict[str, float]
    """What `limits.c` prints."""
    speeds: dict[str, float] = field(default_factory=dict)
    """Tokens a second of all streams together, by entrant."""


@dataclass
class Case:
    """A row of the table: so many streams at once, each of so many prompt and new tokens."""

    label: str
    hparams: HParams
    streams: int
    prompt: int
    length: int
    """New tokens; 1 measures how fast the prompt is read."""
    rounds: list[Round] = field(default_factory=list)
    greedy: dict[str, list[int]] = field(default_factory=dict)
    """The beginning of the same greedy text by each entrant: it should be the same."""

    @property
    def weight_bytes(self) -> int:
        """Q8_0: 32 bytes and a float16 scale for 32 weights."""
        return (self._body + self._head) * 34 // 32

    @property
    def _body(self) -> int:
        return 12 * self.hparams.n_layer * self.hparams.n_embd**2

    @property
    def _head(self) -> int:
        return self.hparams.n_vocab * self.hparams.n_embd

    def limit(self, measured: dict[str, float], kernel: str) -> tuple[float, str]:
        """Tokens a second that the machine allows, and what stands in the way.

        Counted are the weights alone: reading them once for a token of every stream, and a
        multiply-accumulate for each. Attention and what else there is come on top.
        """
        together = self.streams if self.length > 1 else self.prompt
        reading = measured["read"] * 1e9 / self.weight_bytes * together
        # Of a prompt only the last token needs the head.
        multiplications = self._body + self._head / (self.prompt if self.length == 1 else 1)
        multiplying = measured[kernel] * 1e9 / multiplications
        return min((reading, "memory"), (multiplying, "int8"))


@dataclass
class Process:
    """Whole processes of one entrant, in seconds and bytes."""

    first_token: list[float] = field(default_factory=list)
    """From the start of the process, imports included."""
    load: list[float] = field(default_factory=list)
    rss: dict[int, int] = field(default_factory=dict)
    """By number of streams."""


@dataclass
class Results:
    """All of it, as it goes into the JSON file."""

    machine: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    quality: dict[str, Prediction] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def markdown(results: Results, entrants: Sequence[Entrant]) -> str:
    """The tables."""
    parts = [_machine(results)]
    if results.cases:
        parts.append(_speed(results.cases, entrants))
        if OURS_AVX2 in results.versions:
            parts.append(_avx2(results.cases, entrants))
        parts.append(_conditions(results.cases))
        # Random weights leave each decision close.
        parts.append(_greedy(case for case in results.cases if case.label.startswith("mini")))
    if results.processes:
        parts.append(_processes(results.processes))
    if results.quality:
        parts.append(_quality(results.quality))
    if results.failures:
        parts.append(
            "Not measured:\n\n" + "\n".join(f"- {failure}" for failure in results.failures)
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(results: Results) -> str:
    lines = [f"- {name}: {value}" for name, value in results.machine.items()]
    lines += [f"- {label}: {version}" for label, version in results.versions.items()]
    return "\n".join(lines)


def _speed(cases: Sequence[Case], entrants: Sequence[Entrant]) -> str:
    columns = [
        e.label
        for e in entrants
        # The wheel is among the others though it has AVX2 only: it is what most people install.
        if not e.restricted or e.engine == "LlamaWheel"
    ]
    peers = [label for label in columns if label != OURS]
    rows = [
        [
            case.label,
            *(_median(case, label) for label in columns),
            _ratio(case, OURS, peers),
            _share(case, OURS, "vnni"),
        ]
        for case in cases
    ]
    return table(["tokens/s", *columns, "to the best peer", "of the limit"], rows)


def _avx2(cases: Sequence[Case], entrants: Sequence[Entrant]) -> str:
    peers = [e.label for e in entrants if e.restricted and e.engine != "Ours"]
    everyone = [e.label for e in entrants if e.engine != "Ours"]
    portable = [e.label for e in entrants if e.label == OURS_PORTABLE]
    rows = [
        [
            case.label,
            *(_median(case, label) for label in (OURS_AVX2, *peers)),
            _ratio(case, OURS_AVX2, peers),
            _ratio(case, OURS_AVX2, everyone),
            _share(case, OURS_AVX2, "avx2"),
            *(_median(case, label) for label in portable),
        ]
        for case in cases
    ]
    ratios = ["to the best of these", "to the best unrestricted"]
    columns = [OURS_AVX2, *peers, *ratios, "of the limit", *portable]
    return table(["tokens/s, AVX2 alone", *columns], rows)


def _conditions(cases: Iterable[Case]) -> str:
    vnni, avx2, busy = [], [], []
    read: dict[int, list[float]] = {}
    for case in cases:
        for round_ in case.rounds:
            vnni += [round_.limits["vnni"]] if "vnni" in round_.limits else []
            avx2.append(round_.limits["avx2"])
            read.setdefault(case.weight_bytes, []).append(round_.limits["read"])
            busy.append(round_.busy)
    limits = [
        f"{median(values):,.0f} GB/s when {size / 1e6:,.0f} MB of weights are read over and over"
        for size, values in read.items()
    ]
    limits += [f"{median(vnni):,.0f} int8 GMAC/s with VNNI"] if vnni else []
    limits += [f"{median(avx2):,.0f} with AVX2"]
    return (
        f"The machine's limits, measured in the same rounds: {', '.join(limits)}. "
        f"Its processors were otherwise busy for {median(busy):.0%} of the time "
        f"({max(busy):.0%} before the worst round)."
    )


def _greedy(cases: Iterable[Case]) -> str:
    """Whether the engines compute the same model; int8 may turn a close decision."""
    shared: dict[str, int] = {}
    for case in cases:
        reference = next(iter(case.greedy.values()), [])
        for label, tokens in case.greedy.items():
            same = [a == b for a, b in zip(tokens, reference, strict=True)]
            shared[label] = min(shared.get(label, len(same)), [*same, False].index(False))
    if not shared:
        return ""
    counts = ", ".join(f"{label} {n}" for label, n in shared.items())
    return (
        f"First tokens of a greedy text by the mini model that equal the first column's: {counts}."
    )


def _processes(processes: dict[str, Process]) -> str:
    rows = [
        [
            label,
            f"{median(p.first_token):.2f} s" if p.first_token else "",
            f"{median(p.load):.2f} s" if p.load else "",
            *(f"{p.rss[n] / 1e6:,.0f} MB" if n in p.rss else "" for n in (1, 16)),
        ]
        for label, p in processes.items()
    ]
    return table(
        ["124M", "start to first token", "load alone", "peak RSS, 1 stream", "16 streams"], rows
    )


def _quality(quality: dict[str, Prediction]) -> str:
    rows = [
        [weights, f"{q.perplexity:.3f}", f"{q.bits_per_byte:.4f}"] for weights, q in quality.items()
    ]
    difference = quality["q8_0"].perplexity / quality["f32"].perplexity - 1
    rows.append(["q8_0 against f32", f"{difference:+.2%}", ""])
    return table(["held-out text", "perplexity a token", "bits a byte"], rows)


def _median(case: Case, label: str) -> str:
    speeds = [r.speeds[label] for r in case.rounds if label in r.speeds]
    return f"{median(speeds):,.0f}" if speeds else ""


def _ratio(case: Case, ours: str, peers: Sequence[str]) -> str:
    """Median and range of the rounds' ratios, each to the peer that was best in it."""
    ratios, best = [], []
    for round_ in case.rounds:
        speeds = {label: round_.speeds[label] for label in peers if label in round_.speeds}
        if speeds and ours in round_.speeds:
            best.append(max(speeds, key=lambda label: speeds[label]))
            ratios.append(round_.speeds[ours] / speeds[best[-1]])
    if not ratios:
        return ""
    name = max(set(best), key=best.count)
    return f"**{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) {name}"


def _share(case: Case, label: str, kernel: str) -> str:
    rounds = [r for r in case.rounds if label in r.speeds]
    if not rounds:
        return ""
    measured = {name: median(r.limits[name] for r in rounds) for name in rounds[0].limits}
    limit, name = case.limit(measured, kernel if kernel in measured else "avx2")
    return f"{median(r.speeds[label] for r in rounds) / limit:.0%} {name}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
