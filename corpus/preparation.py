"""From raw texts to ``train.txt`` and ``valid.txt``: clean, drop, hold out, mix, join.

Memory does not grow with the corpus, but for a name and 16 bytes of hash a document, and with
near-duplicates half a kilobyte: the cleaned documents lie aside on disk until all are known, and
are then divided.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from corpus import quality as quality_rules
from corpus.cleaning import clean, count_words, repair_example, repairs
from corpus.copies import index_of, name_of
from corpus.documents import CorpusError, RawText, read_documents, replacing, write_documents
from corpus.duplicates import NearDuplicates, RepeatedLines
from corpus.language import language as language_of

# With fewer documents, all are for training.
_FEWEST_TO_HOLD_OUT_FROM = 10
_EXAMPLES = 5  # of each reason
_CLUSTERS = 50


@dataclass
class Tally:
    """How much text."""

    documents: int = 0
    characters: int = 0
    words: int = 0

    def add(self, text: str, words: int) -> None:
        """Count one more document."""
        self.documents += 1
        self.characters += len(text)
        self.words += words


@dataclass
class Dropped(Tally):
    """What was dropped for one reason."""

    examples: list[str] = field(default_factory=list)
    """Titles or first words, of the first five."""


@dataclass
class Report:
    """What preparation did. In documents, ``read`` is the sum of ``dropped``, ``train`` and
    ``valid``, where no weight repeats some."""

    read: Tally = field(default_factory=Tally)
    cleaned_away: int = 0
    """Characters that cleaning took from all documents together (negative: added)."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Documents by what was wrong with them."""
    repair_examples: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of each damage some words, before and after."""
    dropped: dict[str, Dropped] = field(default_factory=dict)
    """By the reason."""
    clusters: list[list[str]] = field(default_factory=list)
    """The names of near-duplicates, the one that was kept first; the fifty largest groups."""
    removed_lines: Counter[str] = field(default_factory=Counter)
    """Lines that a source repeats, and how often they were removed."""
    train: Tally = field(default_factory=Tally)
    valid: Tally = field(default_factory=Tally)
    titles: list[str] = field(default_factory=list)
    """Of the training documents, in their order; where there is no title, the first words."""

    def repair(self, raw: str, cleaned: str) -> None:
        """Count what cleaning has repaired in a document."""
        for damage in repairs(raw, cleaned):
            self.repaired[damage] += 1
            if damage not in self.repair_examples and (
                example := repair_example(raw, cleaned, damage)
            ):
                self.repair_examples[damage] = example

    def drop(self, reason: str, name: str, text: str, words: int) -> None:
        """Count a document that is dropped."""
        dropped = self.dropped.setdefault(reason, Dropped())
        dropped.add(text, words)
        if name and len(dropped.examples) < _EXAMPLES:
            dropped.examples.append(name)


def prepare(
    texts: Iterable[RawText],
    train: Path,
    valid: Path,
    *,
    holdout: float = 0.05,
    min_words: int = 60,
    max_words: int | None = None,
    language: str | None = None,
    quality: bool = False,
    near_duplicates: bool = False,
    repeated_lines: bool = False,
    weights: Mapping[str, float] | None = None,
    stages: Sequence[Collection[str]] = (),
) -> Report:
    """Write the delimited files from raw texts, all only once all is well.

    Dropped are documents of fewer than ``min_words`` or more than ``max_words`` words after
    cleaning, those whose words equal an earlier one's, those not in ``language`` (ISO 639; what is
    too short to tell stays), with ``quality`` those that do not read like prose, and with
    ``near_duplicates`` of each group of similar ones all but the longest. ``repeated_lines``
    removes the lines that a source repeats in document after document. About the share
    ``holdout`` of the rest (0 to 1, exclusive), whole documents chosen by their hash alone, goes
    to ``valid``: at least one of ten documents or more, none of fewer.

    ``weights``: how often the documents of a source stand in the training file, if not once; of
    2.5, a half of them chosen by their hash stands there three times. ``stages``: the sources of
    each training file, to be learned in this order: then they are ``stage_files``, not ``train``.

    The same texts give the same bytes. The copy indexes of earlier training files are removed.

    Raises CorpusError if no document is left, for one of the training files.
    """
    aside = _Aside(train.with_name(f".{train.name}.cleaned"))
    report = Report()
    filters = _Filters(min_words, max_words, language, quality)
    near = NearDuplicates() if near_duplicates else None
    train.parent.mkdir(parents=True, exist_ok=True)
    valid.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_documents(_take(texts, filters, aside, near, report), aside.path)
        if near:
            _drop_near_duplicates(aside, near, report)
        if repeated_lines:
            _remove_repeated_lines(aside, filters, report)
        held_out = _choose_held_out(filter(None, aside.digests), holdout)
        mix = _Mix(aside, held_out, weights or {})
        files: dict[Path, Collection[str] | None] = {train: None}
        if stages:
            files = dict(zip(stage_files(train, stages), stages, strict=True))
        for file, sources in files.items():
            if not any(mix.rounds(number, sources) for number in range(len(aside.names))):
                raise CorpusError(_nothing_left(report, file if stages else None))
        with ExitStack() as results:  # none takes its name before all are whole
            held_out_texts = _valid(aside, held_out, mix, report)
            write_documents(held_out_texts, results.enter_context(replacing(valid)))
            for file, sources in files.items():
                learned = _train(aside, mix, sources, report)
                write_documents(learned, results.enter_context(replacing(file)))
        for file in files:
            index_of(file).unlink(missing_ok=True)
    finally:
        aside.path.unlink(missing_ok=True)
    return report


def stage_files(train: Path, stages: Sequence[object]) -> list[Path]:
    """The training files: of two stages train.1.txt and train.2.txt for train.txt, else itself."""
    numbers = range(1, len(stages) + 1)
    return [train.with_name(f"{train.stem}.{n}{train.suffix}") for n in numbers] or [train]


class _Filters(NamedTuple):
    min_words: int
    max_words: int | None
    language: str | None
    quality: bool

    def reason_against(self, text: str, words: int) -> str | None:
        if words < self.min_words:
            return f"fewer than {self.min_words} words"
        if not text:
            return "empty"
        if self.max_words is not None and words > self.max_words:
            return f"more than {self.max_words} words"
        if self.language and language_of(text) not in (self.language, None):
            return f"not in the language {self.language}"
        return quality_rules.reason(text) if self.quality else None


class _Aside:
    """The cleaned documents on disk, and what is known of each by its number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.sources: list[str] = []
        self.digests: list[bytes | None] = []  # None: it is dropped
        self.lines: dict[str, RepeatedLines] = {}  # to be removed, by source

    def documents(self) -> Iterator[tuple[int, str]]:
        """Number and text of those that are not dropped."""
        for number, text in enumerate(read_documents(self.path)):
            if self.digests[number] is not None:
                lines = self.lines.get(self.sources[number])
                yield number, lines.remove(text)[0] if lines else text


