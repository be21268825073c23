"""EPUB books (2 and 3): the chapters of the spine."""

from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote

from lxml import etree
from selectolax.lexbor import LexborHTMLParser

from corpus.archive import READ_ERRORS, ArchiveError, File, members
from corpus.importers import gutenberg
from corpus.importers.elements import elements
from corpus.importers.markup import as_html, decode_html, html_text, take_out
from corpus.importers.source import Broken, Dropped, Item, Source, Text
from corpus.zips import view

_SHORTEST = 120  # characters: what is shorter is a cover or a title page
# Fonts are often scrambled; that locks no text.
_FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def recognises(file: File) -> bool:
    """Whether it is a zip named so."""
    return file.suffix == ".epub" and file.head(4) == b"PK\x03\x04"


def read(file: File) -> Iterator[Item]:
    """A text for each chapter. Raises ArchiveError for books that are locked (DRM)."""
    with file.open() as stream:
        try:
            parts = {inner.path: inner for inner in members(file, partial(view, lambda: stream))}
        except ValueError as error:
            raise ArchiveError(f"{file.path}: {error}") from None
        _refuse_locked(file, parts)
        yield from _chapters(file, parts)


def _chapters(file: File, parts: dict[PurePosixPath, File]) -> Iterator[Item]:
    package = _package(file, parts)
    book: dict[str, str] = {}
    chapters: dict[str | None, etree._Element] = {}
    number = 0
    for element in elements(package, "title", "creator", "identifier", "item", "itemref"):
        if isinstance(element, Broken):
            yield element
            continue
        name = etree.QName(element).localname
        if name == "item":
            chapters[element.get("id")] = element
        elif name != "itemref":
            book.setdefault(name, " ".join((element.text or "").split()))
        elif (chapter := chapters.get(element.get("idref"))) is None:
            yield Broken(str(package.path), f"no {element.get('idref')} in the manifest")
        else:
            number += 1
            yield _chapter(package, parts, chapter, book, number)


def _chapter(
    package: File,
    parts: dict[PurePosixPath, File],
    chapter: "etree._Element",
    book: dict[str, str],
    number: int,
) -> Item:
    if "nav" in chapter.get("properties", "").split():
        return Dropped("table of contents")
    path = _beside(package, chapter.get("href", "").partition("#")[0])
    try:
        if path not in parts:
            raise ArchiveError("not in the book")
        page = as_html(decode_html(parts[path].read()))
    except (*READ_ERRORS, ArchiveError) as error:
        return Broken(str(path), str(error) or type(error).__name__)
    tree = LexborHTMLParser(page)
    heading = tree.css_first("h1, h2, h3")
    title = " ".join(heading.text(separator=" ").split()) if heading else ""
    if heading:
        heading.decompose()
    whole = html_text(tree.html or "")
    text = gutenberg.inside(whole)
    if len(text) < _SHORTEST:
        return Dropped("without text")
    take_out(tree, "a[href]")
    if len(html_text(tree.html or "")) < len(whole) / 2:
        return Dropped("table of contents")
    identifier = book.get("identifier")
    return Text(
        text=text,
        # The chapters' order shows in their names, which are cut short at the end.
        id=f"{book.get('title', '')[:30]}-{number:03}-{identifier}" if identifier else None,
        title=title or book.get("title"),
        author=book.get("creator") or None,
    )


def _package(file: File, parts: dict[PurePosixPath, File]) -> File:
    """The file that lists all others."""
    container = parts.get(file.path / "META-INF/container.xml")
    if container is None:
        raise ArchiveError(f"{file.path}: is no EPUB: it has no META-INF/container.xml")
    for root in elements(container, "rootfile"):
        if not isinstance(root, Broken):
            path = file.path / normpath(unquote(root.get("full-path", "")))
            if path in parts:
                return parts[path]
    raise ArchiveError(f"{file.path}: is no EPUB: its list of contents is missing")


def _beside(package: File, href: str) -> PurePosixPath:
    return PurePosixPath(normpath(package.path.parent / unquote(href)))


def _refuse_locked(file: File, parts: dict[PurePosixPath, File]) -> None:
    encryption = parts.get(file.path / "META-INF/encryption.xml")
    if encryption is None:
        return
    for found in elements(encryption, "EncryptedData"):
        method = None if isinstance(found, Broken) else found.find("{*}EncryptionMethod")
        if method is None or method.get("Algorithm") not in _FONT_ALGORITHMS:
            raise ArchiveError(f"{file.path}: is locked by its seller (DRM), and cannot be read")


SOURCE = Source("epub", "EPUB books", recognises, read)
