"""The corpus doctor: what is in a prepared corpus, what it is good for, and what to do about it.

One pass over train.txt and valid.txt in bounded memory, a few rules of thumb, and a page that needs
nothing but itself.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from corpus.attribution import is_non_commercial
from corpus.documents import IMPORT_NAME, CorpusError, read_documents, read_index, write_aside
from corpus.preparation import Report
from corpus.privacy import mask

ESTIMATED = "GPT-2's, about"
"""The vocabulary, where tokens are estimated."""

# GPT-2's vocabulary makes about so many tokens of a byte of English.
_TOKENS_A_BYTE = 0.25

_NGRAM = 6  # words of a phrase that may be a repeated one
_MOST_COUNTED = 200_000  # different lines and phrases that are counted at once
_MOST_EXAMINED = 20 << 20  # characters that phrases are counted in; more are sampled
_SHOWN = 20  # of each list
_BINS = 20  # of the histogram, about
_MOST_YEARS = 60  # bars
_SHORT_LINE = 8  # words: shorter lines are how people chat

# Tokens of a step of train_gpt2.py's defaults, which are gpt-2-simple's: five windows.
_STEP = 5 * 1024
_PARAMETERS = 124_439_808
# Floating-point operations a second that fine-tuning gets out of a machine, six a parameter and
# token (Kaplan et al., 2020). Two cores were measured: a window takes train_gpt2.py 6.2 s there, so
# 1.2e11. The others are guesses on the safe side, far below what they have on paper.
_MACHINES = {
    "2 processor cores": 1e11,
    "8 processor cores": 3e11,
    "T4 (Colab's free one)": 2e12,
    "RTX 3060": 5e12,
    "A100": 4e13,
}
# Passes over the corpus after which a fine-tuned GPT-2 is about at its best on texts held out, and
# after which it begins to recite.
_EPOCHS = 3
_RECITES = 7.5


@dataclass
class Part:
    """Of train.txt or valid.txt."""

    documents: int = 0
    words: int = 0
    characters: int = 0
    tokens: int = 0


@dataclass
class Left:
    """Documents that were dropped for one reason."""

    reason: str
    documents: int
    words: int
    examples: list[str] = field(default_factory=list)


@dataclass
class Repaired:
    """Documents that had one kind of damage, and an example of it."""

    damage: str
    documents: int
    before: str = ""
    after: str = ""


@dataclass
class Estimate:
    """What fine-tuning the 124M model may take on a machine."""

    machine: str
    minutes: float


@dataclass
class Examination:
    """All that the report says: the JSON twin of the page."""

    vocabulary: str
    """Whose tokens are counted."""
    train: Part = field(default_factory=Part)
    valid: Part = field(default_factory=Part)
    lengths: list[tuple[int, int]] = field(default_factory=list)
    """Documents by their words: (from so many, how many documents)."""
    longest: int = 0
    """Words of the longest document."""
    short_lines: float = 0.0
    """Share of the lines that have fewer than eight words."""
    sampled: int = 1
    """One training document of so many is looked at for languages, phrases and personal data."""
    years: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    licenses: dict[str, int] = field(default_factory=dict)
    dropped: list[Left] = field(default_factory=list)
    repeated_lines: list[tuple[str, int]] = field(default_factory=list)
    repeated_phrases: list[tuple[str, int]] = field(default_factory=list)
    removed_lines: list[tuple[str, int]] = field(default_factory=list)
    repaired: list[Repaired] = field(default_factory=list)
    masked: dict[str, int] = field(default_factory=dict)
    """When it was imported."""
    personal: dict[str, int] = field(default_factory=dict)
    """Personal data that is still there."""
    clusters: list[list[str]] = field(default_factory=list)
    steps: int = 0
    """Of training, that may be enough."""
    estimates: list[Estimate] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def examine(
    train: Sequence[Path],
    valid: Path,
    *,
    count_tokens: Callable[[str], int] | None = None,
    vocabulary: str = ESTIMATED,
    language: Callable[[str], str | None] = lambda _: None,
    progress: Callable[[int], object] = lambda _: None,
) -> Examination:
    """Reads the training files, of all stages, and the one held out. What only the preparation and
    the sources know is for the caller to add, and then `conclude`.

    count_tokens: of a text under the vocabulary; None: they are estimated. language: of a text.
    progress is told of documents. Raises OSError.
    """
    found = Examination(vocabulary)
    lengths = array("I")
    lines, phrases = _Frequent(), _Frequent()
    short = all_lines = examined = 0
    personal: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    found.sampled = max(1, ceil(sum(path.stat().st_size for path in train) / _MOST_EXAMINED))
    for part, path in (*((found.train, path) for path in train), (found.valid, valid)):
        for text in read_documents(path):
            words = text.split()
            part.documents += 1
            part.words += len(words)
            part.characters += len(text)
            part.tokens += count_tokens(text) if count_tokens else _estimate_tokens(text)
            progress(1)
            if part is found.valid:
                continue
            lengths.append(len(words))
            for line in filter(None, text.split("\n")):
                all_lines += 1
                short += line.count(" ") < _SHORT_LINE - 1
                lines.add(line)
            examined += 1
            if (examined - 1) % found.sampled:
                continue
            personal += mask(text)[1]
            if name := language(text):
                languages[name] += 1
            for i in range(len(words) - _NGRAM + 1):
                phrases.add(" ".join(words[i : i + _NGRAM]))
    found.longest = max(lengths, default=0)
    found.lengths = _histogram(lengths)
    found.short_lines = short / max(1, all_lines)
    found.repeated_lines = lines.most(_SHOWN)
    found.repeated_phrases = _apart(phrases.most(10 * _SHOWN))
    found.personal = dict(personal)
    found.languages = dict(languages.most_common())
    return found


def add_preparation(found: Examination, report: Report) -> None:
    """Adds what preparing dropped, removed and repaired."""
    found.dropped = [
        Left(reason, dropped.documents, dropped.words, dropped.examples)
        for reason, dropped in report.dropped.items()
    ]
    found.clusters = report.clusters
    found.removed_lines = report.removed_lines.most_common(_SHOWN)
    found.repaired = [
        Repaired(damage, documents, *report.repair_examples.get(damage, ()))
        for damage, documents in report.repaired.most_common()
    ]


def add_sources(found: Examination, folders: Iterable[Path]) -> None:
    """Adds what corpus folders say of their documents: years, licences, what was masked when they
    were imported. What is no such folder is passed over. Raises CorpusError and OSError."""
    years: Counter[str] = Counter()
    licenses: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    for folder in folders:
        for _, _, entry in read_index(folder):
            date, name = entry.get("date"), entry.get("license")
            if isinstance(date, str) and re.match("[0-9]{4}", date):
                years[date[:4]] += 1
            if isinstance(name, str):
                licenses[name] += 1
        imported = folder / IMPORT_NAME
        if imported.is_file():
            try:
                masked += Counter(json.loads(imported.read_text(encoding="utf-8"))["masked"])
            except (ValueError, TypeError, KeyError) as error:
                raise CorpusError(f"{imported}: not the report of an import") from error
    found.years = _with_gaps(years)
    found.licenses = dict(licenses.most_common())
    found.masked = dict(masked.most_common())


def conclude(found: Examination) -> None:
    """Estimates and advice, from all the rest."""
    found.steps = ceil(_EPOCHS * found.train.tokens / _STEP / 10) * 10
    operations = 6 * _PARAMETERS * _STEP * found.steps
    found.estimates = [
        Estimate(machine, round(operations / speed / 60, 1)) for machine, speed in _MACHINES.items()
    ]
    found.advice = list(_advice(found))


def _advice(found: Examination) -> Iterator[str]:
    tokens, documents = found.train.tokens, found.train.documents
    dropped = {left.reason: left.documents for left in found.dropped}
    read = documents + found.valid.documents + sum(dropped.values())
    recites = max(10, round(_RECITES * tokens / _STEP, -1))
    if tokens < 100_000:
        yield (
            f"Too small: {tokens:,} tokens. Expect copying after about {recites:,.0f} steps. Add"
            " texts, or fine-tune briefly and let the service look for copies."
        )
    elif tokens < 1_000_000:
        yield (
            f"Small: {tokens:,} tokens will do for the tone of it. Expect copying after about"
            f" {recites:,.0f} steps: watch the loss on the texts held out."
        )
    else:
        yield f"A good size: {tokens:,} tokens."
    if found.valid.documents == 0:
        hint = "--holdout does that" if documents >= 10 else "that needs ten documents at least"
        yield f"Nothing is held out, so nobody can tell when to stop training: {hint}."
    if found.short_lines > 0.4:
        yield (
            f"{found.short_lines:.0%} of your lines are chat one-liners (fewer than"
            f" {_SHORT_LINE} words): GPT-2 does badly on those. Join them to longer scenes, or"
            " leave them out."
        )
    for reason, count in dropped.items():
        if count > 0.3 * read:
            short = reason.startswith("fewer than")
            hint = " (--min-words keeps shorter ones)" if short else ""
            yield f"{count:,} of {read:,} documents were dropped: {reason}{hint}. Is that right?"
    if documents and found.longest > 0.3 * found.train.words and documents > 1:
        yield (
            f"One document holds {found.longest / found.train.words:.0%} of all words: the model"
            " will sound like that one. Cut it up, or give the others more weight (--mix)."
        )
    main, *others = found.languages.values() or [0]
    if sum(others) > 0.05 * (main + sum(others)):
        names = ", ".join(list(found.languages)[:4])
        yield (
            f"Several languages ({names}): a small model mixes them. Keep one with --language, or"
            " train one model for each."
        )
    if found.personal:
        what = ", ".join(
            f"{count:,} {_plural(kind, count)}" for kind, count in found.personal.items()
        )
        yield f"Still in the text: {what}. The model may say them to strangers."
    if found.repeated_phrases and found.repeated_phrases[0][1] > max(20, 0.2 * documents):
        phrase, count = found.repeated_phrases[0]
        yield f'"{phrase}" stands there {count:,} times: the model will say it, too.'
    if any(map(is_non_commercial, found.licenses)):
        yield "Part of it is for non-commercial use only, and so is a model that is trained on it."


def write_report(found: Examination, page: Path, twin: Path, *, title: str) -> None:
    """Writes the page, which needs no other file and no network, and its JSON twin.

    Raises OSError.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    contents = {
        twin: json.dumps(asdict(found), ensure_ascii=False, indent=1) + "\n",
        page: environment.get_template("report.html").render(found=found, title=title),
    }
    for path, content in contents.items():
        with write_aside(path) as file:
            # Names of files and titles may have surrogates.
            file.write(content.encode(errors="replace").decode())


