"""Telegram: ``result.json`` of Telegram Desktop, of one chat or of a whole account. Its web pages
are recognised, but not read."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from corpus.archive import File
from corpus.importers.json_values import field, text_field, values
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_OWNER = "personal_information.user_id"
_LISTS = ("", "chats.list.item.", "left_chats.list.item.")  # of a whole account there are two
_MESSAGES = tuple(f"{place}messages.item" for place in _LISTS)
_CHAT = tuple(f"{place}{key}" for place in _LISTS for key in ("name", "type", "id"))
_ACCOUNT_HEAD = re.compile(r'"personal_information"\s*:|"chats"\s*:\s*\{\s*"about"')
_CHAT_HEAD = re.compile(r'"type"\s*:\s*"\w+_(?:chat|group|supergroup|channel|messages)"')
_PAGE_HEAD = re.compile(rb'<title>Exported Data</title>.*class="page_wrap', re.DOTALL)


def recognises(file: File) -> bool:
    """Whether its head has an account's or a chat's kind, or is a page's: nobody else shall take
    other people's messages for a text."""
    if file.suffix == ".html":
        return _PAGE_HEAD.search(file.head()) is not None
    if file.suffix != ".json":
        return False
    head = file.head().decode(errors="replace")
    is_account = _ACCOUNT_HEAD.search(head) is not None and '"user_id"' in head
    return is_account or (_CHAT_HEAD.search(head) is not None and '"messages"' in head)


def read(file: File) -> Iterator[Item]:
    """The messages of all chats; whose they are is known where the whole account was saved."""
    if file.suffix == ".html":
        yield Broken(str(file.path), "is a web page: export it again as machine-readable JSON")
        return
    owner = ""
    chat: dict[str, str] = {}
    number = 0
    for found in values(file, _OWNER, *_CHAT, *_MESSAGES):
        if isinstance(found, Broken):
            yield found
            continue
        path, value = found
        if path == _OWNER:
            owner = text_field({"id": value}, "id")
        elif path in _CHAT:
            key = path.rpartition(".")[2]
            if number or key in chat:
                chat, number = {}, 0
            chat[key] = text_field({key: value}, key)
        else:
            number += 1
            if isinstance(value, dict):
                yield _item(value, chat, owner)
            else:
                yield Broken(f"{file.path}, message {number} of a chat", "is no message")


def _item(message: dict[str, object], chat: dict[str, str], owner: str) -> Item:
    text = _text(message.get("text")) or _text(message.get("text_entities"))
    if message.get("type") != "message":
        return Dropped("system message")
    if "forwarded_from" in message or "forwarded_from_id" in message:
        return Dropped("forwarded")
    if message.get("via_bot") or chat.get("type") == "bot_chat":
        return Dropped("bot")
    if not text:
        return Dropped("without text")
    return Message(
        conversation=chat.get("id") or chat.get("name") or "chat",  # names may change
        # A deleted account has no name; lower case, as no word of a text is to be taken for it.
        sender=text_field(message, "from").strip() or "deleted account",
        text=text,
        date=_date(message),
        mine=_is_mine(message, chat, owner),
    )


def _is_mine(message: dict[str, object], chat: dict[str, str], owner: str) -> bool | None:
    if chat.get("type") == "saved_messages":
        return True
    # Older exports have no "user" before the number.
    return text_field(message, "from_id").removeprefix("user") == owner if owner else None


def _text(value: object) -> str:
    """A text, or a list of texts and of objects that have one."""
    parts = value if isinstance(value, list) else [value]
    return "".join(
        part if isinstance(part, str) else text_field(part, "text") for part in parts
    ).strip()


def _date(message: dict[str, object]) -> datetime | None:
    seconds = field(message, "date_unixtime")
    try:
        if isinstance(seconds, int | str):
            return datetime.fromtimestamp(int(seconds), UTC)
        return datetime.fromisoformat(text_field(message, "date"))
    except (ValueError, OverflowError, OSError):
        return None


SOURCE = Source("telegram", "Telegram", recognises, read)
