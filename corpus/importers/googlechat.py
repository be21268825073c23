"""Google Chat: ``Groups/DM X/messages.json`` and ``Groups/Space X/messages.json`` of a Takeout."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from corpus.archive import Archive, File
from corpus.importers.chronology import in_time
from corpus.importers.dates import from_english
from corpus.importers.json_values import mapping, text, values
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_START = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*\{\s*"messages"\s*:\s*\[')
# In lower case, as no word of a text is to be taken for a name.
_NOBODY = "unknown user"
_KEYS = re.compile(rb'"(?:creator|created_date|topic_id)"')


def recognises(file: File) -> bool:
    """Whether it begins as a group's messages do."""
    if file.name != "messages.json":
        return False
    head = file.head()
    return bool(_START.match(head) and _KEYS.search(head))


def read(file: File) -> Iterator[Item]:
    """Its messages, oldest first, as a space's threads may lie one after the other; whose the
    Takeout is stands in ``Users/User N/user_info.json``."""
    yield from in_time(_items(file))


def _items(file: File) -> Iterator[Item]:
    owners = _owners(file.archive)
    for found in values(file, "messages.item"):
        if isinstance(found, Broken):
            yield found
        elif not isinstance(found.value, dict):
            yield Broken(str(file.path), f"a message that is no object: {found.value!r:.50}")
        else:
            yield _message(found.value, file.path.parent.name or file.path.stem, owners)


def _message(entry: dict[str, Any], conversation: str, owners: frozenset[str]) -> Item:
    creator = mapping(entry.get("creator"))
    name, mail = text(creator.get("name")), text(creator.get("email"))
    body = text(entry.get("text"))
    if creator.get("user_type") == "Bot":
        return Dropped("bot")
    if entry.get("message_state") == "DELETED" or "deletion_metadata" in entry:
        return Dropped("deleted")
    if not body.strip():
        return Dropped("without text")
    return Message(
        conversation=conversation,
        sender=name or mail or _NOBODY,
        text=body,
        date=from_english(text(entry.get("created_date"))),
        mine=(mail or name).casefold() in owners if owners else None,
    )


@lru_cache(maxsize=1)
def _owners(archive: Archive) -> frozenset[str]:
    """The addresses and names of those whose Takeouts these are, case folded."""
    return frozenset(
        text(found.value).casefold()
        for file in archive.matching("*Users/*/user_info.json")
        for found in values(file, "user.email", "user.name")
        if not isinstance(found, Broken) and text(found.value)
    )


SOURCE = Source("googlechat", "Google Chat", recognises, read)
