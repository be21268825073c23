"""XML files of any size, element by element, and no further than they can be trusted."""

import re
from collections.abc import Iterator

from lxml import etree

from corpus.archive import ArchiveError, File
from corpus.importers.source import Broken

_READ_BYTES = 1 << 16


def elements(file: File, *names: str) -> Iterator["etree._Element | Broken"]:
    """The elements of these local names, in any namespace, each gone once the next is asked for.

    An element with an error in it is Broken, and the rest goes on as well as libxml2 can. Raises
    ArchiveError for a file with a document type, whose entities could be bombs or other files, and
    READ_ERRORS.
    """
    parser = etree.XMLPullParser(
        ("start", "end"), recover=True, resolve_entities=False, no_network=True, load_dtd=False
    )
    ends = re.compile(rb"</(?:\w+:)?(?:%s)\s*>" % b"|".join(name.encode() for name in names))
    told = depth = 0
    with file.open() as stream:
        for piece in _pieces(iter(lambda: stream.read(_READ_BYTES), b""), ends):
            parser.feed(piece)
            for event, element in parser.read_events():
                if element.getparent() is None and event == "start":
                    _refuse_document_type(file, element)
                is_wanted = isinstance(element.tag, str) and _local(element) in names
                if not is_wanted:
                    continue
                depth += 1 if event == "start" else -1
                if event == "start" or depth:
                    continue
                errors = parser.feed_error_log
                if len(errors) > told:
                    yield Broken(f"{file.path}, line {errors[told].line}", errors[told].message)
                    told = len(errors)
                else:
                    yield element
                _forget(element)
        if len(parser.feed_error_log) > told:
            error = parser.feed_error_log[told]
            yield Broken(f"{file.path}, line {error.line}", error.message)


def _pieces(blocks: Iterator[bytes], ends: re.Pattern[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after each end tag: so an error shows in whose element it is."""
    rest = b""
    for block in blocks:
        rest += block
        start = 0
        for end in ends.finditer(rest):
            yield rest[start : end.end()]
            start = end.end()
        rest = rest[start:]
        if len(rest) > 2 * _READ_BYTES:
            yield rest[:-_READ_BYTES]
            rest = rest[-_READ_BYTES:]
    yield rest


def _refuse_document_type(file: File, root: "etree._Element") -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise ArchiveError(f"{file.path}: has a document type (DTD), which is not read for safety")


def _forget(element: "etree._Element") -> None:
    """The element and all before it leave the memory."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def _local(element: "etree._Element") -> str:
    return str(etree.QName(element).localname)


def child_text(element: "etree._Element", name: str) -> str:
    """The text of the first child of a local name (``{*}name``), or of a tag; empty if none."""
    return element.findtext(name if "{" in name else f"{{*}}{name}") or ""
