"""RSS and Atom feeds as saved from anywhere: RSS 0.9 to 2.0 and Atom 1.0."""

import re
from collections.abc import Iterator

from lxml import etree

from corpus.archive import File
from corpus.importers import atom
from corpus.importers.dates import from_iso, from_rfc2822
from corpus.importers.elements import child_text, elements
from corpus.importers.markup import html_text
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_ROOT = re.compile(
    rb"<rss[\s>]|<(?:\w+:)?RDF[^>]*(?:purl\.org/rss/1\.0|netscape\.com/rdf/simple)"
    rb"|<(?:\w+:)?feed[^>]*www\.w3\.org/2005/Atom"
)


def recognises(file: File) -> bool:
    """Whether its head has a feed's root."""
    return file.suffix in (".xml", ".rss", ".atom", ".rdf") and bool(_ROOT.search(file.head(8192)))


def read(file: File) -> Iterator[Item]:
    """What it has of each item: the whole text, or else the summary."""
    for element in elements(file, "item", "entry"):
        if isinstance(element, Broken):
            yield element
            continue
        text = _from_atom(element) if element.tag == f"{atom.ATOM}entry" else _from_rss(element)
        yield text if text.text else Dropped("without text")


def _from_atom(entry: "etree._Element") -> Text:
    return Text(
        text=atom.text(entry, "content") or atom.text(entry, "summary"),
        id=child_text(entry, f"{atom.ATOM}id").strip() or None,
        title=atom.title(entry),
        date=atom.date(entry),
        url=atom.link(entry),
        author=atom.author(entry),
    )


def _from_rss(item: "etree._Element") -> Text:
    # Others' elements of the same names (media:title, itunes:author) are not the item's own.
    own = etree.QName(item).namespace
    space = f"{{{own}}}" if own else ""

    def child(name: str) -> str:
        return (item.findtext(f"{space}{name}") or "").strip()

    link, guid = child("link"), child("guid")
    whole = html_text(item.findtext(_CONTENT) or "")
    author = item.findtext(f"{_DUBLIN_CORE}creator") or child("author")
    return Text(
        text=whole or html_text(child("description")),
        # Some number their items from 1.
        id=guid if ":" in guid else f"{link} {guid}".strip() or None,
        title=" ".join(html_text(child("title")).split()) or None,
        date=from_rfc2822(child("pubDate"))
        or from_iso((item.findtext(f"{_DUBLIN_CORE}date") or "").strip()),
        url=link or None,
        author=author.strip() or None,
    )


SOURCE = Source("feed", "RSS and Atom feeds", recognises, read)
