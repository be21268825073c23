"""Reddit: posts and comments, of one's own data request (``comments.csv``, ``posts.csv``), of
Pushshift's dumps (JSON lines, often .zst) and of BigQuery (CSV, JSON lines or a JSON list).

The fields: https://github.com/pushshift/api. A comment has a ``body``, a post ``selftext``.
"""

import csv
import html
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, TypeAlias

import zstandard

from corpus.archive import File
from corpus.importers.json_values import text, values
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_SITE = "https://www.reddit.com"
_MAX_WINDOW = 1 << 31  # bytes: what Pushshift compresses with
_LONGEST_LINE = 16 << 20  # bytes
_JSON_SUFFIXES = ("", ".json", ".jsonl", ".ndjson")

_TEXTS = frozenset(("body", "selftext"))
_PLACES = frozenset(("subreddit", "subreddit_id", "link_id"))
# Nothing else of a CSV is looked at: a data request has the IP addresses that one wrote from.
_FIELDS = _TEXTS | _PLACES
_FIELDS |= {"id", "name", "title", "author", "created_utc", "date", "score", "permalink"}
_FIELDS |= {"distinguished", "stickied", "subreddit_type", "is_self", "url"}
# Of a data request, what was never sent.
_UNSENT = ("drafts.csv", "scheduled_posts.csv")

_GONE = ("[deleted]", "[removed]", "[ removed by reddit ]", "[deleted by user]", "[unavailable]")
_BOT_NAME = re.compile(r"AutoModerator|.*(?:[_-][Bb]ot|[a-z0-9]Bot|BOT)")
_BOT_WORDS = re.compile(r"\bI(?:['\u2019]| a)?m a bot\b|\bbeep,? boop\b", re.IGNORECASE)

_Entry: TypeAlias = Mapping[str, object]


def recognises(file: File) -> bool:
    """Whether its first entry has Reddit's fields."""
    head = file.head()
    if file.suffix == ".zst":
        head = _decompressed(head)
    elif file.suffix == ".csv":
        header = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
        return _has_fields(set(header.rstrip("\r").replace('"', "").split(",")))
    elif file.suffix not in _JSON_SUFFIXES:
        return False
    start = head.decode("utf-8-sig", errors="replace")
    keys = set(re.findall(r'"(\w+)"\s*:', start))
    return bool(re.match(r"\s*\[?\s*\{", start)) and _has_fields(keys)


def read(file: File) -> Iterator[Item]:
    """Its posts and comments; those of a data request are one's own."""
    is_unsent = file.name in _UNSENT
    for entry in _entries(file):
        yield entry if isinstance(entry, Broken) else _item(entry, is_unsent=is_unsent)


def plain_text(markdown: str, *, quotes: bool = True) -> str:
    """What a reader sees of Reddit's Markdown, without notes on edits at its end.

    quotes: whether what is quoted stays.
    """
    body = html.unescape(html.unescape(markdown)).replace("\r\n", "\n").replace("\u200b", "")
    body = _QUOTED.sub(r"\n\1" if quotes else "", _SPOILER.sub(r"\1", f"\n{body}"))
    for mark, pattern, plain in _REDUCTIONS:
        if mark in body:
            body = pattern.sub(plain, body)
    body = body.strip()
    while (without := _EDIT.sub("", body)) != body:
        body = without
    body = "\n".join(map(str.rstrip, body.split("\n")))
    return re.sub(r"\n\n\s*", "\n\n", body).strip()


# Bounded repetitions: without an end, a text of nothing but openings would take quadratic time.
_SPOILER = re.compile(r">!([^\n]{0,2000}?)!<")
_QUOTED = re.compile(r"\n[ \t]*>[> \t]*(.*)")
_STARS = re.compile(r"(?<!\\)(\*{1,3}|~~)(?=[^\s*~])([^\n]{0,2000}?[^\s\\])\1")
_LINK = re.compile(
    r"(!?)(?<!\\)\[((?:[^\[\]\\]|\\.|\[[^\[\]]{0,200}\]){0,500})\]"
    r"(?: (?=\( ?https?:))?\(\s{0,9}"
    r"(?:[^()\s]|\([^()\s]{0,200}\)){0,2000}(?:\s+\"[^\"\n]{0,200}\")?\s{0,9}\)"
)
_REDUCTIONS = (
    ("[", _LINK, lambda link: "" if link[1] else link[2]),
    ("\n#", re.compile(r"\n#{1,6}[ \t]*(?=\S)"), "\n"),
    ("---", re.compile(r"\n[ \t]*-[- \t]*(?=\n|\Z)"), "\n"),
    ("*", re.compile(r"\n[ \t]*(?:[*_][ \t]*){3,}(?=\n|\Z)"), "\n"),
    ("://", re.compile(r"\n[ \t]*<?https?://\S+[ \t]*(?=\n|\Z)"), "\n"),
    ("View Poll", re.compile(r"\n[ \t]*View Poll[ \t]*(?=\n|\Z)"), "\n"),
    ("*", _STARS, r"\2"),
    ("*", _STARS, r"\2"),  # in each other
    ("~~", _STARS, r"\2"),
    ("_", re.compile(r"(?<![\w\\])(_{1,3})(?=[^\s_])([^\n]{0,2000}?[^\s\\])\1(?!\w)"), r"\2"),
    ("^", re.compile(r"(?<![\w^])\^+(?=[^\W_]|\()"), ""),
    ("\\", re.compile(r"\\([\\`*_{}\[\]()#+.!~^>|-])"), r"\1"),
)
_EDIT = re.compile(
    r"\n[^\w\n]*edit(?:ed|s)?\b[^\w\n]*(?:\d{1,3}|one|two|three)?[^\w\n]{0,9}[:=\u2013\u2014-]"
    r"[^\n]*(?:\n[^\n]+)*\s*\Z",
    re.IGNORECASE,
)


