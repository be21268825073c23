"""From text as it is found to text a model should learn: one pure function, ``clean``.

What is repaired or removed: line ends, byte order marks, control and invisible characters, text
decoded wrongly (UTF-8 as Latin-1, and the C1 controls that cp1252 bytes become), HTML and wiki
markup left behind, lines of scripts, the delimiter of documents. What becomes plain: quotes and
apostrophes to ' and ", dashes to -- and hyphens to -, the ellipsis to ..., all blanks to single
spaces. Case, digits, punctuation, accents and emoji stay.
"""

import html
import re
import unicodedata

import ftfy

from corpus.documents import DELIMITER

# Only what its heuristics are for; entities, quotes and line breaks are handled here.
_MOJIBAKE = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_character_width=False,
    fix_line_breaks=False,
    normalization=None,
)

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u2014\u2015", "--"),
        "\u2026": "...",
    }
)

_LINE_BREAK = re.compile("\r\n|[\r\v\f\u2028\u2029]")
# Controls but tab and line feed, surrogates, noncharacters, the replacement character; and what
# shows nothing: soft hyphen, zero-width space, marks of direction, word joiner, BOM. Zero-width
# joiners stay, emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\uffff]"
)
_ENTITY = re.compile(r"&(?:[A-Za-z]+[0-9]*|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")

_HIDDEN_HTML = re.compile(
    r"<!--.*?-->|<(script|style|ref)\b[^<>]*(?<!/)>.*?</\1\s*>", re.DOTALL | re.IGNORECASE
)
_BLOCK_TAG = re.compile(
    r"</?(?:br|p|div|li|ul|ol|dl|dd|dt|h[1-6]|hr|tr|table|tbody|blockquote|center)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|em|font|i|img|nowiki|ref|s|script|small|span|strike|strong|style"
    r"|sub|sup|td|th|tt|u)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)

_SCRIPT_LINE = re.compile(
    r"""^[ \t]*(?:
        document\.(?:write|getElementById|querySelector)\b.*
      | (?:var|let|const)\s+[\w$]+\s*=.*;
      | (?:window|googletag|google_\w+|jQuery|gtag|ga|\$)\s*[.(=\[].*;
      | \(?adsbygoogle\b.*
      | function\s*\w*\s*\([^()]*\)\s*\{.*
      | [{}()\[\];,]*[{}][{}()\[\];,]*
      | (?://)?\s*(?:<!--|-->|<!\[CDATA\[|\]\]>)
    )[ \t]*$""",
    re.MULTILINE | re.VERBOSE,
)

_WIKI_HEADING = re.compile(r"^[ \t]*(={2,6})[^=\n]+\1[ \t]*$", re.MULTILINE)
_WIKI_LINK = re.compile(r"\[\[([^\[\]|\n]*)((?:\|[^\[\]|\n]*)*)\]\]")
_WIKI_FILE = re.compile(r"(?:file|image|category)\s*:", re.IGNORECASE)
_TEMPLATE_LINE = re.compile(r"^[ \t]*\{\{[^{}]*\}\}[ \t]*$", re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_REFERENCE_MARK = re.compile(
    r"\[(?:edit(?: source)?(?: ?\| ?edit source)?|\d{1,3}|(?:note|nb) ?\d{1,3}|citation needed)\]",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Clean one document; paragraphs stay apart by one blank line, lines within them stay lines.

    Idempotent: ``clean(clean(text)) == clean(text)``. The delimiter ``<|endoftext|>`` does not
    survive, nor does anything that would become one.
    """
    # What one repair uncovers (an entity in mojibake, a delimiter around a delimiter) needs
    # another round. Each round that changes anything takes away characters or non-ASCII ones.
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    text = _LINE_BREAK.sub("\n", text)
    text = "\n".join(
        line if line.isascii() else ftfy.fix_text(line, _MOJIBAKE) for line in text.split("\n")
    )
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = _strip_html(text)
    text = _strip_wiki(text)
    text = _SCRIPT_LINE.sub("", text)
    text = _INVISIBLE.sub("", text.translate(_PLAIN))
    text = unicodedata.normalize("NFC", text).replace(DELIMITER, "")
    return _tidy_blanks(text)


def _strip_html(text: str) -> str:
    if "<" not in text:
        return text
    text = _BLOCK_TAG.sub("\n", _HIDDEN_HTML.sub("", text))
    return _INLINE_TAG.sub("", text)


def _strip_wiki(text: str) -> str:
    if "{{" in text:
        text = _TEMPLATE.sub(_template_text, _TEMPLATE_LINE.sub("", text))
    if "[" in text:
        text = _REFERENCE_MARK.sub("", _WIKI_LINK.sub(_link_text, text))
    return _WIKI_HEADING.sub("", text) if "==" in text else text


def _link_text(link: re.Match[str]) -> str:
    if _WIKI_FILE.match(link[1].strip()):
        return ""
    return link[2].rpartition("|")[2] or link[1]


def _template_text(template: re.Match[str]) -> str:
    """{{p|Pikachu}} displays its last unnamed argument; without any, it is a box or a mark."""
    arguments = [part for part in template[1].split("|")[1:] if "=" not in part]
    return arguments[-1] if arguments else ""


def _tidy_blanks(text: str) -> str:
    # [^\S\n]: every Unicode blank but the line feed.
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
