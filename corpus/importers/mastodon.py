"""Mastodon: ``outbox.json`` of the archive that one asks for oneself (ActivityPub)."""

import re
from collections.abc import Iterator
from datetime import UTC
from urllib.parse import urlsplit

from corpus.archive import File
from corpus.importers.dates import from_iso
from corpus.importers.json_values import field, text_field, values, whole
from corpus.importers.markup import html_text
from corpus.importers.mentions import without_addressees
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_EVERYBODY = frozenset(("https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"))
# The parts of a link that readers do not see, and the link to a quoted post, which they see whole.
_UNSEEN = re.compile(
    r"<span\b[^<>]*\bclass=[\"'][^\"'<>]*\binvisible\b[^<>]*>[^<]*</span>"
    r"|<p\b[^<>]*\bclass=[\"'][^\"'<>]*\bquote-inline\b(?:(?!</p>).){0,2000}</p>",
    re.DOTALL,
)
_HEAD = re.compile(r'"(?:orderedItems|OrderedCollection)"')


def recognises(file: File) -> bool:
    """Whether it is an outbox: a collection of activities."""
    if file.name != "outbox.json":
        return False
    head = file.head(4096).decode(errors="replace")
    return "activitystreams" in head and _HEAD.search(head) is not None


def read(file: File) -> Iterator[Item]:
    """What the owner wrote; public is what everybody can see, whether listed or not."""
    author = text_field(whole(file.sibling("actor.json")), "preferredUsername")
    for number, found in enumerate(values(file, "orderedItems.item"), start=1):
        if isinstance(found, Broken):
            yield found
            continue
        activity = found.value
        kind = text_field(activity, "type")
        if kind == "Announce":
            yield Dropped("reshared")
        elif kind and kind != "Create":
            yield Dropped("no post")
        elif kind and isinstance(field(activity, "object"), dict):
            yield _item(activity, author)
        else:
            yield Broken(f"{file.path}, activity {number}", "has no post")


def _item(activity: object, author: str) -> Item:
    post = field(activity, "object")
    text = html_text(_UNSEEN.sub("", text_field(post, "content")))
    if field(post, "inReplyTo"):
        text = without_addressees(text)
    if not text:
        return Dropped("without text")
    url = text_field(post, "id")
    readers = {*_all(field(post, "to")), *_all(field(post, "cc"))}
    return Text(
        text=text,
        id=_id(url),
        title=text_field(post, "summary").strip() or None,  # a content warning
        date=from_iso(text_field(post, "published") or text_field(activity, "published"), zone=UTC),
        url=text_field(post, "url") or url or None,
        author=author or text_field(activity, "actor").rstrip("/").rpartition("/")[2] or None,
        mine=True,
        public=not readers.isdisjoint(_EVERYBODY),
    )


def _all(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _id(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    number = parts.path.rstrip("/").rpartition("/")[2]
    return f"{parts.netloc}-{number}" if parts.netloc and number else url or None


SOURCE = Source("mastodon", "Mastodon", recognises, read)