def _has_fields(names: set[str]) -> bool:
    return bool(names & _TEXTS and names & _PLACES)


def _entries(file: File) -> Iterator[_Entry | Broken]:
    if file.suffix == ".csv":
        yield from _rows(file)
    elif file.suffix == ".zst":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        try:
            with (
                file.open() as stream,
                decompressor.stream_reader(stream, read_across_frames=True) as inside,
            ):
                yield from _lines(file, io.BufferedReader(inside))
        except zstandard.ZstdError as error:
            yield Broken(str(file.path), f"cannot be decompressed: {error}")
    elif re.match(rb"(?:\xef\xbb\xbf)?\s*\[", file.head()):
        yield from _list(file)
    else:
        with file.open() as stream:
            yield from _lines(file, stream)


def _rows(file: File) -> Iterator[_Entry | Broken]:
    with file.open() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        # csv joins the parts of a quoted line; its own limit on fields is far above Reddit's.
        reader = csv.reader(iter(lambda: lines.readline(_LONGEST_LINE), ""))
        header: list[str] = []
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Broken(f"{file.path}, line {reader.line_num}", str(error))
                continue
            if not header:
                header = row
            elif row and len(row) != len(header):
                what = f"{len(row)} fields where the header has {len(header)}"
                yield Broken(f"{file.path}, line {reader.line_num}", what)
            elif row:
                yield {name: row[i] for i, name in enumerate(header) if name in _FIELDS}


def _list(file: File) -> Iterator[_Entry | Broken]:
    for number, found in enumerate(values(file, "item"), start=1):
        if isinstance(found, Broken):
            yield found
        elif isinstance(found.value, dict):
            yield found.value
        else:
            yield Broken(f"{file.path}, item {number}", "is no JSON object")


def _lines(file: File, stream: IO[bytes]) -> Iterator[_Entry | Broken]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        place = f"{file.path}, line {number}"
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(_LONGEST_LINE)
            yield Broken(place, "is too long for an entry")
            continue
        raw = line.decode(errors="replace").removeprefix("\ufeff").strip()
        if not raw:
            continue
        try:
            entry = json.loads(raw)
        except (ValueError, RecursionError) as error:
            yield Broken(place, f"is no JSON: {error}")
        else:
            yield entry if isinstance(entry, dict) else Broken(place, "is no JSON object")


def _decompressed(head: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    try:
        return decompressor.stream_reader(io.BytesIO(head)).read(len(head))
    except zstandard.ZstdError:
        return b""


def _item(entry: _Entry, *, is_unsent: bool) -> Item:
    is_post = "selftext" in entry or "title" in entry
    # A data request has "body" for both.
    raw = text(entry.get("selftext")) or text(entry.get("body"))
    author = text(entry.get("author"))
    if author in _GONE or raw.strip().casefold() in _GONE:
        return Dropped("deleted")
    if _is_true(entry.get("stickied")) or entry.get("distinguished") in ("moderator", "admin"):
        return Dropped("bot" if author == "AutoModerator" else "by a moderator")
    title = html.unescape(text(entry.get("title"))).strip()
    written = plain_text(raw, quotes=is_post)
    if _is_bot(author, written):
        return Dropped("bot")
    if not raw.strip() and _is_self_post(entry):
        written = title  # as in r/Showerthoughts, where that is the whole post
    if not written:
        return Dropped("without text")
    url = _url(entry)
    community = re.search(r"/r/([\w-]+)/", url)
    return Text(
        text=written,
        id=_name(entry, "t3" if is_post else "t1"),
        title=title or None,
        date=_date(entry),
        url=url or None,
        author=author or None,
        mine=True if is_unsent or ("created_utc" not in entry and "date" in entry) else None,
        public=not is_unsent and entry.get("subreddit_type") != "private",
        community=text(entry.get("subreddit")) or (community[1] if community else None),
        score=_score(entry.get("score")),
    )


def _is_self_post(entry: _Entry) -> bool:
    """Whether it is no link to somewhere else, whose title says little."""
    if "is_self" in entry:
        return _is_true(entry["is_self"])
    url = entry.get("url")
    return isinstance(url, str) and (not url or "/comments/" in url)


def _is_bot(author: str, written: str) -> bool:
    if _BOT_NAME.fullmatch(author) or "this action was performed automatically" in written:
        return True
    return author.casefold().endswith("bot") and bool(_BOT_WORDS.search(written))


def _name(entry: _Entry, kind: str) -> str | None:
    name, id = text(entry.get("name")), text(entry.get("id"))
    if re.fullmatch(r"t[13]_\w+", name):
        return name
    return f"{kind}_{id}" if id else None


def _url(entry: _Entry) -> str:
    permalink = text(entry.get("permalink"))
    post, id = text(entry.get("link_id")).removeprefix("t3_"), text(entry.get("id"))
    if not permalink and post and id:
        permalink = f"/comments/{post}/_/{id}"
    return f"{_SITE}{permalink}" if permalink.startswith("/") else permalink


def _date(entry: _Entry) -> datetime | None:
    seconds = entry.get("created_utc")
    try:
        if isinstance(seconds, int | float | str):
            return datetime.fromtimestamp(float(seconds), UTC)
        date = text(entry.get("date")).removesuffix(" UTC")
        return datetime.strptime(date, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _score(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _is_true(value: object) -> bool:
    return value is True or text(value).casefold() == "true"


SOURCE = Source("reddit", "Reddit", recognises, read)
