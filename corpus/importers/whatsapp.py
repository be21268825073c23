"""WhatsApp: a chat as it is exported by hand, ``_chat.txt`` or ``WhatsApp Chat with NAME.txt``."""

import io
import re
from collections.abc import Iterator
from datetime import datetime

from corpus.archive import File
from corpus.importers.source import Dropped, Item, Message, Source

# "[31/12/20, 23:55:01] Name: text" on iPhones, "12/31/20, 11:55 PM - Name: text" on Android.
_STAMP = r"(\d{1,4})[/.-](\d{1,2})[/.-](\d{1,4}),? (\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?\s?([AaPp])?"
_LINE = re.compile(
    rf"\u200e?(?:\[{_STAMP}\.?[Mm]?\.?\]|{_STAMP}\.?\s?[Mm]?\.? -) (?:\u200e|~\s)?"
    r"(?:([^:\n]+?): )?(.*)"
)
_MEDIA = re.compile(
    r"\u200e?(?:<[^<>]*>|.* omitted|.*\((?:file attached|Datei angehängt)\)|null|"
    r"This message was deleted|You deleted this message)\.?\s*"
)
_EDITED = re.compile(r"\s*\u200e?<This message was edited>$")


def recognises(file: File) -> bool:
    """Whether one of its first lines is a message."""
    if file.suffix != ".txt":
        return False
    lines = file.head(4096).decode(errors="replace").removeprefix("\ufeff").splitlines()[:5]
    return any(_LINE.match(line) for line in lines)


def read(file: File) -> Iterator[Item]:
    """The messages; lines without a stamp go on with the message before."""
    day_first = _is_day_first(file)
    with file.open() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
        pending: tuple[datetime | None, str | None, list[str]] | None = None
        for line in lines:
            match = _LINE.match(line.rstrip("\n"))
            if match:
                if pending:
                    yield _item(file, *pending)
                pending = _date(match, day_first), match[15], [match[16]]
            elif pending:
                pending[2].append(line.rstrip("\n"))
        if pending:
            yield _item(file, *pending)


def _item(file: File, date: datetime | None, sender: str | None, lines: list[str]) -> Item:
    text = _EDITED.sub("", "\n".join(lines)).strip()
    if sender is None:
        return Dropped("system message")
    if _MEDIA.fullmatch(text):
        return Dropped("without text")
    return Message(
        conversation=file.path.stem,
        sender=sender.strip("\u200e\u202a\u202c~ "),
        text=text,
        date=date,
    )


def _numbers(match: re.Match[str]) -> list[str | None]:
    groups = match.groups()
    return list(groups[:7] if groups[0] else groups[7:14])


def _is_day_first(file: File) -> bool:
    """By the whole file: no month is above 12."""
    first = second = 0
    with file.open() as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace"):
            if match := _LINE.match(line):
                a, b, *_ = _numbers(match)
                first, second = max(first, int(a or 0)), max(second, int(b or 0))
    return second <= 12


def _date(match: re.Match[str], day_first: bool) -> datetime | None:
    a, b, c, hour, minute, second, half = _numbers(match)
    x, y, z = int(a or 0), int(b or 0), int(c or 0)
    if x > 31:
        year, month, day = x, y, z
    else:
        (day, month), year = ((x, y) if day_first else (y, x)), z
    hours = int(hour or 0)
    if half:
        hours = hours % 12 + 12 * (half in "Pp")
    try:
        return datetime(
            year + 2000 * (year < 100), month, day, hours, int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None


SOURCE = Source("whatsapp", "WhatsApp", recognises, read)
