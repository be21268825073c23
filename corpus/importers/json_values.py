"""JSON files of any size, value by value, and what may be expected of a value."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import ijson
from ijson.common import ObjectBuilder

from corpus.archive import READ_ERRORS, File
from corpus.documents import CorpusError
from corpus.importers.source import Broken

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What ijson raises, and what numbers too long for Python do.
_ERRORS = (*READ_ERRORS, CorpusError, ijson.JSONError, ValueError, ArithmeticError)


class Value(NamedTuple):
    """A value and the prefix, in ijson's terms, that it was found at."""

    prefix: str
    value: Any


def values(file: File, *prefixes: str) -> Iterator[Value | Broken]:
    """The values at these prefixes, in the file's order: ``messages.item`` are a list's items.

    Where the file is cut short or broken, the last thing is Broken. Never raises.
    """
    number = 0
    try:
        with file.open() as stream:
            if stream.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
                stream.seek(0)
            builder: ObjectBuilder | None = None
            for prefix, event, value in ijson.parse(stream):
                is_wanted = prefix in prefixes
                if builder is None:
                    if not is_wanted or event in ("map_key", "end_map", "end_array"):
                        continue
                    builder, place = ObjectBuilder(), prefix
                builder.event(event, value)
                is_open = event in ("start_map", "start_array", "map_key")
                if is_wanted and prefix == place and not is_open:
                    yield Value(place, builder.value)
                    builder = None
                    number += 1
    except _ERRORS as error:
        what = " ".join(str(error).split())[:200]
        yield Broken(f"{file.path}, after item {number}", what or type(error).__name__)


def text(value: object) -> str:
    """A text, or an empty one for everything that is none."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> dict[str, Any]:
    """An object, or an empty one for everything that is none."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