def _take(
    texts: Iterable[RawText],
    filters: _Filters,
    aside: _Aside,
    near: NearDuplicates | None,
    report: Report,
) -> Iterator[str]:
    """Clean; drop what its own text or an equal one tells against."""
    seen: set[bytes] = set()
    for raw in texts:
        text = clean(raw.text)
        words = count_words(text)
        report.read.add(raw.text, words if raw.text == text else len(raw.text.split()))
        report.cleaned_away += len(raw.text) - len(text)
        report.repair(raw.text, text)
        name, digest = name_of(raw.title, text), _digest(text)
        reason = "duplicate" if digest in seen else filters.reason_against(text, words)
        if reason:
            report.drop(reason, name, text, words)
            continue
        seen.add(digest)
        aside.names.append(name)
        aside.sources.append(raw.source)
        aside.digests.append(digest)
        if near:
            near.add(text)
        yield text


def _drop_near_duplicates(aside: _Aside, near: NearDuplicates, report: Report) -> None:
    clusters = near.clusters()
    report.clusters = [[aside.names[n] for n in cluster] for cluster in clusters[:_CLUSTERS]]
    dropped = {number for cluster in clusters for number in cluster[1:]}
    for number, text in aside.documents() if dropped else ():
        if number in dropped:
            report.drop("near-duplicate", aside.names[number], text, count_words(text))
            aside.digests[number] = None


