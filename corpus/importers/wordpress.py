"""WordPress: posts and pages of an export (WXR 1.0 to 1.2, an RSS file with WordPress's own
elements)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from lxml import etree

from corpus.archive import File
from corpus.importers.elements import child_text, elements
from corpus.importers.markup import html_text
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_BLOCK_MARK = re.compile(r"<!--\s*/?wp:.*?-->|<!--(?:nextpage|more.*?)-->", re.DOTALL)
# Captions and galleries show no text of the post; of other shortcodes the inside does.
_SHORTCODE = re.compile(
    r"\[(caption|gallery|embed|audio|video|playlist)\b[^\]]*\](?:.*?\[/\1\])?"
    r"|\[/?[a-z][a-z0-9_-]*(?:\s+[\w-]+=[^\]]*)?/?\]",
    re.DOTALL,
)
_BLOCK_TAG = re.compile(r"<(?:p|div|ul|ol|li|h[1-6]|table|pre|blockquote|figure)\b", re.IGNORECASE)


def recognises(file: File) -> bool:
    """Whether its head declares WordPress's namespace."""
    return file.suffix in (".xml", ".wxr") and b"://wordpress.org/export/" in file.head()


def read(file: File) -> Iterator[Item]:
    """Its posts and pages; drafts, private and locked ones are not public."""
    for item in elements(file, "item"):
        yield item if isinstance(item, Broken) else _item(item)


def _item(item: "etree._Element") -> Item:
    kind, status = child_text(item, "post_type"), child_text(item, "status")
    if kind not in ("post", "page"):
        return Dropped("no post or page")
    if status in ("trash", "auto-draft", "inherit"):
        return Dropped("deleted or never written")
    guid = child_text(item, "guid") or child_text(item, "link")
    return Text(
        text=_text(child_text(item, _CONTENT)),
        id=f"{urlsplit(guid).netloc}-{child_text(item, 'post_id')}",
        title=html_text(child_text(item, "title")) or None,
        date=_date(child_text(item, "post_date_gmt")) or _date(child_text(item, "post_date")),
        url=child_text(item, "link") or None,
        author=child_text(item, "creator") or None,
        public=status == "publish" and not child_text(item, "post_password"),
    )


def _text(content: str) -> str:
    html = _SHORTCODE.sub("", _BLOCK_MARK.sub("", content))
    if not _BLOCK_TAG.search(html):
        # As WordPress shows it (wpautop): blank lines divide paragraphs, line breaks are breaks.
        html = re.sub(r"\n{2,}", "<p>", html.replace("\r\n", "\n").strip()).replace("\n", "<br>")
    return html_text(html)


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:  # "0000-00-00 00:00:00" of drafts
        return None


SOURCE = Source("wordpress", "WordPress", recognises, read)
