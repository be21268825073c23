"""XML files of any size, element by element, and no further than they can be trusted."""

import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from corpus.archive import ArchiveError, File
from corpus.importers.source import Broken

_READ_CHARACTERS = 1 << 18
_LONGEST = 1 << 24  # characters of an element
_NOT_ENDED = "has no end before the next"

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.-]+)""")
_NAMESPACE = re.compile(r"""\s(xmlns(?::[\w.-]+)?)\s*=\s*("[^"<]*"|'[^'<]*')""")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]*):")
# What XML cannot hold, and exports have all the same.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class _Piece(NamedTuple):
    """A stretch of the file: an element, what stands outside of them, or something broken."""

    line: int
    source: str = ""
    is_element: bool = False
    error: str | None = None


def elements(file: File, *names: str) -> Iterator["etree._Element | Broken"]:
    """The elements of these local names, in any namespace; they must not nest.

    The file is cut at their tags and each is parsed for itself: one with an error in it is Broken,
    and the others come. Raises ArchiveError for a file with a document type, whose entities could
    be bombs or other files, and READ_ERRORS.
    """
    namespaces: dict[str, str] = {}
    with file.open() as stream:
        try:
            text = io.TextIOWrapper(stream, _encoding(file), errors="replace")
            for piece in _pieces(text, names):
                if piece.is_element:
                    yield _parse(file, piece, namespaces)
                elif piece.error:
                    yield _broken(file, piece.line, piece.error)
                elif "<!DOCTYPE" in piece.source:
                    message = "has a document type (DTD), which is not read for safety"
                    raise ArchiveError(f"{file.path}: {message}")
                else:
                    namespaces.update(_NAMESPACE.findall(piece.source))
        except (UnicodeError, LookupError) as error:
            raise ArchiveError(f"{file.path}: {error}") from None


def child_text(element: "etree._Element", name: str) -> str:
    """The text of the first child of a local name (``{*}name``), or of a tag; empty if none."""
    return element.findtext(name if "{" in name else f"{{*}}{name}") or ""


def _encoding(file: File) -> str:
    head = file.head(1024)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    declared = _DECLARED.match(head.removeprefix(b"\xef\xbb\xbf"))
    encoding = declared[1].decode() if declared else "utf-8"
    # A file whose declaration is readable byte by byte is no UTF-16, whatever it says.
    return "utf-8-sig" if encoding.lower().startswith(("utf-8", "utf-16")) else encoding


def _pieces(text: io.TextIOWrapper, names: tuple[str, ...]) -> Iterator[_Piece]:
    """The file, cut before and after each element. Tags in CDATA and comments are none."""
    tokens = re.compile(
        r"<!\[CDATA\[(?:.*?(?P<whole>\]\]>))?|<!--(?:.*?(?P<ended>-->))?"
        rf"|<(?P<close>/?)(?:[\w.-]+:)?(?P<name>{'|'.join(names)})(?=[\s/>])[^<>]*?(?P<empty>/?)>",
        re.DOTALL,
    )
    line = 1
    is_inside = is_closed = False
    pending, done = "", 0  # what was not given yet, and how much of it was searched
    while block := text.read(_READ_CHARACTERS):
        pending += block
        # Up to a ">" no tag is cut in two; CDATA and comments may be.
        while token := tokens.search(pending, done, pending.rfind(">") + 1):
            if not (token["name"] or token["whole"] or token["ended"]):
                break
            done = token.end()
            if token["name"] and not token["close"]:
                before, pending = pending[: token.start()], pending[token.start() :]
                yield _Piece(line, before, error=_NOT_ENDED if is_inside else None)
                line += before.count("\n")
                done -= len(before)
                is_inside = True
            if is_inside and (token["close"] or token["empty"]):
                yield _Piece(line, pending[:done], is_element=True)
                line += pending.count("\n", 0, done)
                pending, done = pending[done:], 0
                is_inside = is_closed = False
        done = token.start() if token else max(done, pending.rfind(">") + 1)
        if not is_inside:
            yield _Piece(line, pending[:done])
            line += pending.count("\n", 0, done)
            is_closed = is_closed or "</" in pending[:done]
            pending, done = pending[done:], 0
        if len(pending) > _LONGEST:
            yield _Piece(line, error=f"longer than {_LONGEST:,} characters")
            line += pending.count("\n")
            pending, done, is_inside = "", 0, False
    if is_inside:
        yield _Piece(line, error="the file ends in its middle")
    elif not is_closed:
        yield _Piece(line, error="the file was cut short, or is no XML")


def _parse(file: File, piece: _Piece, namespaces: dict[str, str]) -> "etree._Element | Broken":
    # Blogger, for one, uses prefixes that it does not declare.
    unknown = {f"xmlns:{prefix}": f'"{prefix}"' for prefix in _PREFIX.findall(piece.source)}
    declared = " ".join(f"{name}={value}" for name, value in (unknown | namespaces).items())
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=True,  # no larger than _LONGEST, and without entities
    )
    try:
        root = etree.fromstring(f"<root {declared}>{_CONTROL.sub('', piece.source)}</root>", parser)
    except etree.XMLSyntaxError as error:
        line = piece.line + (error.lineno or 1) - 1
        message = (error.msg or "").rpartition(", line ")[0]
        return _broken(file, line, re.sub(r" line \d+", "", message))
    return root[0]


def _broken(file: File, line: int, message: str) -> Broken:
    return Broken(f"{file.path}, line {line}", message)
