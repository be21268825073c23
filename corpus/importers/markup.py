"""Text out of HTML, for fragments as exports have them."""

import codecs
import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from corpus.importers.charsets import is_utf8

# Where an element begins and ends: a new paragraph, a new line, a blank, a quotation mark.
_PARAGRAPH, _LINE = "\x01", "\x02"
_PARAGRAPHS = (
    "address article aside blockquote body center dd details div dl dt fieldset figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr legend listing main menu nav ol p pre search section "
    "summary table ul"
)
_EDGES = {
    **dict.fromkeys(_PARAGRAPHS.split(), _PARAGRAPH),
    **dict.fromkeys(("caption", "li", "option", "tr"), _LINE),
    **dict.fromkeys(("td", "th"), " "),
    "q": '"',
}
_UNSEEN = (
    "audio button canvas embed figcaption head iframe input map noscript object rp rt script "
    "select style svg template textarea title video"
)
_UNSEEN_TAGS = frozenset(_UNSEEN.split())
_BREAK = re.compile(rf"[^\S\n]*[\n{_PARAGRAPH}{_LINE}][\s{_PARAGRAPH}{_LINE}]*")

_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_HEAD = 2048  # bytes, in which a page declares its encoding
# In XML these may end in themselves; HTML would take all that follows for what is in them.
_EMPTY = re.compile(
    r"<(audio|canvas|figcaption|iframe|map|object|script|style|svg|template|textarea|title|video)"
    r"((?:\s[^<>]*)?)/>",
    re.IGNORECASE,
)


def decode_html(page: bytes) -> str:
    """A page as text: in the encoding that it declares, else UTF-8, else Windows-1252.

    Never raises.
    """
    if page.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return page.decode("utf-16", errors="replace")
    try:
        return page.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = _CHARSET.search(page[:_HEAD])
    encoding = declared[1].decode().lower() if declared else "utf-8"
    if encoding in ("utf-8", "utf8"):
        encoding = "utf-8-sig" if is_utf8([page]) else "cp1252"
    if encoding in ("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii"):
        encoding = "cp1252"  # which browsers read instead
    try:
        return page.decode(encoding, errors="replace")
    except (LookupError, UnicodeError):
        return page.decode("cp1252", errors="replace")


def as_html(xhtml: str) -> str:
    """A page in XML, so that HTML's rules read it as it is meant."""
    return _EMPTY.sub(r"<\1\2></\1>", xhtml)


def take_out(tree: LexborHTMLParser | LexborNode, selector: str) -> None:
    """Removes the elements that a CSS selector finds below a node, or in a whole page."""
    # An element is found once for each selector of a list that it fits. Those inside of others go
    # first: with an element all that is in it is freed.
    found = {node.mem_id: node for node in tree.css(selector)}
    for node in reversed(found.values()):
        node.decompose()


def html_text(html: str) -> str:
    """What a reader sees: paragraphs apart by a blank line, list items, table rows and line breaks
    on lines of their own, without captions, forms, scripts and the marks of footnotes.

    Never raises: any text is HTML of some kind.
    """
    body = LexborHTMLParser(html).body
    if body is None:
        return ""
    return _BREAK.sub(_break, re.sub(r"[^\S\n]+", " ", _text(body))).strip()


def _text(body: LexborNode) -> str:
    pieces: list[str] = []
    # Nodes to visit, and what stands at a node's end: a document may nest deeper than Python can.
    # Whether it is in a pre stands beside it.
    pending: list[tuple[LexborNode | str, bool]] = [(body, False)]
    while pending:
        node, in_pre = pending.pop()
        if isinstance(node, str):
            pieces.append(node)
        elif node.tag == "-text":
            text = (node.text_content or "").replace(_PARAGRAPH, "").replace(_LINE, "")
            pieces.append(text if in_pre else re.sub(r"\s+", " ", text))
        elif node.tag == "br":
            pieces.append("\n")
        elif node.tag not in _UNSEEN_TAGS and not _is_note_mark(node):
            edge = _EDGES.get(node.tag or "", "")
            pieces.append(edge)
            pending.append((edge, False))
            children: list[tuple[LexborNode | str, bool]] = []
            child = node.child
            while child is not None:
                children.append((child, in_pre or node.tag == "pre"))
                child = child.next
            pending += reversed(children)
    return "".join(pieces)


def _is_note_mark(node: LexborNode) -> bool:
    """A raised link, or what is raised in a link."""
    if node.tag != "sup":
        return False
    is_linked = node.parent is not None and node.parent.tag == "a"
    return is_linked or any(child.tag == "a" for child in node.iter())


def _break(gap: re.Match[str]) -> str:
    is_paragraph = _PARAGRAPH in gap[0] or gap[0].count("\n") > 1
    return "\n\n" if is_paragraph else "\n"
