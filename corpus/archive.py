"""Files as they were downloaded: folders, zips, and zips in zips, read where they lie.

Nothing is unpacked to the disk. A zip that grows out of proportion, or nests too deep, is refused
as a bomb. Names inside a zip are read and never written to: no path in it can lead anywhere.
"""

import io
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Self

from corpus.documents import CorpusError

HEAD_BYTES = 1 << 16

# Texts seldom reach 20 : 1; DEFLATE cannot do better than 1,032 : 1, which only bombs do.
_MOST_RATIO = 200
_ALWAYS_ALLOWED = 16 << 20  # bytes unpacked, whatever the ratio
_DEEPEST = 3  # zips in zips
_INNER_IN_MEMORY = 64 << 20  # bytes: further zips in zips are read through the outer ones
_ENCRYPTED = 0x1

# What reading a file can raise that is the file's fault, whatever reads it.
READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# What opening a zip, or a file in one, can raise besides: ValueError is a name that is not UTF-8.
_OPEN_ERRORS = (*READ_ERRORS, NotImplementedError, RuntimeError, ValueError, struct.error)


class ArchiveError(CorpusError):
    """An archive, or a file of it, that cannot be read: what is wrong, and what to do."""


@dataclass(frozen=True)
class File:
    """One file, wherever it lies."""

    path: PurePosixPath
    """From the root of what was given, through the zips: ``export.zip/posts/1.json``."""
    size: int
    """Bytes, as its folder or zip says."""
    archive: "Archive" = field(repr=False, compare=False)
    _open: Callable[[], IO[bytes]] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def suffix(self) -> str:
        """In lower case: ``.json``."""
        return self.path.suffix.lower()

    def open(self) -> IO[bytes]:
        """Its bytes as a stream; reading it may raise READ_ERRORS. Raises ArchiveError."""
        try:
            return self._open()
        except _OPEN_ERRORS as error:
            raise ArchiveError(f"{self.path}: {error}") from None

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Its first bytes; none of a file that cannot be read."""
        try:
            with self.open() as stream:
                return stream.read(size)
        except (*READ_ERRORS, ArchiveError):
            return b""

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
        self._zips = ExitStack()
        self._files: dict[PurePosixPath, File] = {}
        self._unpacked = 0  # bytes in the zips of one path
        self._in_memory = 0  # bytes of zips
        given: dict[Path, None] = {}
        for path in paths:
            if not path.exists():
                raise ArchiveError(f"{path}: no such file or folder")
            given[path.resolve()] = None
        names: Counter[str] = Counter()
        for path in given:
            names[path.name] += 1
            again = f"{names[path.name]}/" if names[path.name] > 1 else ""
            for file in self._walk(path, PurePosixPath(f"{again}{path.name}")):
                if file.path in self._files:
                    what = "is there more than once: the last one counts"
                    self.problems.append((str(file.path), what))
                self._files[file.path] = file

    def __iter__(self) -> Iterator[File]:
        yield from self._files.values()

    def __len__(self) -> int:
        return len(self._files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zips.close()

    def find(self, path: PurePosixPath) -> File | None:
        """The file of a path."""
        return self._files.get(path)

    def matching(self, pattern: str) -> list[File]:
        """The files whose whole path fits a pattern as of fnmatch: ``*/Users/*/user_info.json``."""
        return [file for path, file in self._files.items() if fnmatch(str(path), pattern)]

    def _walk(self, path: Path, root: PurePosixPath) -> Iterator[File]:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for found in inside:
            place = root / found.relative_to(path).as_posix() if path.is_dir() else root
            if found.is_file() and not _is_hidden(place.relative_to(root)):
                file = File(place, found.stat().st_size, self, _opener(found))
                self._unpacked = 0
                yield from self._look_into(file, max(_ALWAYS_ALLOWED, _MOST_RATIO * file.size), 0)

    def _look_into(self, file: File, allowed: int, depth: int) -> Iterator[File]:
        """The file, or those in the zip that it is. allowed: bytes that may be in a path's zips."""
        if file.suffix != ".zip":
            yield file
            return
        try:
            archive = self._open_zip(file, allowed, depth)
        except ArchiveError as error:
            self.problems.append((str(file.path), str(error).removeprefix(f"{file.path}: ")))
            return
        except _OPEN_ERRORS as error:
            what = f"is no zip, or was cut short: download it again ({error})"
            self.problems.append((str(file.path), what))
            return
        for inner in members(file, archive):
            yield from self._look_into(inner, allowed, depth + 1)

    def _open_zip(self, file: File, allowed: int, depth: int) -> zipfile.ZipFile:
        if depth == _DEEPEST:
            raise ArchiveError("zips in zips in zips: a bomb? It is not opened")
        stream = file.open()
        if depth and self._in_memory + file.size <= _INNER_IN_MEMORY:
            self._in_memory += file.size
            with stream:
                stream = io.BytesIO(stream.read())
        archive = self._zips.enter_context(zipfile.ZipFile(self._zips.enter_context(stream)))
        sizes = (info.file_size for info in archive.infolist() if not _is_bomb(info))
        unpacked = self._unpacked + sum(sizes)
        if unpacked > allowed:
            raise ArchiveError(f"would unpack to {unpacked:,} bytes: a zip bomb?")
        self._unpacked = unpacked
        return archive


def members(file: File, archive: zipfile.ZipFile) -> Iterator[File]:
    """The files of a zip, but for the hidden ones, as they follow each other in it. Opening one
    that is locked or a bomb raises ArchiveError."""
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        name = PurePosixPath(info.filename.replace("\\", "/").lstrip("/"))
        if name.parts and not (info.is_dir() or _is_hidden(name)):
            yield File(file.path / name, info.file_size, file.archive, _zip_opener(archive, info))


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    def open_it() -> IO[bytes]:
        if info.flag_bits & _ENCRYPTED:
            raise RuntimeError("is locked with a password: unpack it first")
        if _is_bomb(info):
            raise RuntimeError(f"would unpack to {info.file_size:,} bytes: a zip bomb?")
        return archive.open(info)

    return open_it


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    # zipfile reads no more than the size that is stated here.
    return info.file_size > max(_ALWAYS_ALLOWED, _MOST_RATIO * info.compress_size)


def _is_hidden(path: PurePosixPath) -> bool:
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in path.parts)
