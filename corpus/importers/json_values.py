"""JSON files of any size, value by value, and what may be expected of a value."""

from collections.abc import Iterator, Sized
from typing import Any, NamedTuple

import ijson
from ijson.common import ObjectBuilder

from corpus.archive import READ_ERRORS, File
from corpus.documents import CorpusError
from corpus.importers.source import Broken

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DEEPEST = 200  # arrays and objects in each other
_ERRORS = (*READ_ERRORS, CorpusError, ijson.JSONError, ValueError)


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
            path: list[str] = []
            # Without use_float, yajl crashes at whole numbers of thousands of digits.
            for event, value in ijson.basic_parse(stream, use_float=True):
                if builder is None:
                    if event == "map_key":
                        path[-1] = value
                        continue
                    if event in ("end_map", "end_array"):
                        path.pop()
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
    except _ERRORS as error:
        what = " ".join(str(error).split())[:200]
        yield Broken(f"{file.path}, after item {number}", what or type(error).__name__)


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
