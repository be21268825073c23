"""Tumblr: the export's ``posts.xml``, or a page for each post, ``html/<its number>.html``, which
may lie in a ``posts.zip`` in the zip."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

from lxml import etree
from selectolax.lexbor import LexborHTMLParser, LexborNode

from corpus.archive import HEAD_BYTES, File
from corpus.importers.elements import child_text, elements
from corpus.importers.markup import decode_html, html_text
from corpus.importers.source import Broken, Dropped, Item, Source, Text

# Its own marks within the text: the fold, redirected links, and a button beside images.
_MARKS = re.compile(
    r"\[\[MORE\]\]|https?://href\.li/\?|<span\b[^<>]*\balt-text-helper\b[^<>]*>[^<]*</span>"
)
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
# What the owner wrote in a post of each type; a quote is another's words.
_BODIES = {
    "regular": ("regular-title", "regular-body"),
    "photo": (None, "photo-caption"),
    "link": ("link-text", "link-description"),
    "answer": (None, "answer"),
    "conversation": ("conversation-title", "conversation-text"),
    "video": (None, "video-caption"),
    "audio": (None, "audio-caption"),
}


def recognises(file: File) -> bool:
    """Whether it is Tumblr's XML, or a page of a post by its name and foot."""
    if file.suffix == ".xml":
        return b"<tumblr" in file.head(4096)
    is_post = file.suffix == ".html" and file.path.stem.isdecimal()
    if not (is_post and file.path.parent.name == "html"):
        return False
    return b'id="footer"' in file.head() or file.size > HEAD_BYTES


def read(file: File) -> Iterator[Item]:
    """What the blog's owner wrote; of reblogged posts, what was added."""
    if file.suffix == ".xml":
        for post in elements(file, "post"):
            yield post if isinstance(post, Broken) else _from_xml(post)
    else:
        yield _from_page(file)


def _from_xml(post: "etree._Element") -> Item:
    if post.get("type") == "quote":
        return Dropped("quotation")
    title, body = _BODIES.get(post.get("type", ""), (None, ""))
    if not body:
        return Dropped("without text")
    tree = LexborHTMLParser(_MARKS.sub("", child_text(post, body)))
    return _item(
        tree,
        id=post.get("id"),
        title=html_text(child_text(post, title)) if title else "",
        date=_date(post.get("date-gmt", "").removesuffix(" GMT"), "%Y-%m-%d %H:%M:%S", UTC)
        or _date(post.get("date", ""), "%B %d, %Y %I:%M%p"),
        url=post.get("url-with-slug") or post.get("url"),
        public=post.get("private") != "true" and post.get("state", "published") == "published",
        is_reblog=bool(post.get("reblogged-from-name") or post.get("reblogged-from-url")),
    )


def _from_page(file: File) -> Item:
    tree = LexborHTMLParser(_MARKS.sub("", decode_html(file.read())))
    heading, footer = tree.css_first("h1"), tree.css_first("#footer")
    stamp = tree.css_first("#timestamp")
    title = heading.text() if heading else ""
    date = _date(stamp.text().strip(), "%B %d, %Y %I:%M%p") if stamp else None
    for node in (heading, footer):
        if node:
            node.decompose()
    return _item(tree, id=file.path.stem, title=title, date=date)


def _item(
    tree: LexborHTMLParser,
    *,
    id: str | None,
    title: str,
    date: datetime | None,
    url: str | None = None,
    public: bool = True,
    is_reblog: bool = False,
) -> Item:
    found_others = _take_out_reblogged(tree)
    text = html_text(tree.html or "")
    # Of one that names nobody, all may be others' words.
    if not text or (is_reblog and not found_others):
        return Dropped("reblogged" if is_reblog or found_others else "without text")
    title = " ".join(title.split())
    return Text(text=text, id=id, title=title or None, date=date, url=url, mine=True, public=public)


def _take_out_reblogged(tree: LexborHTMLParser) -> bool:
    """Others' posts: ``<p><a class="tumblr_blog">name</a>:</p><blockquote>``, and nested so; the
    oldest have no class."""
    is_reblog = False
    others: dict[int, LexborNode] = {}
    for name in tree.css("p > a"):
        paragraph = name.parent
        is_marked = "tumblr_blog" in (name.attributes.get("class") or "").split()
        if not (paragraph and (is_marked or paragraph.text().strip() == f"{name.text().strip()}:")):
            continue
        quote = paragraph.next
        while quote is not None and quote.tag != "blockquote" and not quote.text().strip():
            quote = quote.next
        if quote is not None and quote.tag == "blockquote":
            others |= {paragraph.mem_id: paragraph, quote.mem_id: quote}
            is_reblog = True
        is_reblog = is_reblog or is_marked
    for node in reversed(others.values()):  # those inside of quotes go before the quotes
        node.decompose()
    return is_reblog


def _date(text: str, form: str, zone: tzinfo | None = None) -> datetime | None:
    try:
        return datetime.strptime(_ORDINAL.sub("", text), form).replace(tzinfo=zone)
    except ValueError:
        return None


SOURCE = Source("tumblr", "Tumblr", recognises, read)
