"""JSON files of any size, value by value, and what may be expected of a value."""

import codecs
import re
from collections.abc import Iterator, Sized
from typing import IO, Any, NamedTuple

import ijson
from ijson.common import ObjectBuilder

from corpus.archive import READ_ERRORS, File
from corpus.documents import CorpusError
from corpus.importers.source import Broken

_READ_BYTES = 1 << 12  # no more: what is parsed of a block is in memory at once
_BRACKET = re.compile(r"[\[{]")
_DEEPEST = 200  # arrays and objects in each other
_ERRORS = (*READ_ERRORS, CorpusError, ijson.JSONError, ValueError)


class Value(NamedTuple):
    """A value and the prefix, in ijson's terms, that it was found at."""

    prefix: str
    value: Any


def values(file: File, *prefixes: str) -> Iterator[Value | Broken]:
    """The values at these prefixes, in the file's order: ``messages.item`` are a list's items, and
    ``""`` is everything. What stands before the first bracket (a byte order mark,
    ``window.YTD.tweets.part0 = ``) is passed over.

    Where the file is cut short or broken, the last thing is Broken. Never raises.
    """
    number = 0
    try:
        with file.open() as stream:
            builder: ObjectBuilder | None = None
            path: list[str] = []
            # Without use_float, yajl crashes at whole numbers of thousands of digits.
            events = ijson.basic_parse(_Utf8(stream), buf_size=_READ_BYTES, use_float=True)
            for event, value in events:
                if builder is None:
                    if event == "map_key":
                        path[-1] = value
                        continue
                    if event in ("end_map", "end_array"):
                        path.pop()
                        if not path:
                            break
                        continue
                    prefix = ".".join(path)
                    if prefix not in prefixes:
                        path += {"start_map": [""], "start_array": ["item"]}.get(event, [])
                        _check_depth(path)
                        continue
                    builder = ObjectBuilder()
                builder.event(event, value)
                _check_depth(builder.containers)
                if not builder.containers:
                    number += 1
                    yield Value(prefix, builder.value)
                    builder = None
                    if not path:
                        break
            # Whatever follows the whole is passed over; but a zip tells of its damage at the end.
            while stream.read(_READ_BYTES):
                pass
    except _ERRORS as error:
        what = " ".join(str(error).split())[:200]
        yield Broken(f"{file.path}, after item {number}", what or type(error).__name__)


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


def _check_depth(containers: Sized) -> None:
    if len(containers) > _DEEPEST:
        raise ValueError("is nested too deep")


def text(value: object) -> str:
    """A text, or an empty one for everything that is none."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> dict[str, Any]:
    """An object, or an empty one for everything that is none."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


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
    return text(found)


def whole(file: File | None) -> object:
    """All that a small file holds; None if it cannot be read, or there is none."""
    found = next(values(file, ""), None) if file else None
    return found.value if isinstance(found, Value) else None
