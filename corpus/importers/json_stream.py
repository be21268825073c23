"""JSON files of any size, value by value."""

import codecs
import re
from collections.abc import Iterator
from typing import IO

import ijson

from corpus.archive import READ_ERRORS, ArchiveError, File
from corpus.importers.source import Broken

_READ_BYTES = 1 << 12  # no more: what is parsed of a block is in memory at once
_DEEPEST = 200
_BRACKET = re.compile(r"[\[{]")


def json_values(file: File, *paths: str) -> Iterator[tuple[str, object]]:
    """The values at some paths, in the file's order, each with its path.

    A path is ijson's: ``messages.item`` is what the list "messages" holds, ``""`` everything. What
    stands before the first bracket (a byte order mark, ``window.YTD.tweets.part0 = ``) is passed
    over. Never raises: where the rest cannot be read, the last value is Broken.
    """
    try:
        yield from _values(file, paths)
    except (ijson.JSONError, ValueError) as error:
        line = re.sub(r"\s+", " ", str(error).split("\n")[0])
        yield "", Broken(str(file.path), f"is no whole JSON ({line})")
    except (*READ_ERRORS, ArchiveError) as error:
        yield "", Broken(str(file.path), str(error) or type(error).__name__)


def field(value: object, *keys: str) -> object:
    """What an object has under a key, under the next key of that, and so on; None if nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text_field(value: object, *keys: str) -> str:
    """The text, or the integer as text, under some keys as ``field`` finds it; empty if neither."""
    found = field(value, *keys)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else ""


def _values(file: File, paths: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    builder: ijson.ObjectBuilder | None = None
    depth = 0
    with file.open() as stream:
        # Python refuses integers of thousands of digits, which kills ijson (3.6) in its C code;
        # with use_float they are errors.
        events = ijson.parse(_Utf8(stream), buf_size=_READ_BYTES, use_float=True)
        for path, event, value in events:
            if event.startswith("start"):
                depth += 1
                if depth > _DEEPEST:
                    raise ArchiveError(f"{file.path}: nests too deep")
            elif event.startswith("end"):
                depth -= 1
            if builder is None and path in paths and event != "map_key":
                builder = ijson.ObjectBuilder()
            if builder is not None:
                builder.event(event, value)
                # A container is whole at its end, anything else at once.
                if path in paths and not event.startswith(("start", "map")):
                    yield path, builder.value
                    builder = None
            if depth == 0:
                return  # whatever follows the whole


class _Utf8:
    """A stream from its first bracket on, with what is no UTF-8 replaced."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._has_begun = False

    def read(self, size: int) -> bytes:
        while size and (block := self._stream.read(size)):
            text = self._decoder.decode(block)
            if not self._has_begun:
                bracket = _BRACKET.search(text)
                self._has_begun = bracket is not None
                text = text[bracket.start() :] if bracket else ""
            if text:
                return text.encode()
        return b""