def _with_gaps(years: Mapping[str, int]) -> dict[str, int]:
    """In order, with the years between them that have none; unless there are too many to show."""
    first, last = int(min(years, default="1")), int(max(years, default="0"))
    if last - first >= _MOST_YEARS:
        return dict(sorted(years.items()))
    return {f"{year:04}": years.get(f"{year:04}", 0) for year in range(first, last + 1)}


def _histogram(lengths: "array[int]") -> list[tuple[int, int]]:
    """Of some twenty equal bins, whose last one holds the few that are much longer, too."""
    if not lengths:
        return []
    ordered = sorted(lengths)
    usual = ordered[int(0.98 * (len(ordered) - 1))]
    width = next(
        step * 10**power
        for power in range(10)
        for step in (1, 2, 5)
        if (usual - ordered[0]) / (step * 10**power) <= _BINS
    )
    bins = Counter(min(length, usual) // width * width for length in ordered)
    return [(start, bins[start]) for start in range(min(bins), max(bins) + 1, width)]


class _Frequent:
    """What comes often, counted in bounded memory: of a full table, what came once is forgotten,
    then what came twice (lossy counting, Manku and Motwani 2002). Counts may be too low."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, text: str) -> None:
        self._counts[text] = self._counts.get(text, 0) + 1
        if len(self._counts) <= _MOST_COUNTED:
            return
        least = 1
        while len(self._counts) > _MOST_COUNTED // 2:  # or the next one would find it full again
            self._counts = {text: n for text, n in self._counts.items() if n > least}
            least += 1

    def most(self, number: int) -> list[tuple[str, int]]:
        """Those that came more than twice, the most frequent first."""
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return [(text, n) for text, n in ordered[:number] if n > 2]


def _apart(phrases: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Without those that only continue one before them."""
    chosen: list[tuple[str, int]] = []
    words: list[set[str]] = []
    for phrase, count in phrases:
        these = set(phrase.split())
        if all(len(these & others) < _NGRAM - 2 for others in words):
            chosen.append((phrase, count))
            words.append(these)
    return chosen[:_SHOWN]


def _estimate_tokens(text: str) -> int:
    return ceil(len(text.encode(errors="replace")) * _TOKENS_A_BYTE)


def _plural(word: str, count: int) -> str:
    ending = "es" if word.endswith("s") else "s"
    return word if count == 1 else word + ending
