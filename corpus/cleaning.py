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
from ftfy.badness import is_bad
from ftfy.chardata import CHARMAP_ENCODINGS, UTF8_DETECTOR_RE

from corpus.documents import DELIMITER

# Only what its heuristics are for; entities, quotes and line breaks are handled here.
_MOJIBAKE = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_character_width=False,
    fix_line_breaks=False,
    normalization=None,
)

# Controls but tab and line feed, surrogates, noncharacters, the replacement character; and what
# shows nothing: soft hyphen, zero-width space, marks of direction, word joiner, BOM. Zero-width
# joiners stay, emoji need them.
_INVISIBLE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\uffff"
)
_PLAIN = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    **dict.fromkeys("\u2014\u2015", "--"),
    "\u2026": "...",
    # All blanks there are, but for the line feed and what is invisible.
    **dict.fromkeys("\t\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", " "),
    **dict.fromkeys(map(chr, range(0x2000, 0x200B)), " "),
}
_REPLACED = re.compile(f"[{_INVISIBLE}{''.join(_PLAIN)}]")
# The same for ASCII, where str.translate is several times as fast (and elsewhere as slow).
_REPLACED_ASCII = {
    code: _PLAIN.get(chr(code), "") for code in range(128) if _REPLACED.match(chr(code))
}

_LINE_BREAKS = ("\r\n", "\r", "\v", "\f", "\u2028", "\u2029")


def _as_utf8(encoding: str) -> str:
    """A pattern of lines that may be UTF-8 once they are encoded so: each character of a first byte
    has one of a later byte after it, or what that may have become."""
    characters = [bytes([byte]).decode(encoding, "replace") for byte in range(256)]
    first, later = (re.escape("".join(characters[a:b])) for a, b in ((0xC0, 0xF5), (0x80, 0xC0)))
    return rf"(?:[\0-\x7f\ufffd]++|[{first}][{later} ?\x1a\ufffd][{later}]*+)*+"


# What ftfy may change; most lines have none of it, and ftfy takes its time (ten times as long).
# Whole lines that were decoded wrongly, stretches of lines (if they look bad, too), and controls,
# surrogates and ligatures.
_DECODED_WRONGLY = re.compile("|".join(map(_as_utf8, CHARMAP_ENCODINGS)))
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\u206a-\u206f"
    "\ud800-\udfff\ufb00-\ufb06\ufeff\ufff9-\uffff]"
)
# Also of what was escaped several times.
_ENTITY = re.compile(r"&(?:amp;)*([A-Za-z]+[0-9]*|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")

_HIDDEN_HTML = re.compile(r"<(?:(!--)|(script|style|ref)\b[^<>]*(?<!/)>)", re.IGNORECASE)
_HIDDEN_HTML_END = {
    "!--": re.compile("-->"),
    **{tag: re.compile(rf"</{tag}\s*>", re.IGNORECASE) for tag in ("script", "style", "ref")},
}
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

