"""Google Hangouts: ``Hangouts.json`` of a Takeout, as of 2017 and later, and as before."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from corpus.archive import File
from corpus.importers.chronology import in_time
from corpus.importers.dates import from_epoch
from corpus.importers.json_values import mapping, mappings, text, values
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_START = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*\{\s*(?:"continuation_end_timestamp"|"conversation)')
# In lower case, as no word of a text is to be taken for a name.
_NOBODY = "unknown user"
_CONVERSATIONS = (
    "conversations.item.conversation.conversation",
    "conversation_state.item.conversation_state.conversation",
)
_EVENTS = (
    "conversations.item.events.item",
    "conversation_state.item.conversation_state.event.item",
)


@dataclass
class _Conversation:
    name: str = "Hangouts"
    owner: str | None = None
    names: dict[str, str] = field(default_factory=dict)


def recognises(file: File) -> bool:
    """Whether it begins with conversations, as Google names what they have."""
    if file.suffix != ".json":
        return False
    head = file.head()
    return bool(_START.match(head)) and b'"conversation_id"' in head


def read(file: File) -> Iterator[Item]:
    """The messages of one conversation after the other."""
    for _, items in groupby(_items(file), lambda found: found[0]):
        yield from in_time(item for _, item in items)


def _items(file: File) -> Iterator[tuple[int, Item]]:
    """What there is, with the number of its conversation, which is described before its events."""
    conversation, number = _Conversation(), 0
    for found in values(file, *_CONVERSATIONS, *_EVENTS):
        if isinstance(found, Broken):
            yield number, found
        elif found.prefix in _CONVERSATIONS:
            conversation, number = _described(mapping(found.value)), number + 1
        elif not isinstance(found.value, dict):
            yield number, Broken(str(file.path), f"an event that is no object: {found.value!r:.50}")
        else:
            yield number, _message(found.value, conversation)


def _described(conversation: dict[str, Any]) -> _Conversation:
    state = mapping(conversation.get("self_conversation_state"))
    return _Conversation(
        text(mapping(conversation.get("id")).get("id")) or "Hangouts",
        _person(mapping(state.get("self_read_state")).get("participant_id")),
        {
            person: text(one.get("fallback_name"))
            for one in mappings(conversation.get("participant_data"))
            if (person := _person(one.get("id")))
        },
    )


def _message(event: dict[str, Any], conversation: _Conversation) -> Item:
    content = mapping(mapping(event.get("chat_message")).get("message_content"))
    if "chat_message" not in event:
        return Dropped("system message")
    body = _text(mappings(content.get("segment")))
    if not body.strip():
        return Dropped("without text")
    sender = _person(event.get("sender_id"))
    owner = conversation.owner
    return Message(
        conversation=conversation.name,
        sender=conversation.names.get(sender or "") or sender or _NOBODY,
        text=body,
        date=from_epoch(event.get("timestamp"), per_second=1_000_000),
        mine=sender == owner if owner else None,
    )


def _text(segments: Iterable[dict[str, Any]]) -> str:
    return "".join(
        "\n" if segment.get("type") == "LINE_BREAK" else text(segment.get("text"))
        for segment in segments
    )


def _person(id: object) -> str | None:
    ids = mapping(id)
    return text(ids.get("gaia_id")) or text(ids.get("chat_id")) or None


SOURCE = Source("hangouts", "Google Hangouts", recognises, read)
