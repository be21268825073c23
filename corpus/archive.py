"""Files as they were downloaded: folders, zips, and zips in zips, read where they lie.

Nothing is unpacked to the disk. A zip that grows out of proportion, or nests too deep, is refused
as a bomb. Names inside a zip are read and never written to: no path in it can lead anywhere.
"""

import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from operator import itemgetter
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import IO, Self

from corpus.documents import CorpusError
from corpus.zips import Entry, entries, view

HEAD_BYTES = 1 << 16

# Texts seldom reach 20 : 1; DEFLATE cannot do better than 1,032 : 1, which only bombs do.
_MOST_RATIO = 200
_ALWAYS_ALLOWED = 16 << 20  # bytes unpacked, whatever the ratio
_DEEPEST = 3  # zips in zips
_INNER_IN_MEMORY = 64 << 20  # bytes: further zips in zips are read through the outer ones

# What reading a file can raise that is the file's fault, whatever reads it.
READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# What opening a zip, or a file in one, can raise besides: ValueError is a name that is not UTF-8,
# OverflowError a place that no file can have.
_OPEN_ERRORS = (*READ_ERRORS, OverflowError, RuntimeError, ValueError, struct.error)


class ArchiveError(CorpusError):
    """An archive, or a file of it, that cannot be read: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """One file, wherever it lies. There may be several 100,000, so each keeps little."""

    _path: str
    size: int
    """Bytes, as its folder or zip says."""
    archive: "Archive" = field(repr=False, compare=False)
    _open: "Callable[[File], IO[bytes]]" = field(repr=False, compare=False)

    @property
    def path(self) -> PurePosixPath:
        """From the root of what was given, through the zips: ``export.zip/posts/1.json``."""
        return PurePosixPath(self._path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """In lower case: ``.json``."""
        suffix = splitext(self._path)[1].lower()
        return suffix if len(suffix) > 1 else ""

    def open(self) -> IO[bytes]:
        """Its bytes as a stream; reading it may raise READ_ERRORS. Raises ArchiveError."""
        try:
            return self._open(self)
        except _OPEN_ERRORS as error:
            raise ArchiveError(f"{self.path}: {error}") from None

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Its first bytes, HEAD_BYTES at most; none of a file that cannot be read."""
        file, head = self.archive.last_head
        if file is not self:
            try:
                with self.open() as stream:
                    head = stream.read(HEAD_BYTES)
            except (*READ_ERRORS, ArchiveError):
                head = b""
            self.archive.last_head = self, head
        return head[:size]

    def read(self, most: int = 1 << 24) -> bytes:
        """All its bytes. Raises READ_ERRORS, and ArchiveError for more than ``most`` of them."""
        with self.open() as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise ArchiveError(f"{self.path}: larger than {most:,} bytes")
        return content

    def sibling(self, name: str) -> "File | None":
        """The file of that name, or relative path, in this one's folder; None if there is none."""
        return self.archive.find(self.path.parent / name)


