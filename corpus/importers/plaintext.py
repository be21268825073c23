"""Plain text of no other source: a file is a text, without Project Gutenberg's header and footer.

A file of more than a few million characters comes in several texts, cut at blank lines.
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from corpus.archive import File
from corpus.importers import gutenberg
from corpus.importers.charsets import is_utf8
from corpus.importers.source import Dropped, Item, Source, Text
from corpus.importers.takeout import is_in_takeout

_LONGEST = 1 << 21  # characters of a text
_BLOCK = 1 << 20  # bytes
# Editors break lines there.
_NARROWEST, _WIDEST = 55, 80
_PARAGRAPH = 200  # characters that no editor leaves on a line

_FIELD = re.compile(r"^(Title|Author):[ \t]*(.+)$", re.MULTILINE)

# The C1 controls, which are Windows-1252 that somebody read as Latin-1; others show nothing.
_REPAIRS = {
    code: bytes([code]).decode("cp1252", errors="replace").replace("\ufffd", "")
    for code in range(0x80, 0xA0)
} | {0: "", ord("\f"): ""}


def recognises(file: File) -> bool:
    """Whether its name says so and its head is no binary file's."""
    if file.suffix != ".txt":
        return False
    head = file.head()
    return bool(head) and (b"\0" not in head or _is_utf16(head))


def read(file: File) -> Iterator[Item]:
    """Its text; lines that an editor broke are joined, those of poems and plays are left. What
    lies in a Takeout is not public."""
    with file.open() as stream:
        text = io.TextIOWrapper(stream, _encoding(file), errors="replace")
        head = text.read(_BLOCK)
        header = gutenberg.START.search(head)
        fields = dict(_FIELD.findall(head[: header.start()] if header else ""))
        lines = _lines(text, head[header.end() :].partition("\n")[2] if header else head)
        sample = head[header.end() if header else 0 :].split("\n")
        found = False
        for piece in _pieces(_paragraphs(lines, sample)):
            found = True
            yield Text(
                text=piece,
                title=fields.get("Title", file.path.stem).strip(),
                author=fields.get("Author", "").strip() or None,
                public=not is_in_takeout(file),
            )
        if not found:
            yield Dropped("without text")


def _is_utf16(head: bytes) -> bool:
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _encoding(file: File) -> str:
    """UTF-8 if it says so or is."""
    head = file.head(3)
    if _is_utf16(head):
        return "utf-16"
    if head == codecs.BOM_UTF8:
        return "utf-8-sig"
    with file.open() as stream:
        return "utf-8" if is_utf8(iter(lambda: stream.read(_BLOCK), b"")) else "cp1252"


def _lines(text: io.TextIOWrapper, first: str) -> Iterator[str]:
    """To the footer; a line is at most two blocks long."""
    rest = ""
    for block in chain([first], iter(lambda: text.read(_BLOCK), "")):
        *lines, rest = (rest + block).split("\n")
        if len(rest) > _BLOCK:
            lines, rest = [*lines, rest], ""
        for line in lines:
            if gutenberg.END.match(line.lstrip()):
                return
            yield line.translate(_REPAIRS).rstrip()
    if not gutenberg.END.match(rest.lstrip()):
        yield rest.translate(_REPAIRS).rstrip()


def _paragraphs(lines: Iterable[str], sample: list[str]) -> Iterator[str]:
    """What stands between blank lines, with its lines joined where an editor broke them."""
    lengths = [len(line) for line in sample if line.strip()]
    is_wrapped = sum(_NARROWEST <= n <= _WIDEST for n in lengths) > len(lengths) / 2
    # Without blank lines, and too long for lines: each is a paragraph.
    is_paragraph = all(map(str.strip, sample[:-1])) and max(lengths, default=0) > _PARAGRAPH
    paragraph = before = ""
    for line in lines:
        if not line.strip() or is_paragraph or len(paragraph) > _LONGEST:
            if paragraph:
                yield paragraph
            paragraph = line if line.strip() else ""
        # Only after a line that was full, and before none that is set in.
        elif is_wrapped and paragraph and len(before) >= _NARROWEST and not line[0].isspace():
            is_hyphen = paragraph.endswith("-") and not paragraph.endswith(" -")
            paragraph += line if is_hyphen else f" {line}"
        else:
            paragraph += f"\n{line}" if paragraph else line
        before = line
    if paragraph:
        yield paragraph


def _pieces(paragraphs: Iterable[str]) -> Iterator[str]:
    piece: list[str] = []
    length = 0
    for paragraph in paragraphs:
        if piece and length + len(paragraph) > _LONGEST:
            yield "\n\n".join(piece)
            piece, length = [], 0
        piece.append(paragraph)
        length += len(paragraph)
    if piece:
        yield "\n\n".join(piece)


SOURCE = Source("text", "Plain text", recognises, read)