def _remove_repeated_lines(aside: _Aside, filters: _Filters, report: Report) -> None:
    # Counted only here, as the lines of duplicates are no boilerplate.
    found: dict[str, RepeatedLines] = {}
    for number, text in aside.documents():
        found.setdefault(aside.sources[number], RepeatedLines()).add(text)
    repeated = {source: lines for source, lines in found.items() if lines.finish()}
    seen: set[bytes] = set()
    for number, text in aside.documents() if repeated else ():
        lines = repeated.get(aside.sources[number])
        rest, removed = lines.remove(text) if lines else (text, [])
        report.removed_lines.update(removed)
        report.cleaned_away += len(text) - len(rest)
        words, digest = count_words(rest), _digest(rest)
        reason = filters.reason_against(rest, words) if removed else None
        if reason is None and digest in seen:
            reason = "duplicate"
        seen.add(digest)
        aside.digests[number] = None if reason else digest
        if reason:
            report.drop(reason, aside.names[number], rest, words)
    aside.lines = repeated


def _digest(cleaned: str) -> bytes:
    """The document's identity: a hash of its words, whatever blanks stand between them."""
    words = cleaned.replace("\n\n", " ").replace("\n", " ")
    return hashlib.blake2b(words.encode(), digest_size=16).digest()


def _choose_held_out(digests: Iterable[bytes], holdout: float) -> frozenset[bytes]:
    ordered = sorted(digests)
    if len(ordered) < _FEWEST_TO_HOLD_OUT_FROM or holdout == 0:
        return frozenset()
    # A document's place depends on itself alone, so adding documents moves none across.
    chosen = [digest for digest in ordered if int.from_bytes(digest) < holdout * 2**128]
    return frozenset(chosen[: len(ordered) - 1] or ordered[:1])


class _Mix:
    """How often each document stands in a training file."""

    def __init__(
        self, aside: _Aside, held_out: Collection[bytes], weights: Mapping[str, float]
    ) -> None:
        self._aside = aside
        self._held_out = held_out
        self._weights = weights

    def rounds(self, number: int, sources: Collection[str] | None) -> int:
        """Of a document in the file of these sources, or of all."""
        digest, source = self._aside.digests[number], self._aside.sources[number]
        if digest is None or digest in self._held_out or not (sources is None or source in sources):
            return 0
        weight = self._weights.get(source, 1)
        # Not the bytes that decide whether it is held out.
        share = int.from_bytes(digest[8:]) / 2**64
        return math.floor(weight) + (share < weight % 1)


def _train(
    aside: _Aside, mix: _Mix, sources: Collection[str] | None, report: Report
) -> Iterator[str]:
    # Round by round: the same text twice in one window would teach to repeat.
    rounds = [mix.rounds(number, sources) for number in range(len(aside.names))]
    for played in range(max(rounds)):
        for number, text in aside.documents():
            if rounds[number] > played:
                report.titles.append(aside.names[number])
                report.train.add(text, count_words(text))
                yield text


def _valid(aside: _Aside, held_out: Collection[bytes], mix: _Mix, report: Report) -> Iterator[str]:
    for number, text in aside.documents():
        words = count_words(text)
        if aside.digests[number] in held_out:
            report.valid.add(text, words)
            yield text
        elif not mix.rounds(number, None):
            report.drop("left out by its weight", aside.names[number], text, words)


def _nothing_left(report: Report, stage: Path | None) -> str:
    reasons = ", ".join(
        f"{dropped.documents} {'had ' if ' than ' in reason else ''}{reason}"
        for reason, dropped in report.dropped.items()
    )
    place = f" for {stage}" if stage else ""
    return f"no document is left{place} of {report.read.documents} read" + (
        f" ({reasons})" if reasons else ""
    )
