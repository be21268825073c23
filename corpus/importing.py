"""From archives to documents: what is taken, what is left out and why.

The importers say what they find; whose words go in, what is masked and what is told stands here.
"""

import io
import json
import math
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from corpus.archive import READ_ERRORS, Archive, ArchiveError, File
from corpus.dialogue import Names, People, Scenes
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
    """One's own names, as ``folded_name`` gives them."""
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
    """Of texts whose author is known, only theirs; as ``folded_name`` gives them; empty: all."""
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
            "of another subreddit": not _is_among(
                (text.community or "").casefold(), self.communities
            ),
            "of another author": not _is_among(folded_name(text.author or ""), self.authors),
            "with fewer points": text.score is not None and text.score < least,
            "without a match": not matches,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def folded_name(name: str) -> str:
    """What the ways to write a name have in common: ``@Zoë  B`` and ``zoe\u0308 b`` are one."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split()).removeprefix("@")


def _is_among(name: str, wanted: frozenset[str]) -> bool:
    return not (name and wanted) or name in wanted


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
    senders: dict[str, Counter[str]] = field(default_factory=dict)
    """By the sources' labels: who wrote the messages of which the archive does not say whose they
    are, where nobody of them bears a name of the policy's owner."""

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
    for senders in report.senders.values():
        if any(folded_name(sender) in policy.me for sender in senders):
            senders.clear()


def write_report(report: Report, folder: Path) -> None:
    """Leaves the report with the documents, but for people's names. Raises OSError."""
    with write_aside(folder / IMPORT_NAME) as file:
        json.dump(replace(report, senders={}), file, default=vars, ensure_ascii=False, indent=1)
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
        for text in _texts(found, _watched(file, progress), policy, names, report):
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
    source: Source, file: File, policy: Policy, names: Names | None, report: Report
) -> Iterator[Text]:
    """The texts, and the scenes of the messages."""
    tally = report.sources[source.label]
    senders = report.senders.setdefault(source.label, Counter())
    scenes: Scenes | None = None

    def told(made: Iterator[Text | Dropped]) -> Iterator[Text]:
        for one in made:
            if isinstance(one, Dropped):
                tally.dropped[one.reason] += 1
            else:
                yield one

    for item in _read(source, file):
        match item:
            case Text():
                yield item
            case Dropped(reason):
                tally.dropped[reason] += 1
            case Broken():
                report.add_broken(item)
            case Message(mine=mine, sender=sender):
                if mine is None:
                    senders[_encodable(sender)] += 1
                    if not policy.me:
                        tally.dropped["whose it is nobody said (--me)"] += 1
                        continue
                if scenes is None:
                    people = _people(_read(source, file), policy)
                    scenes = Scenes(people, others=policy.others, names=names)
                yield from told(scenes.add(replace(item, mine=_is_mine(item, policy))))
    if scenes is not None:
        yield from told(scenes.finish())


def _people(items: Iterator[Item], policy: Policy) -> People:
    """Who writes in each conversation: a name may be spoken of long before its bearer speaks."""
    people: People = {}
    for item in items:
        if isinstance(item, Message):
            known = people.setdefault(item.conversation, {})
            # The owner may have a namesake.
            known[item.sender] = known.get(item.sender, True) and _is_mine(item, policy)
    return people


def _is_mine(message: Message, policy: Policy) -> bool:
    return folded_name(message.sender) in policy.me if message.mine is None else message.mine


def _document(
    text: Text, source: Source, policy: Policy, tally: Tally, report: Report
) -> Document | None:
    mine = text.mine
    # The archive may not know all of one's addresses.
    if not mine and text.author and policy.me:
        mine = folded_name(text.author) in policy.me
    if reason := policy.reason_against(text, mine):
        tally.dropped[reason] += 1
        return None
    body, title = _encodable(text.text.strip()), _encodable(text.title or "")
    id, url = text.id, _encodable(text.url or "")
    if not policy.keep_personal_data:
        body, found = mask(body)
        title, found_in_title = mask(title)
        report.masked += found + found_in_title
        id = _hash(id) if id and _has_mail_address(id) else id
        url = "" if _has_mail_address(unquote(url)) else url
    return Document(
        id=f"{source.name}-{_readable(id) if id else _hash(body)}",
        text=body,
        title=title or None,
        source=source.label,
        url=url or None,
        date=text.date.isoformat() if text.date else None,
        license=text.license,
        author_is_me=mine,
    )


def _has_mail_address(text: str) -> bool:
    return "@" in text and "mail address" in mask(text)[1]


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

    def open_it(_: File) -> IO[bytes]:
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
