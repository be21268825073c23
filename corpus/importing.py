"""From archives to documents: what is taken, what is left out and why.

The importers say what they find; whose words go in, what is masked and what is told stands here.
"""

import io
import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import IO

from corpus.archive import READ_ERRORS, Archive, ArchiveError, File
from corpus.dialogue import Names, Scenes
from corpus.documents import IMPORT_NAME, CorpusError, Document, write_aside
from corpus.importers import SOURCES
from corpus.importers.source import Broken, Dropped, Item, Message, Source, Text
from corpus.privacy import mask

_SHOWN = 100  # of what is broken; the rest is counted
_LONGEST_ID = 60  # characters, which may be four bytes each


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the person who imports wants. The default keeps to oneself and to what is public."""

    me: frozenset[str] = frozenset()
    """One's own names, case folded."""
    others: bool = False
    """Other people's words, too."""
    keep_names: bool = False
    """Other people keep their names."""
    include_private: bool = False
    """Posts that not everybody could read, too."""
    keep_personal_data: bool = False
    communities: frozenset[str] = frozenset()
    """Of texts that have one, such as a subreddit, only these; case folded; empty: all."""
    authors: frozenset[str] = frozenset()
    """Of texts whose author is known, only theirs; case folded; empty: all."""
    min_score: int | None = None
    """Of texts that have a score, those with at least so much."""
    pattern: re.Pattern[str] | None = None
    """What a title or text must have."""

    def reason_against(self, text: Text, mine: bool | None) -> str | None:
        """Why a text stays out; None if it does not."""
        least = -math.inf if self.min_score is None else self.min_score
        matches = not self.pattern or any(map(self.pattern.search, (text.title or "", text.text)))
        reasons = {
            "empty": not text.text.strip(),
            "not public (--include-private)": not (text.public or self.include_private),
            "somebody else's (--others)": mine is False and not self.others,
            "of another subreddit": not _is_among(text.community, self.communities),
            "of another author": not _is_among(text.author, self.authors),
            "with fewer points": text.score is not None and text.score < least,
            "without a match": not matches,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def _is_among(name: str | None, wanted: frozenset[str]) -> bool:
    return not (name and wanted) or name.casefold() in wanted


@dataclass
class Tally:
    """What came of a source."""

    files: int = 0
    documents: int = 0
    words: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Report:
    """What came of an import."""

    sources: dict[str, Tally] = field(default_factory=dict)
    """By the sources' labels."""
    masked: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    """The first hundred."""
    broken_count: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    """Files that no importer knows, by their suffix."""
    senders: Counter[str] = field(default_factory=Counter)
    """Who may be the archive's owner, where it does not say."""

    def add_broken(self, broken: Broken) -> None:
        """Counts what could not be read."""
        self.broken_count += 1
        if len(self.broken) < _SHOWN:
            self.broken.append(Broken(_encodable(broken.place), _encodable(broken.message)))


def import_archive(
    archive: Archive,
    policy: Policy,
    report: Report,
    *,
    source: Source | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[Document]:
    """The documents of an archive, streaming.

    source: what all files are; None: each is recognised. progress is told of bytes as they are
    read. What is broken goes into the report, and the rest goes on.
    """
    for place, what in archive.problems:
        report.add_broken(Broken(place, what))
    # In a temporary file: of millions of documents, the ids would be too much for memory.
    with closing(sqlite3.connect("")) as database:
        database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        insert = "INSERT OR IGNORE INTO seen VALUES (?)"
        for document, tally in _documents(archive, policy, report, source, progress):
            if not database.execute(insert, (document.id,)).rowcount:
                tally.dropped["there already"] += 1
                continue
            tally.documents += 1
            tally.words += len(document.text.split())
            yield document


def write_report(report: Report, folder: Path) -> None:
    """Leaves the report with the documents. Raises OSError."""
    with write_aside(folder / IMPORT_NAME) as file:
        json.dump(report, file, default=vars, ensure_ascii=False, indent=1)
        file.write("\n")


def recognise(file: File) -> Source | None:
    """Whose file it is; None if nobody's that is known."""
    return next((source for source in SOURCES if source.recognises(file)), None)


def _documents(
    archive: Archive,
    policy: Policy,
    report: Report,
    source: Source | None,
    progress: Callable[[int], object],
) -> Iterator[tuple[Document, Tally]]:
    """The documents, the same one perhaps several times, each with the tally of its source."""
    names = None if policy.keep_names else Names()
    for file in archive:
        found = source or recognise(file)
        if found is None:
            _add_unknown(file, report)
            progress(file.size)
            continue
        tally = report.sources.setdefault(found.label, Tally())
        tally.files += 1
        items = _read(found, _watched(file, progress))
        for text in _texts(items, policy, names, tally, report):
            if document := _document(text, found, policy, tally, report):
                yield document, tally


def _read(source: Source, file: File) -> Iterator[Item]:
    try:
        yield from source.read(file)
    except (*READ_ERRORS, CorpusError) as error:
        yield _broken(file, error)


def _add_unknown(file: File, report: Report) -> None:
    """Of a file that cannot be read, such as a locked one, nobody can say whose it is."""
    try:
        file.open().close()
    except ArchiveError as error:
        report.add_broken(_broken(file, error))
    else:
        report.unknown[_encodable(file.suffix)] += 1


def _broken(file: File, error: Exception) -> Broken:
    what = str(error).removeprefix(f"{file.path}: ")
    return Broken(str(file.path), what or type(error).__name__)


def _texts(
    items: Iterator[Item], policy: Policy, names: Names | None, tally: Tally, report: Report
) -> Iterator[Text]:
    """The texts, and the scenes of the messages."""
    scenes = Scenes(others=policy.others, names=names)

    def told(made: Iterator[Text | Dropped]) -> Iterator[Text]:
        for one in made:
            if isinstance(one, Dropped):
                tally.dropped[one.reason] += 1
            else:
                yield one

    for item in items:
        match item:
            case Text():
                yield item
            case Dropped(reason):
                tally.dropped[reason] += 1
            case Broken():
                report.add_broken(item)
            case Message(mine=None, sender=sender) if not policy.me:
                report.senders[_encodable(sender)] += 1
                tally.dropped["whose it is nobody said (--me)"] += 1
            case Message(mine=None, sender=sender):
                mine = sender.casefold() in policy.me
                yield from told(scenes.add(replace(item, mine=mine)))
            case Message():
                yield from told(scenes.add(item))
    yield from told(scenes.finish())


def _document(
    text: Text, source: Source, policy: Policy, tally: Tally, report: Report
) -> Document | None:
    mine = text.mine
    # The archive may not know all of one's addresses.
    if not mine and text.author and policy.me:
        mine = text.author.casefold() in policy.me
    if reason := policy.reason_against(text, mine):
        tally.dropped[reason] += 1
        return None
    body, title = _encodable(text.text.strip()), _encodable(text.title or "")
    if not policy.keep_personal_data:
        body, found = mask(body)
        report.masked += found
        title = mask(title)[0]
    return Document(
        id=f"{source.name}-{_readable(text.id) if text.id else _hash(body)}",
        text=body,
        title=title or None,
        source=source.label,
        url=_encodable(text.url or "") or None,
        date=text.date.isoformat() if text.date else None,
        license=text.license,
        author_is_me=mine,
    )


def _encodable(text: str) -> str:
    """Without halves of UTF-16 pairs, which JSON may hold and no file can."""
    return text.encode(errors="replace").decode()


def _readable(id: str) -> str:
    """Short enough for a file's name, and without what file systems dislike."""
    plain = re.sub(r"[^\w.-]+", "_", id)
    return plain if plain == id and len(id) <= _LONGEST_ID else f"{plain[:_LONGEST_ID]}-{_hash(id)}"


def _hash(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _watched(file: File, progress: Callable[[int], object]) -> File:
    """The file, which tells how far it was read for the first time."""
    furthest = 0

    def read_to(position: int) -> None:
        nonlocal furthest
        progress(max(0, position - furthest))
        furthest = max(furthest, position)

    def open_it() -> IO[bytes]:
        return io.BufferedReader(_Watched(file.open(), read_to), 1 << 18)

    return replace(file, _open=open_it)


class _Watched(io.RawIOBase):
    def __init__(self, stream: IO[bytes], read_to: Callable[[int], None]) -> None:
        self._stream = stream
        self._read_to = read_to
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        self._read_to(self._position)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = self._stream.seek(offset, whence)
        return self._position

    def close(self) -> None:
        self._stream.close()
        super().close()
