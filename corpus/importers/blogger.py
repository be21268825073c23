"""Blogger: the blog's Atom export, as Blogger made it itself until 2024 (``kind#post``), and as
Google Takeout makes it (``feed.atom``, ``blogger:type``)."""

from collections.abc import Iterator
from html import unescape

from lxml import etree

from corpus.archive import File
from corpus.importers import atom
from corpus.importers.elements import child_text, elements
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_KIND = "http://schemas.google.com/blogger/2008/kind#"
_KINDS_SCHEME = "http://schemas.google.com/g/2005#kind"


def recognises(file: File) -> bool:
    """Whether its head is of an Atom feed with Blogger's own words."""
    if file.suffix not in (".xml", ".atom"):
        return False
    head = file.head()
    return b"www.w3.org/2005/Atom" in head and b"//schemas.google.com/blogger/" in head


def read(file: File) -> Iterator[Item]:
    """Its posts and pages; drafts are not public. Most comments are other people's words."""
    for entry in elements(file, "entry"):
        yield entry if isinstance(entry, Broken) else _item(entry)


def _item(entry: "etree._Element") -> Item:
    kind, status = _kind(entry), child_text(entry, "status")
    if kind == "comment":
        return Dropped("comment")
    if kind not in ("post", "page"):
        return Dropped("no post or page")
    if "TRASHED" in status or child_text(entry, "trashed"):  # when
        return Dropped("deleted")
    text = atom.text(entry, "content")
    if not text:
        return Dropped("without text")
    is_draft = status not in ("", "LIVE") or entry.findtext("{*}control/{*}draft") == "yes"
    return Text(
        text=text,
        # What follows "tag:blogger.com,1999:" is "blog-1.post-2".
        id=child_text(entry, f"{atom.ATOM}id").strip().rpartition(":")[2] or None,
        # Takeout's are HTML, and do not say so.
        title=unescape(atom.title(entry) or "") or None,
        date=atom.date(entry),
        url=atom.link(entry),
        author=atom.author(entry),
        public=not is_draft,
    )


def _kind(entry: "etree._Element") -> str:
    """Of the public feeds, which name none, each entry is a post."""
    kinds = [
        category.get("term", "").removeprefix(_KIND)
        for category in entry.findall(f"{atom.ATOM}category")
        if category.get("scheme") == _KINDS_SCHEME
    ]
    return child_text(entry, "type").lower() or next(iter(kinds), "post")


SOURCE = Source("blogger", "Blogger", recognises, read)
