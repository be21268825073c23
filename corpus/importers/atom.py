"""What Atom feeds consist of (RFC 4287), Blogger's exports among them."""

from datetime import datetime

from lxml import etree

from corpus.importers.dates import from_iso
from corpus.importers.elements import child_text
from corpus.importers.markup import html_text

ATOM = "{http://www.w3.org/2005/Atom}"
_XHTML = "{http://www.w3.org/1999/xhtml}"


def text(entry: "etree._Element", name: str) -> str:
    """The plain text of an entry's title, summary or content, whichever type it says it has."""
    found = entry.find(f"{ATOM}{name}")
    if found is None:
        return ""
    kind = found.get("type", "text")
    if kind in ("xhtml", "application/xhtml+xml"):
        for node in found.iter(f"{_XHTML}*"):
            node.tag = etree.QName(node).localname
        return html_text(etree.tostring(found, encoding="unicode", method="html", with_tail=False))
    return html_text(found.text or "") if "html" in kind else (found.text or "").strip()


def title(entry: "etree._Element") -> str | None:
    """Its title, on one line."""
    return " ".join(text(entry, "title").split()) or None


def link(entry: "etree._Element") -> str | None:
    """Where it can be read."""
    for found in entry.findall(f"{ATOM}link"):
        if found.get("rel", "alternate") == "alternate" and found.get("href"):
            return str(found.get("href"))
    return None


def author(entry: "etree._Element") -> str | None:
    """Its first author's name."""
    name = entry.findtext(f"{ATOM}author/{ATOM}name") or ""
    return name.strip() or None


def date(entry: "etree._Element") -> datetime | None:
    """When it was published, or else changed."""
    texts = (child_text(entry, f"{ATOM}{name}").strip() for name in ("published", "updated"))
    return next(filter(None, map(from_iso, texts)), None)
