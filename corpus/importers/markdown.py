"""Folders of Markdown, as Hugo, Jekyll, Obsidian and people keep them: CommonMark with front
matter in YAML (between ``---``) or TOML (between ``+++``)."""

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import yaml
from markdown_it import MarkdownIt

from corpus.archive import File
from corpus.importers.dates import from_iso
from corpus.importers.markup import decode_html, html_text
from corpus.importers.source import Broken, Dropped, Item, Source, Text
from corpus.importers.takeout import is_in_takeout

_LONGEST_FRONT = 1 << 16  # characters
_FRONT = re.compile(
    r"\s*(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_KEY = re.compile(r"^[\w-]+[ \t]*[:=]", re.MULTILINE)
# Code goes first: what looks like a mark in it is none.
_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*$"
    r"(?:.*?^ {0,3}(?P=fence)[`~]*[ \t]*$|.*\Z)",
    re.DOTALL | re.MULTILINE,
)
# Of Jekyll, Hugo and Hexo.
_HIGHLIGHTED = re.compile(
    r"\{[{%][<%-]?\s*(highlight|codeblock)\b(?:(?!\{[{%][<%-]?\s*\1\b).)*?"
    r"\{[{%][<%-]?\s*(?:end|/\s*)\1\b[^{}]*\}+",
    re.DOTALL,
)
# Hugo's shortcodes and Jekyll's tags; what stands between two of them is text. Attributes of
# paragraphs and headings.
_TEMPLATE = re.compile(
    r"\{\{[^{}]*\}\}|\{%[^{}]*%\}|\{:[^{}\n]*\}|[ \t]\{[#.][^{}\n]*\}[ \t]*$", re.MULTILINE
)
# Obsidian: embedded files, [[page|text]], [[page#heading]], %%comments%%, the mark of a block,
# ==marked==, what makes a quotation a callout, and lines of tags.
_EMBED = re.compile(r"!\[\[[^\[\]\n]*\]\]")
_NAMED_LINK = re.compile(r"\[\[[^\[\]|\n]*\|([^\[\]|\n]+)\]\]")
_WIKI_LINK = re.compile(r"\[\[([^\[\]|\n]+)\]\]")
_COMMENT = re.compile(r"%%.*?%%", re.DOTALL)
_BLOCK_MARK = re.compile(r"(?:^|[ \t])\^[\w-]+$", re.MULTILINE)
_MARKED = re.compile(r"(?<![\w=])==(?=\S)([^=\n]+)(?<=\S)==(?![\w=])")
_CALLOUT = re.compile(r"^((?:[ \t]*>)+)[ \t]*\[![^\]\n]+\][+-]?[ \t]*(.*)$", re.MULTILINE)
_TAGS = re.compile(r"^[ \t]*(?:#(?=[\d/-]*[^\W\d])[\w/-]+[ \t]*)+$", re.MULTILINE)
_TASK = re.compile(
    r"^([ \t]*(?:>[ \t]*)*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[[ xX/-]\][ \t]+", re.MULTILINE
)
# A footnote's number, and what begins its note.
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]+\]:?")

_RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_RENDERER.add_render_rule("fence", lambda *_: "")
_RENDERER.add_render_rule("code_block", lambda *_: "")
_RENDERER.add_render_rule("image", lambda *_: "")

_DEEPEST = 20
_BEGINS = (
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
)
_ENDS = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)

# Jekyll's names of files.
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)-(.+)")
# What PyYAML raises for one broken thing or the other.
_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    RecursionError,
)


class _FrontMatterError(Exception):
    """Front matter that is none, or that could be a bomb."""


def recognises(file: File) -> bool:
    """Whether its name says so; no program writes other files of these names."""
    return file.suffix in (".md", ".markdown", ".mdown", ".mkd") and b"\0" not in file.head()


def read(file: File) -> Iterator[Item]:
    """The text of a file, without code; drafts are not public, nor is what lies in a Takeout."""
    source = decode_html(file.read()).replace("\r\n", "\n")
    front = _FRONT.match(source)
    try:
        known = _front_matter(front[1], front[2]) if front else None
    except (_FrontMatterError, *_YAML_ERRORS) as error:
        if not front or "\n\n" not in front[2] or _KEY.search(front[2]):
            message = " ".join(str(error).split()) or type(error).__name__
            yield Broken(str(file.path), f"front matter: {message}")
            return
        known = None
    # What stands between two rules may be prose.
    text = _text(source[front.end() :] if front and known is not None else source)
    if not text:
        yield Dropped("without text")
        return
    known = known or {}
    named = _DATED.fullmatch(file.path.stem)
    title, author, url = (known.get(name) for name in ("title", "author", "canonicalURL"))
    yield Text(
        text=text,
        title=str(title) if title else named[2] if named else file.path.stem,
        date=_date(known.get("date")) or _date(named[1] if named else None),
        url=url if isinstance(url, str) else None,
        author=author if isinstance(author, str) else None,
        public=not (_is_draft(known) or "_drafts" in file.path.parts or is_in_takeout(file)),
    )


def _is_draft(known: dict[str, Any]) -> bool:
    """As Hugo, Jekyll or Obsidian Publish say it."""
    draft, *published = (
        str(known.get(name)).casefold() for name in ("draft", "published", "publish")
    )
    return draft == "true" or "false" in published


def _front_matter(fence: str, source: str) -> dict[str, Any] | None:
    if len(source) > _LONGEST_FRONT:
        raise _FrontMatterError(f"longer than {_LONGEST_FRONT:,} characters")
    if fence == "+++":
        return tomllib.loads(source)
    depth = 0
    for token in yaml.scan(source):
        # A few lines of aliases of aliases would fill the memory; deep nesting takes hours.
        if isinstance(token, yaml.AliasToken):
            raise _FrontMatterError("YAML with aliases is not read for safety")
        depth += isinstance(token, _BEGINS) - isinstance(token, _ENDS)
        if depth > _DEEPEST:
            raise _FrontMatterError("YAML nested too deep")
    known = yaml.safe_load(source)
    return known if isinstance(known, dict) else None if known else {}


def _text(source: str) -> str:
    for pattern, replacement in (
        (_FENCE, ""),
        (_HIGHLIGHTED, ""),
        (_TEMPLATE, ""),
        (_COMMENT, ""),
        (_EMBED, ""),
        (_NAMED_LINK, r"\1"),
        (_FOOTNOTE, ""),
        (_BLOCK_MARK, ""),
        (_MARKED, r"\1"),
        (_CALLOUT, r"\1 \2\n\1"),
        (_TAGS, ""),
        (_TASK, r"\1"),
    ):
        source = pattern.sub(replacement, source)
    source = _WIKI_LINK.sub(_shown, source)
    return html_text(_RENDERER.render(source))


def _shown(link: re.Match[str]) -> str:
    """What Obsidian shows of a link to a page, its heading or its block."""
    return link[1].partition("#^")[0].strip("#").replace("#", " > ")


def _date(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    # Jekyll has a blank before the zone, which ISO 8601 has not.
    return from_iso(re.sub(r" (?=[+-]\d)", "", str(value).strip()))


SOURCE = Source("markdown", "Markdown", recognises, read)
