"""From raw texts to ``train.txt`` and ``valid.txt``: clean, drop, hold out, join.

Memory does not grow with the corpus, but for a title and 16 bytes of hash a document: the cleaned
documents lie aside on disk until all are known, and are then divided.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from corpus.cleaning import clean
from corpus.copies import index_of
from corpus.documents import CorpusError, RawText, read_documents, write_documents

# With fewer documents, all are for training.
_FEWEST_TO_HOLD_OUT_FROM = 10


@dataclass
class Tally:
    """How much text."""

    documents: int = 0
    characters: int = 0
    words: int = 0

    def add(self, text: str) -> None:
        """Count one more document."""
        self.documents += 1
        self.characters += len(text)
        self.words += len(text.split())


@dataclass
class Report:
    """What preparation did. In documents, ``read`` is the sum of the four others below it."""

    read: Tally = field(default_factory=Tally)
    stubs: Tally = field(default_factory=Tally)
    duplicates: Tally = field(default_factory=Tally)
    train: Tally = field(default_factory=Tally)
    valid: Tally = field(default_factory=Tally)
    titles: list[str | None] = field(default_factory=list)
    """Of the training documents, in their order."""

    @property
    def cleaned_away(self) -> int:
        """Characters that cleaning took from all documents together (negative: added)."""
        rest = (self.stubs, self.duplicates, self.train, self.valid)
        return self.read.characters - sum(tally.characters for tally in rest)


def prepare(
    texts: Iterable[RawText],
    train: Path,
    valid: Path,
    *,
    holdout: float = 0.05,
    min_words: int = 60,
) -> Report:
    """Write the two delimited files from raw texts, both only once all is well.

    Dropped are documents of fewer than ``min_words`` words after cleaning, and those whose words
    equal an earlier one's. About the share ``holdout`` of the rest (0 to 1, exclusive), whole
    documents chosen by their hash alone, goes to ``valid``: at least one of ten documents or
    more, none of fewer. The same texts give the same bytes. The copy index of an earlier ``train``
    is removed.

    Raises CorpusError if no document is left.
    """
    report = Report()
    digests: dict[bytes, str | None] = {}  # with titles
    aside = train.with_name(f".{train.name}.cleaned")
    train.parent.mkdir(parents=True, exist_ok=True)
    valid.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_documents(_keep(texts, min_words, digests, report), aside)
        if not digests:
            raise CorpusError(
                f"no document is left of {report.read.documents} read "
                f"({report.stubs.documents} had fewer than {min_words} words)"
            )
        held_out = _choose_held_out(digests, holdout)
        write_documents(_part(aside, held_out, True, report.valid), valid)
        index_of(train).unlink(missing_ok=True)
        write_documents(_part(aside, held_out, False, report.train), train)
    finally:
        aside.unlink(missing_ok=True)
    report.titles = [title for digest, title in digests.items() if digest not in held_out]
    return report


def _keep(
    texts: Iterable[RawText], min_words: int, digests: dict[bytes, str | None], report: Report
) -> Iterator[str]:
    for raw in texts:
        report.read.add(raw.text)
        text = clean(raw.text)
        digest = _digest(text)
        if len(text.split()) < min_words:
            report.stubs.add(text)
        elif digest in digests:
            report.duplicates.add(text)
        else:
            digests[digest] = raw.title
            yield text


def _digest(text: str) -> bytes:
    """The document's identity: a hash of its words, whatever blanks stand between them."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def _choose_held_out(digests: Iterable[bytes], holdout: float) -> frozenset[bytes]:
    ordered = sorted(digests)
    if len(ordered) < _FEWEST_TO_HOLD_OUT_FROM or holdout == 0:
        return frozenset()
    # A document's place depends on itself alone, so adding documents moves none across.
    chosen = [digest for digest in ordered if int.from_bytes(digest) < holdout * 2**128]
    return frozenset(chosen[: len(ordered) - 1] or ordered[:1])


def _part(cleaned: Path, held_out: frozenset[bytes], wanted: bool, tally: Tally) -> Iterator[str]:
    for text in read_documents(cleaned):
        if (_digest(text) in held_out) is wanted:
            tally.add(text)
            yield text