class Archive:
    """All files of some paths, in a fixed order: a stream to import. Use it in a with block.

    Hidden files are left out, as are those that operating systems add. Raises ArchiveError where a
    path is not there; what else is wrong is kept in ``problems``, as (place, what).
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.problems: list[tuple[str, str]] = []
        self.last_head: tuple[File | None, bytes] = None, b""
        """Of the file that was looked into last, as all importers do one after the other."""
        self._files: dict[str, File] = {}
        self._held: dict[int, tuple[File, IO[bytes]]] = {}  # zips in zips that are large
        self._unpacked = 0  # bytes in the zips of one path
        self._in_memory = 0  # bytes of zips
        given: dict[Path, None] = {}
        for path in paths:
            if not path.exists():
                raise ArchiveError(f"{path}: no such file or folder")
            if not (path.is_file() or path.is_dir()):
                raise ArchiveError(f"{path}: is neither a file nor a folder")
            given[path.resolve()] = None
        names: Counter[str] = Counter()
        for path in given:
            names[path.name] += 1
            again = f"{names[path.name]}/" if names[path.name] > 1 else ""
            for file in self._walk(path, PurePosixPath(f"{again}{path.name}")):
                if file._path in self._files:
                    what = "is there more than once: the last one counts"
                    self.problems.append((file._path, what))
                self._files[file._path] = file

    def __iter__(self) -> Iterator[File]:
        yield from self._files.values()

    def __len__(self) -> int:
        return len(self._files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._held.values():
            held[1].close()
        self._held.clear()

    def find(self, path: PurePosixPath) -> File | None:
        """The file of a path."""
        return self._files.get(str(path))

    def matching(self, pattern: str) -> list[File]:
        """The files whose whole path fits a pattern as of fnmatch: ``*/Users/*/user_info.json``."""
        return [file for path, file in self._files.items() if fnmatch(path, pattern)]

    def _walk(self, path: Path, root: PurePosixPath) -> Iterator[File]:
        if path.is_file():
            yield from self._take(path, root)
            return

        def place(found: Path) -> PurePosixPath:
            return root / found.relative_to(path).as_posix()

        def note(error: OSError) -> None:
            self._add_problem(place(Path(error.filename)), error)

        for folder, folders, names in os.walk(path, onerror=note):
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            for name in (*folders, *sorted(name for name in names if not _is_hidden(name))):
                found = Path(folder, name)
                try:
                    leads_out = found.is_symlink() and not _leads_into(path, found)
                    is_folder = found.is_dir()
                except OSError as error:
                    self._add_problem(place(found), error)
                    continue
                if leads_out:
                    self.problems.append((str(place(found)), "is a link: give what it leads to"))
                elif not is_folder:
                    yield from self._take(found, place(found))

    def _take(self, path: Path, place: PurePosixPath) -> Iterator[File]:
        try:
            status = path.stat()
        except OSError as error:
            self._add_problem(place, error)
            return
        # Reading a pipe or a device might never end.
        if stat.S_ISREG(status.st_mode):
            file = File(str(place), status.st_size, self, _OnDisk(str(path.parent), path.name))
            self._unpacked = 0
            yield from self._look_into(file, max(_ALWAYS_ALLOWED, _MOST_RATIO * file.size), 0)

    def _add_problem(self, place: PurePosixPath, error: OSError) -> None:
        self.problems.append((str(place), error.strerror or str(error)))

    def _look_into(self, file: File, allowed: int, depth: int) -> Iterator[File]:
        """The file, or those in the zip that it is. allowed: bytes that may be in a path's zips."""
        if file.suffix != ".zip":
            yield file
            return
        try:
            found = self._inside(file, allowed, depth)
        except ArchiveError as error:
            self.problems.append((str(file.path), str(error).removeprefix(f"{file.path}: ")))
            return
        except _OPEN_ERRORS as error:
            what = f"is no zip, or was cut short: download it again ({error})"
            self.problems.append((str(file.path), what))
            return
        for inner in found:
            yield from self._look_into(inner, allowed, depth + 1)

    def _inside(self, file: File, allowed: int, depth: int) -> list[File]:
        if depth == _DEEPEST:
            raise ArchiveError("zips in zips in zips: a bomb? It is not opened")
        found = members(file, self._zip_opener(file, depth))
        unpacked = self._unpacked + sum(inner.size for inner in found if not _is_bomb(inner))
        if unpacked > allowed:
            raise ArchiveError(f"would unpack to {unpacked:,} bytes: a zip bomb?")
        self._unpacked = unpacked
        return found

    def _zip_opener(self, file: File, depth: int) -> Callable[[], IO[bytes]]:
        if not depth:
            return file.open
        if self._in_memory + file.size > _INNER_IN_MEMORY:
            return partial(view, partial(self._hold, file, depth))
        self._in_memory += file.size
        with file.open() as stream:
            return partial(io.BytesIO, stream.read())

    def _hold(self, file: File, depth: int) -> IO[bytes]:
        """A zip in a zip, which stays open until the next one: what follows in it is found without
        unpacking it from its beginning."""
        held = self._held.get(depth)
        if held is None or held[0] is not file:
            if held:
                held[1].close()
            held = self._held[depth] = file, file.open()
        return held[1]


def members(file: File, open_zip: Callable[[], IO[bytes]]) -> list[File]:
    """The files of a zip, but for the hidden ones, as they follow each other in it. Opening one
    that is locked or a bomb raises ArchiveError."""
    found: list[tuple[int, File]] = []
    with open_zip() as stream:
        for name, entry in entries(stream):
            path = name.replace("\\", "/")
            parts = [part for part in path.split("/") if part not in ("", ".")]
            if parts and not (path.endswith("/") or any(map(_is_hidden, parts))):
                place = "/".join((file._path, *parts))
                inner = File(place, entry.size, file.archive, _InZip(open_zip, entry))
                found.append((entry.offset, inner))
    found.sort(key=itemgetter(0))
    return [inner for _, inner in found]


@dataclass(frozen=True, slots=True)
class _OnDisk:
    folder: str
    name: str

    def __call__(self, _: File) -> IO[bytes]:
        return Path(self.folder, self.name).open("rb")


@dataclass(frozen=True, slots=True)
class _InZip:
    open_zip: Callable[[], IO[bytes]]
    entry: Entry

    @property
    def is_bomb(self) -> bool:
        # No more is read than the size that is stated here.
        return self.entry.size > max(_ALWAYS_ALLOWED, _MOST_RATIO * self.entry.packed)

    def __call__(self, file: File) -> IO[bytes]:
        if self.entry.is_encrypted:
            raise RuntimeError("is locked with a password: unpack it first")
        if self.is_bomb:
            raise RuntimeError(f"would unpack to {self.entry.size:,} bytes: a zip bomb?")
        stream = self.open_zip()
        try:
            return self.entry.open(stream, file.name)
        except BaseException:
            stream.close()
            raise


def _is_bomb(file: File) -> bool:
    return isinstance(file._open, _InZip) and file._open.is_bomb


def _leads_into(folder: Path, link: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except RuntimeError:  # a circle, which is told when it is followed
        return True


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name == "__MACOSX"
