"""Web pages, saved or exported: the main text of each HTML file."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from corpus.archive import File
from corpus.importers.dates import from_iso
from corpus.importers.markup import decode_html, html_text
from corpus.importers.source import Dropped, Item, Source, Text

_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
# Bulbapedia's have a reader of their own (prepare_corpus.py); Facebook's and Google's lists of
# what one did are no texts.
_OTHERS = re.compile(
    rb"<title>[^<]* - Bulbapedia|href=\"(?:\.\./)*html/style\.css\"|\bmdl-typography--"
    rb"|class=\"(?:[^\"]* )?_a70[5-9a-e]\b|window\.YTD\."
)
_AROUND = "nav, header, footer, aside, form, [role=navigation], [role=banner], [role=contentinfo]"
_FEWEST_WORDS = 20


def recognises(file: File) -> bool:
    """Whether its head is a page's, and none of those that other readers know."""
    if file.suffix not in (".html", ".htm", ".xhtml"):
        return False
    head = file.head()
    return bool(_PAGE.search(head)) and not _OTHERS.search(head)


def read(file: File) -> Iterator[Item]:
    """The article of a page; lists of links have none."""
    tree = LexborHTMLParser(decode_html(file.read()))
    url = _attribute(tree, "link[rel=canonical]", "href")
    author = _attribute(tree, "meta[name=author]", "content")
    date = _attribute(tree, "meta[property='article:published_time']", "content")
    date = date or _attribute(tree, "time[datetime]", "datetime")
    title = _title(tree)
    main = _main(tree)
    if main is None:
        yield Dropped("without text")
        return
    text = html_text(main.html or "")
    for link in main.css("a"):
        link.decompose()
    words, unlinked = len(text.split()), len(html_text(main.html or "").split())
    if words < _FEWEST_WORDS or unlinked < words / 2:
        yield Dropped("without text")
        return
    yield Text(text=text, id=url, title=title, date=from_iso(date or ""), url=url, author=author)


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """The page's only article, its main part, or its body, without what stands around it."""
    articles = tree.css("article")
    only = articles[0] if len(articles) == 1 else None
    main = only or tree.css_first("main, [role=main]") or tree.body
    if main is not None:
        for node in main.css(f"{_AROUND}, h1"):
            node.decompose()
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
