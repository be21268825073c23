"""Documents and the two ways they lie on disk: a folder of texts, and one delimited file.

A *corpus folder* holds one UTF-8 text file a document, and beside them ``index.jsonl`` with
one JSON object a line: ``id`` and whatever else is known of ``title``, ``source``, ``url``,
``revision``, ``date``, ``license``. A folder without an index is a corpus, too. ``ATTRIBUTION.txt``
is no document: it says whose the texts are (see corpus.attribution).

A *delimited file* (``train.txt``) joins documents with ``<|endoftext|>`` on a line of its own.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote, unquote

DELIMITER = "<|endoftext|>"
INDEX_NAME = "index.jsonl"
# The report of the import that has written a corpus folder last.
IMPORT_NAME = "import.json"
ATTRIBUTION_NAME = "ATTRIBUTION.txt"

_READ_BYTES = 1 << 20


class CorpusError(Exception):
    """A corpus cannot be read or made; the message says which file and why."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and what is known of where it comes from.

    ``text`` separates paragraphs by one blank line and has no line break at its ends.
    ``revision`` is a wiki's revision id, ``date`` that revision's or the text's date (ISO 8601).
    ``author_is_me``: whether the archive's owner wrote it, where that is known.
    """

    id: str
    text: str
    title: str | None = None
    source: str | None = None
    url: str | None = None
    revision: int | None = None
    date: str | None = None
    license: str | None = None
    author_is_me: bool | None = None


class RawText(NamedTuple):
    """A document's text as it was found, its title where one is known, and its source's name."""

    text: str
    title: str | None = None
    source: str = ""


class CorpusFolder:
    """A folder of documents under construction.

    Every file is written aside and renamed, and a document's text before its line in the
    index, so a crawl killed at any moment leaves a folder of whole documents.

    All methods raise CorpusError if the folder's index is not what this class writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._revisions and self._text_path(document_id).exists()

    def __iter__(self) -> Iterator[str]:
        """The ids of the documents, in order."""
        return iter(sorted(self._revisions))

    def revision(self, document_id: str) -> int | None:
        """The revision of a document that is here; None if it is not, or has none."""
        return self._revisions[document_id] if document_id in self else None

    def put(self, documents: Iterable[Document]) -> None:
        """Add documents, or replace those of the same id, streaming; the index is written at the
        end, in the order of the ids."""
        # In a temporary file: of millions of documents, the entries would be too much for memory.
        with closing(sqlite3.connect("")) as database:
            database.execute("CREATE TABLE entry (id TEXT PRIMARY KEY, line BLOB) WITHOUT ROWID")
            insert = "INSERT OR REPLACE INTO entry VALUES (?, ?)"
            known = ((document_id, line) for document_id, line, _ in read_index(self.path))
            database.executemany(insert, known)
            self.path.mkdir(parents=True, exist_ok=True)
            for document in documents:
                with write_aside(self._text_path(document.id)) as file:
                    file.write(document.text + "\n")
                entry = {key: value for key, value in vars(document).items() if value is not None}
                del entry["text"]
                line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
                database.execute(insert, (document.id, line))
            with replacing(self.path / INDEX_NAME) as aside, aside.open("wb") as index:
                lines = database.execute("SELECT line FROM entry ORDER BY id")
                index.writelines(line for (line,) in lines)
        self.__dict__.pop("_revisions", None)

    @cached_property
    def _revisions(self) -> dict[str, int | None]:
        found = ((id, entry.get("revision")) for id, _, entry in read_index(self.path))
        return {id: revision if isinstance(revision, int) else None for id, revision in found}

    def _text_path(self, document_id: str) -> Path:
        return self.path / file_name(document_id)


def file_name(document_id: str) -> str:
    """The text file of a document: its id, with what file systems dislike percent-encoded.

    >>> file_name("EP001"), file_name("A/B: C?")
    ('EP001.txt', 'A%2FB%3A C%3F.txt')
    """
    safe = "".join(
        quote(c, safe="") if c in '/\\:*?"<>|%' or not c.isprintable() else c for c in document_id
    )
    # A leading dot would hide the file, and one name is taken (in any case, on some systems).
    if safe.startswith(".") or f"{safe}.txt".casefold() == ATTRIBUTION_NAME.casefold():
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    return safe + ".txt"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file to write, which takes ``path``'s name only where no error came."""
    aside = path.with_name(f".{path.name}.part")
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def write_aside(path: Path) -> Iterator[IO[str]]:
    """Open a text file that takes ``path``'s name only once it is written to its end."""
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def read_texts(source: Path) -> Iterator[RawText]:
    """Stream the texts of a corpus folder (in the order of its file names) or delimited file.

    A folder's text has the title that the index gives it, else its file's name. Bytes that are
    not UTF-8 are read as Latin-1, which leaves every byte in place for cleaning.

    Raises CorpusError if there is nothing to read at ``source``, or its index is broken.
    """
    if source.is_dir():
        titles = {
            file_name(id): entry["title"]
            for id, _, entry in read_index(source)
            if isinstance(entry.get("title"), str)
        }
        for path in text_files(source):
            text = _decode(path.read_bytes()).strip()
            yield RawText(text, titles.get(path.name, unquote(path.stem)))
    elif source.is_file():
        yield from map(RawText, read_documents(source))
    else:
        raise CorpusError(f"{source}: no such folder or file")


def text_files(folder: Path) -> list[Path]:
    """The text files of a corpus folder, in order."""
    found = (p for p in folder.glob("*.txt") if not p.name.startswith("."))
    return sorted(p for p in found if p.name.casefold() != ATTRIBUTION_NAME.casefold())


def read_documents(delimited: Path) -> Iterator[str]:
    """Stream the documents of a delimited file; at most one document is in memory.

    The delimiter divides wherever it stands, so files of other tools, which may not give it a
    line of its own, are read too. White space around a document is dropped, empty ones are
    skipped.

    Raises OSError if the file cannot be read.
    """
    delimiter = DELIMITER.encode()
    pending = bytearray()
    with delimited.open("rb") as file:
        while block := file.read(_READ_BYTES):
            # A delimiter may straddle two blocks.
            searched = max(0, len(pending) - len(delimiter) + 1)
            pending += block
            while (end := pending.find(delimiter, searched)) >= 0:
                if text := _decode(bytes(pending[:end])).strip():
                    yield text
                del pending[: end + len(delimiter)]
                searched = 0
    if text := _decode(bytes(pending)).strip():
        yield text


def write_documents(texts: Iterable[str], delimited: Path) -> None:
    """Join texts into a delimited file, streaming; ``read_documents`` gives them back."""
    with write_aside(delimited) as file:
        for number, text in enumerate(texts):
            if number:
                file.write(f"{DELIMITER}\n")
            file.write(text + "\n")


def held_out_beside(train: Path) -> Path:
    """Where the documents go that are held out of a training file: ``valid.txt`` beside
    ``train.txt``, ``eps.valid.txt`` beside ``eps.txt``."""
    name = "valid.txt" if train.name == "train.txt" else f"{train.stem}.valid{train.suffix}"
    return train.with_name(name)


def _decode(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n")


def read_index(folder: Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Id, line and content of each entry of a folder's index; the last one of an id counts.

    Raises CorpusError if the index is broken.
    """
    path = folder / INDEX_NAME
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = json.loads(line)
                document_id = str(entry["id"])
                document_id.encode()  # JSON may hold what UTF-8 cannot
                yield document_id, line.rstrip(b"\r\n") + b"\n", entry
            except (ValueError, TypeError, KeyError) as error:
                raise CorpusError(f"{path}, line {number}: not an index entry") from error
