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
_CUT = re.compile(r"<!--(?:nextpage|more)[^<>]*-->")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Captions and galleries show no text of the post; of other shortcodes the inside does.
_MEDIA = re.compile(
    r"\[((?:wp_)?caption|gallery|embed|audio|video|playlist)\b[^\[\]]*\]"
    r"(?:(?:(?!\[\1\b).)*?\[/\1\])?",
    re.DOTALL,
)
# A word in brackets is one if it has arguments, a slash, an underscore, or an end somewhere.
_SHORTCODE = re.compile(
    r"\[(?P<slash>/?)(?P<name>[A-Za-z][\w-]*)"
    r"(?P<arguments>\s+[\w-]+\s*=[^\[\]]*|=[^\[\]]+|\s+https?:[^\[\]]*)?\s*(?P<empty>/?)\]"
)
_ENDS = re.compile(r"\[/([A-Za-z][\w-]*)\s*\]")
_TAG_OR_LINES = re.compile(r"<br\b[^<>]*>[ \t]*\n(?![ \t]*\n)|<[^<>]*>|\n\s*\n|\n")


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
    number = child_text(item, "post_id")
    blog = _blog(child_text(item, "guid") or child_text(item, "link"))
    return Text(
        text=_text(child_text(item, _CONTENT)),
        id=f"{blog}-{number}" if blog and number else None,
        title=html_text(child_text(item, "title")) or None,
        date=_date(child_text(item, "post_date_gmt")) or _date(child_text(item, "post_date")),
        url=child_text(item, "link") or None,
        author=child_text(item, "creator") or None,
        public=status == "publish" and not child_text(item, "post_password"),
    )


def _blog(url: str) -> str:
    """The host and folder of ``http://host/folder/?p=1``: several blogs may share a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_numbered = re.match(r"(?:p|page_id)=", parts.query)
    return (parts.netloc + parts.path).rstrip("/") if is_numbered else parts.netloc


def _text(content: str) -> str:
    html = _without_shortcodes(_MEDIA.sub("", _COMMENT.sub("", _CUT.sub("\n\n", content))))
    if "<!-- wp:" not in content:
        html = _TAG_OR_LINES.sub(_tag_or_break, html.replace("\r\n", "\n").strip())
    return html_text(html)


def _without_shortcodes(html: str) -> str:
    ended = set(_ENDS.findall(html))

    def replacement(found: re.Match[str]) -> str:
        name = found["name"]
        is_marked = any(found.group("slash", "arguments", "empty")) or "_" in name
        return "" if is_marked or name in ended else found[0]

    return _SHORTCODE.sub(replacement, html)


def _tag_or_break(match: re.Match[str]) -> str:
    """As WordPress shows what has no blocks (wpautop): blank lines divide paragraphs, line breaks
    are breaks; those within a tag, or after a break, are neither."""
    found = match[0]
    return found if found.startswith("<") else "<p>" if found.count("\n") > 1 else "<br>"


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:  # "0000-00-00 00:00:00" of drafts
        return None


SOURCE = Source("wordpress", "WordPress", recognises, read)