# To begin with a literal makes the search many times as fast as ^ does; what is possessive (++) is
# not tried again, which would take forever where there are many blanks, or braces.
_SCRIPT_LINE = re.compile(
    r"""\n[ \t]*+(?:
        document\.(?:write|getElementById|querySelector)\b.*
      | (?:var|let|const)\s++[\w$]++\s*+=.*;
      | (?:window|googletag|google_\w+|jQuery|gtag|ga|\$)\s*+[.(=\[].*;
      | \(?adsbygoogle\b.*
      | function\s*+\w*+\s*+\([^()]*+\)\s*+\{.*
      | (?=[()\[\];,]*+[{}])[{}()\[\];,]++
      | (?://[ \t]*+)?(?:<!--|-->|<!\[CDATA\[|\]\]>)
    )[ \t]*+(?=\n)""",
    re.VERBOSE,
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

# Marks of what `clean` repairs.
_DAMAGE = {
    "wrong encoding": (
        "\u00c3",
        "\u00e2\u20ac",
        "\x85",
        "\x91",
        "\x92",
        "\x93",
        "\x94",
        "\x96",
        "\x97",
    ),
    "invisible characters": ("\x00", "\u00ad", "\u200b", "\u2060", "\ufeff", "\ufffd"),
    "HTML": ("</", "<br", "<p>", "<!--", "&amp;", "&quot;", "&lt;", "&nbsp;", "&#"),
    "wiki markup": ("[[", "{{", "[edit", "=="),
    "scripts": ("document.write", "function ", "adsbygoogle"),
    "curly quotes and long dashes": ("\u2019", "\u201c", "\u2014", "\u2013", "\u2026"),
}


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


def count_words(cleaned: str) -> int:
    """The number of words of a cleaned text: faster than split(), as its blanks are single."""
    breaks = cleaned.count("\n") - cleaned.count("\n\n")
    return cleaned.count(" ") + breaks + 1 if cleaned else 0


def repairs(raw: str, cleaned: str) -> list[str]:
    """What `clean` has found in a text, in a few words each, as far as that is cheap to tell."""
    if raw == cleaned:
        return []
    return [
        damage
        for damage, marks in _DAMAGE.items()
        if any(mark in raw and mark not in cleaned for mark in marks)
    ]


def repair_example(raw: str, cleaned: str, damage: str) -> tuple[str, str] | None:
    """Some words that have what `repairs` found, before and after; None if they do not show it.

    Of what is invisible the code is shown.
    """
    at = min(raw.find(mark) for mark in _DAMAGE[damage] if mark in raw and mark not in cleaned)
    start, end = max(0, at - 30), at + 50
    words = raw[start:at].partition(" ")[2] if start else raw[:at]
    words += raw[at:end].rpartition(" ")[0] if " " in raw[at:end] and raw[end:] else raw[at:end]
    after = clean(words)
    if after == words.strip():
        return None
    before = " ".join(words.split("\n"))
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in before)
    return "".join(shown).strip(), " ".join(after.split())


def _clean_once(text: str) -> str:
    for line_break in _LINE_BREAKS:
        text = text.replace(line_break, "\n")
    if not text.isascii():
        text = "\n".join(map(_decode_anew, text.split("\n")))
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(f"&{entity[1]};"), text)
    text = _strip_html(text)
    text = _strip_wiki(text)
    text = _SCRIPT_LINE.sub("\n", f"\n{text}\n")
    if text.isascii():
        text = text.translate(_REPLACED_ASCII)
    else:
        text = _REPLACED.sub(lambda character: _PLAIN.get(character[0], ""), text)
        text = unicodedata.normalize("NFC", text)
    return _tidy_blanks(text.replace(DELIMITER, ""))


def _decode_anew(line: str) -> str:
    if line.isascii() or not _may_be_decoded_wrongly(line):
        return line
    fixed: str = ftfy.fix_text(line, _MOJIBAKE)
    return fixed


def _may_be_decoded_wrongly(line: str) -> bool:
    return bool(
        _ODD.search(line)
        or _DECODED_WRONGLY.fullmatch(line)
        or any(is_bad(stretch[0]) for stretch in UTF8_DETECTOR_RE.finditer(line))
    )


def _strip_html(text: str) -> str:
    if "<" not in text:
        return text
    text = _BLOCK_TAG.sub("\n", _strip_hidden(text))
    return _INLINE_TAG.sub("", text)


def _strip_hidden(text: str) -> str:
    kept, at = [], 0
    unclosed: set[str] = set()  # searched for once, not again from each that is opened
    for opened in _HIDDEN_HTML.finditer(text):
        kind = (opened[1] or opened[2]).lower()
        if opened.start() < at or kind in unclosed:
            continue
        if end := _HIDDEN_HTML_END[kind].search(text, opened.end()):
            kept.append(text[at : opened.start()])
            at = end.end()
        else:
            unclosed.add(kind)
    return "".join(kept) + text[at:]


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
    if "  " in text:
        text = re.sub("  +", " ", text)
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    return re.sub("\n\n\n+", "\n\n", text).strip()
