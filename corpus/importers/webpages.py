"""Web pages, saved or exported: the main text of each HTML file."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from corpus.archive import File
from corpus.importers import gutenberg
from corpus.importers.dates import from_iso
from corpus.importers.markup import as_html, decode_html, html_text, take_out
from corpus.importers.source import Dropped, Item, Source, Text
from corpus.importers.takeout import is_in_takeout

_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
# Bulbapedia's have a reader of their own (prepare_corpus.py); Facebook's and Google's lists of
# what one did are no texts; the chats of Telegram, DiscordChatExporter and Google Voice, and Keep's
# notes, which are in JSON as well, are nothing that everybody could read.
_OTHERS = re.compile(
    rb"<title>[^<]* - Bulbapedia|href=\"(?:\.\./)*html/style\.css\"|\bmdl-typography--"
    rb"|class=\"(?:[^\"]* )?_a70[5-9a-e]\b|window\.YTD\."
    rb"|class=\"page_wrap[^<>]*>\s*<div class=\"page_header|\bchatlog__"
    rb"|class=\"(?:hChatLog|haudio)\b"
    rb"|<div class=\"note\b[^<>]*>\s*<div class=\"heading\""
)
_COMMENTS = "#comments, #respond, .comments:not(body), .comment-list, #disqus_thread"
# Some sites have the whole page in a form.
_AROUND = (
    "nav, header, footer, aside, form:not(:has(p)), [role=navigation], [role=banner], "
    "[role=contentinfo]"
)
_SHORTEST = 100  # characters: some languages have no blanks between words


def recognises(file: File) -> bool:
    """Whether its head is a page's, and none of those that other readers know."""
    if file.suffix not in (".html", ".htm", ".xhtml"):
        return False
    head = file.head()
    return bool(_PAGE.search(head)) and not _OTHERS.search(head)


def read(file: File) -> Iterator[Item]:
    """The article of a page, without its readers' comments; lists of links have none."""
    page = decode_html(file.read())
    tree = LexborHTMLParser(as_html(page) if file.suffix == ".xhtml" else page)
    take_out(tree, _COMMENTS)
    url = _attribute(tree, "link[rel=canonical]", "href")
    author = _attribute(tree, "meta[name=author]", "content")
    date = _attribute(tree, "meta[property='article:published_time']", "content")
    date = date or _attribute(tree, "time[datetime]", "datetime")
    title = _title(tree)
    main = _main(tree)
    if main is None:
        yield Dropped("without text")
        return
    whole = html_text(main.html or "")
    text = gutenberg.inside(whole)
    take_out(main, "a[href]")
    if len(text) < _SHORTEST or len(html_text(main.html or "")) < len(whole) / 2:
        yield Dropped("without text")
        return
    yield Text(
        text=text,
        id=url,
        title=title,
        date=from_iso(date or ""),
        url=url,
        author=author,
        public=not is_in_takeout(file),
    )


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """The page's only article, its main part, or its body, without what stands around it."""
    articles = tree.css("article")
    only = articles[0] if len(articles) == 1 else None
    main = only or tree.css_first("main, [role=main]") or tree.body
    if main is not None:
        take_out(main, f"{_AROUND}, h1")
    return main


def _title(tree: LexborHTMLParser) -> str | None:
    """The heading, which has no site's name in it, if there is only one."""
    headings = tree.css("h1")
    found = headings[0] if len(headings) == 1 else tree.css_first("title")
    return (" ".join(found.text().split()) or None) if found else None


def _attribute(tree: LexborHTMLParser, selector: str, name: str) -> str | None:
    found = tree.css_first(selector)
    return ((found.attributes.get(name) or "").strip() or None) if found else None


SOURCE = Source("webpage", "Web pages", recognises, read)
