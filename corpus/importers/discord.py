"""Discord: the data package that one asks for oneself, and channels saved by DiscordChatExporter
as JSON; those saved as web pages or as text are recognised, but not read."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC

from corpus.archive import READ_ERRORS, File
from corpus.importers.chronology import oldest_first
from corpus.importers.dates import from_iso
from corpus.importers.json_values import Value, field, text_field, values
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_CHANNEL_FOLDER = re.compile(r"c?\d{5,20}")
_PACKAGE_JSON = re.compile(r"\s*\[\s*(?:\]|\{[^{}]{0,200}\"(?:ID|Timestamp|Contents)\")")
_CSV_HEADER = "id,timestamp,contents"
_EXPORT = re.compile(r'\s*\{\s*"guild"\s*:.*?"channel"\s*:', re.DOTALL)
_EXPORT_UNREAD = {
    ".html": re.compile(r".*\bchatlog__", re.DOTALL),
    ".txt": re.compile(r"={20,}\s*\nGuild: .*\nChannel: "),
}
# What people write; all other types are the app's own words. Old versions wrote numbers.
_WRITTEN = ("", "Default", "Reply", "0", "19")
_DELETED = "Deleted User"
# https://discord.com/developers/docs/reference#message-formatting
_NAMED_ID = re.compile(r"<a?(:\w{1,32}:)\d{5,20}>|<(/[\w -]{1,100}):\d{5,20}>")
_ID = re.compile(r"<(?:@[!&]?|#)\d{5,20}> ?|<t:-?\d{1,20}(?::\w)?>")
_REMEMBERED = 10_000  # ids: the same message twice is never far apart


def _is_package(file: File) -> bool:
    """Whether it is a channel's messages, in whatever the folder above is called."""
    if not _CHANNEL_FOLDER.fullmatch(file.path.parent.name):
        return False
    head = file.head(4096).decode(errors="replace").removeprefix("\ufeff")
    if file.name == "messages.json":
        return _PACKAGE_JSON.match(head) is not None
    return file.name == "messages.csv" and head.lower().startswith(_CSV_HEADER)


def _read_package(file: File) -> Iterator[Item]:
    """The owner's messages; a package has nobody else's."""
    yield from oldest_first(_package_items(file))


def _package_items(file: File) -> Iterator[Item]:
    # The channel's id; its name may change, or be lost, from one package to the next.
    conversation = file.path.parent.name.removeprefix("c")
    records = _csv_records(file) if file.suffix == ".csv" else values(file, "item")
    for number, found in enumerate(records, start=1):
        if isinstance(found, Broken):
            yield found
        elif not isinstance(found.value, dict):
            yield Broken(f"{file.path}, message {number}", "is no message")
        elif text := _plain(text_field(found.value, "Contents")):
            yield Message(
                conversation=conversation,
                sender="me",
                text=text,
                date=from_iso(text_field(found.value, "Timestamp"), zone=UTC),
                mine=True,
            )
        else:
            yield Dropped("without text")


def _plain(content: str) -> str:
    """A text without the numbers of people, channels, emojis and times."""
    return _ID.sub("", _NAMED_ID.sub(r"\1\2", content)).strip()


def _csv_records(file: File) -> Iterator[Value | Broken]:
    with file.open() as stream:
        rows = csv.DictReader(
            io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        )
        while True:
            try:
                yield Value("", next(rows))
            except StopIteration:
                return
            except csv.Error as error:
                yield Broken(f"{file.path}, line {rows.line_num}", str(error))
            except READ_ERRORS as error:
                yield Broken(str(file.path), str(error))
                return


def _is_export(file: File) -> bool:
    """Whether it begins as DiscordChatExporter's files do: nobody else shall take other people's
    messages for a text."""
    begins = _EXPORT if file.suffix == ".json" else _EXPORT_UNREAD.get(file.suffix)
    if begins is None:
        return False
    head = file.head().decode(errors="replace").removeprefix("\ufeff")
    return begins.match(head) is not None


def _read_export(file: File) -> Iterator[Item]:
    """The channel's messages; the newest versions can save them newest first."""
    if file.suffix in _EXPORT_UNREAD:
        yield Broken(str(file.path), "is not read in this format: export it again as JSON")
        return
    yield from oldest_first(_export_items(file))


def _export_items(file: File) -> Iterator[Item]:
    conversation = file.path.stem
    seen = deque[str](maxlen=_REMEMBERED)
    seen_ids: set[str] = set()
    number = 0
    for found in values(file, "channel.id", "messages.item"):
        if isinstance(found, Broken):
            yield found
            continue
        path, value = found
        if path == "channel.id":
            conversation = text_field({"id": value}, "id") or conversation
        else:
            number += 1
            if not isinstance(value, dict):
                yield Broken(f"{file.path}, message {number}", "is no message")
                continue
            id = text_field(value, "id")
            if id and id in seen_ids:
                yield Dropped("there already")
                continue
            if len(seen) == _REMEMBERED:
                seen_ids.discard(seen[0])
            seen.append(id)
            seen_ids.add(id)
            yield _export_item(value, conversation)


def _export_item(message: object, conversation: str) -> Item:
    text = _plain(text_field(message, "content"))
    if text_field(message, "type") not in _WRITTEN:
        return Dropped("system message")
    if field(message, "author", "isBot") is True:
        return Dropped("bot")
    if field(message, "forwardedMessage") or text_field(message, "reference", "type") == "Forward":
        return Dropped("forwarded")
    if not text:
        return Dropped("without text")
    name = text_field(message, "author", "nickname") or text_field(message, "author", "name")
    if name in ("", _DELETED):
        name = _DELETED.lower()  # "Deleted" at a sentence's beginning is nobody's name
    return Message(
        conversation=conversation,
        sender=name,
        text=text,
        date=from_iso(text_field(message, "timestamp"), zone=UTC),
    )


PACKAGE = Source("discord", "Discord", _is_package, _read_package)
EXPORT = Source("discord-exporter", "DiscordChatExporter", _is_export, _read_export)
