"""The directory of a zip, entry by entry, and the files that it lists (PKWARE's APPNOTE 6.3).

zipfile keeps nearly a kilobyte for each entry and reads a directory as a whole: too much for a
download with several 100,000 pictures. What is inside, it unpacks here, too.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, cast

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64_BYTES = 20
_LONGEST_COMMENT = (1 << 16) - 1
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA = struct.Struct("<HH")
_EXTRA_64 = 1
_IN_EXTRA_64 = 0xFFFFFFFF
_ENCRYPTED = 0x1
_UTF_8 = 0x800


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of a file."""

    size: int
    """Bytes, unpacked."""
    packed: int
    """Bytes in the zip."""
    offset: int
    """Where it begins in the zip."""
    crc: int
    method: int
    flags: int

    @property
    def is_encrypted(self) -> bool:
        """Whether it takes a password."""
        return bool(self.flags & _ENCRYPTED)

    def open(self, zip_stream: IO[bytes], name: str) -> IO[bytes]:
        """The file, no longer than the directory says; closing it closes the zip's stream. Raises
        what zipfile does."""
        zip_stream.seek(self.offset)
        header = _unpacked(_LOCAL, zip_stream, b"PK\3\4")
        zip_stream.seek(header[-2] + header[-1], io.SEEK_CUR)
        info = zipfile.ZipInfo(name)
        info.compress_type, info.flag_bits, info.CRC = self.method, self.flags, self.crc
        info.compress_size, info.file_size = self.packed, self.size
        return cast("IO[bytes]", zipfile.ZipExtFile(zip_stream, "r", info, None, True))


def entries(zip_stream: IO[bytes]) -> Iterator[tuple[str, Entry]]:
    """The names and entries of a zip's directory, in its order. Raises OSError, BadZipFile, and
    UnicodeDecodeError for a name."""
    end, size, stated = _directory(zip_stream)
    # What stands before the zip, such as a program that unpacks it, may not be counted.
    before = end - size - stated
    if before < 0:
        raise zipfile.BadZipFile("its directory is cut short")
    position = zip_stream.seek(end - size)
    while position < end:
        header = _unpacked(_CENTRAL, zip_stream, b"PK\1\2")
        flags, method, crc = header[5], header[6], header[9]
        name_length, extra_length, comment_length = header[12:15]
        name = zip_stream.read(name_length)
        sizes = _sizes(header[11], header[10], header[18], zip_stream.read(extra_length))
        zip_stream.seek(comment_length, io.SEEK_CUR)
        position += _CENTRAL.size + name_length + extra_length + comment_length
        written = name.decode("utf-8" if flags & _UTF_8 else "cp437").partition("\0")[0]
        yield written, Entry(sizes[0], sizes[1], sizes[2] + before, crc, method, flags)


def view(stream: Callable[[], IO[bytes]]) -> IO[bytes]:
    """A stream on another one, with a place of its own, which leaves that one open."""
    return cast("IO[bytes]", _View(stream))


class _View(io.RawIOBase):
    def __init__(self, stream: Callable[[], IO[bytes]]) -> None:
        self._stream = stream
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        stream = self._stream()
        stream.seek(self._position)
        data = stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self._stream().seek(0, io.SEEK_END)
        elif whence == io.SEEK_CUR:
            offset += self._position
        if offset < 0:
            raise OSError(f"no place in a file: {offset}")
        self._position = offset
        return offset


def _directory(zip_stream: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory ends, its size, and where it says that it begins."""
    length = zip_stream.seek(0, io.SEEK_END)
    start = max(0, length - _END.size - _LONGEST_COMMENT - _LOCATOR_64_BYTES - _END_64.size)
    zip_stream.seek(start)
    tail = zip_stream.read(length - start)
    place = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    if place < 0:
        raise zipfile.BadZipFile("File is not a zip file")
    size, stated = _END.unpack_from(tail, place)[5:7]
    place_64 = place - _LOCATOR_64_BYTES - _END_64.size
    if place_64 >= 0 and tail[place - _LOCATOR_64_BYTES :].startswith(b"PK\6\7"):
        header = _END_64.unpack_from(tail, place_64)
        if header[0] == b"PK\6\6":
            place = place_64
            size, stated = header[8:10]
    return start + place, size, stated


def _sizes(size: int, packed: int, offset: int, extra: bytes) -> list[int]:
    """Those that are too large for 32 bits stand in a field of their own, in this order."""
    sizes = [size, packed, offset]
    place = 0
    while place + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, place)
        place += _EXTRA.size
        if kind == _EXTRA_64:
            large = struct.iter_unpack("<Q", extra[place : place + min(length, 24) // 8 * 8])
            sizes = [next(large, (n,))[0] if n == _IN_EXTRA_64 else n for n in sizes]
        place += length
    return sizes


def _unpacked(form: struct.Struct, zip_stream: IO[bytes], signature: bytes) -> tuple[int, ...]:
    raw = zip_stream.read(form.size)
    if len(raw) < form.size or not raw.startswith(signature):
        raise zipfile.BadZipFile(f"no {signature!r} where an entry should begin")
    return form.unpack(raw)
