"""Messenger and Instagram's messages: ``message_1.json`` of a conversation's folder, the separate
download of end-to-end encrypted chats (``NAME.json``), and the web pages of before 2018
(``messages.htm``).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

from lxml import etree

from corpus.archive import READ_ERRORS, Archive, File
from corpus.importers.chronology import in_time
from corpus.importers.dates import from_english, from_epoch
from corpus.importers.facebook import repaired
from corpus.importers.json_values import mapping, text, values
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_READ_BYTES = 1 << 16
_START = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*\{\s*"(?:participants|threadName)"\s*:')
_PART = re.compile(r"message_(\d+)\.json")
_HTML_CLASSES = (b'class="thread"', b'class="message_header"')
# Where a download names its owner.
_OWNER_FILES = {
    "*profile_information.json": ("profile_v2.name.full_name", "profile.name.full_name"),
    "*autofill_information.json": ("autofill_information_v2.FULL_NAME.item",),
    "*personal_information.json": ("profile_user.item.string_map_data.Name.value",),
}
_GENERIC_TYPES = ("Generic", "Share", "text", "media", "link")
_BOILERPLATE = re.compile(
    r"Reacted .{1,20} to your message|Liked a message|"
    r"(?!.{0,60}\bI\b).{1,80} (?:sent an attachment|"
    r"missed (?:your|a|an) .{0,20}\bcall(?: from .{1,80})?)\.|"
    r"You sent an? .{1,30}\.|You are now connected on Messenger\.?|"
    r"Say hi to your new Facebook friend, .{1,80}|"
    r"You (?:named the group|left the group|created (?:the group|a poll)|(?:un)?pinned a message|"
    r"(?:set|cleared) (?:the|your) (?:nickname|emoji|quick reaction)|"
    r"changed the (?:chat theme|theme|group photo)|(?:joined|started) an? (?:video )?(?:call|chat)|"
    r"(?:added|removed) .{1,80} (?:to|from) the group)\b.{0,120}|"
    r"Hat mit .{1,20} auf deine Nachricht reagiert|Du hast einen Anhang gesendet\.|"
    r"A réagi (?:avec |par )?.{1,20} à votre message|A aimé un message|"
    r"Vous avez envoyé une pièce jointe\.|"
    r"Reaccionó con .{1,20} a tu mensaje|Le gustó un mensaje|Enviaste un archivo adjunto\.|"
    r"Ha reagito con .{1,20} al tuo messaggio|Hai inviato un allegato\.|"
    r"Reagiu com .{1,20} (?:à sua|à tua|a sua) mensagem|Curtiu uma mensagem|"
    r"Você enviou um anexo\.|Enviaste um anexo\.|"
    r"Heeft .{1,30} gereageerd op je bericht|Je hebt een bijlage (?:verzonden|gestuurd)\."
)
# What follows a name; East Asian languages have no blank there.
_NEWS = re.compile(r"[ \u3000-\uffff][^\n]{1,200}[.\u3002]")
# What Meta calls an account that is gone: "Facebook user", "Utilisateur Instagram".
_GONE = re.compile(r"\b(?:Facebook|Instagram)\b")
# In lower case, as no word of a text is to be taken for a name.
_NOBODY = "deleted account"


def recognises(file: File) -> bool:
    """Whether it begins with the participants, or is a page with threads."""
    if file.suffix in (".htm", ".html"):
        head = file.head()
        return all(part in head for part in _HTML_CLASSES)
    if file.suffix != ".json":
        return False
    head = file.head()
    return bool(_START.match(head)) and b'"messages"' in head


def read(file: File) -> Iterator[Item]:
    """Its messages, oldest first. The parts of one conversation are read with the first of them."""
    if file.suffix != ".json":
        yield from _read_html(file)
    elif parts := list(_parts(file)):
        is_part = _PART.fullmatch(file.name)
        name = file.path.parent.name if is_part and file.path.parent.name else file.path.stem
        items = (item for part in parts for item in _read_json(part, name))
        yield from in_time(items, newest_first=True)


def _parts(file: File) -> Iterator[File]:
    """``message_1.json`` has the newest messages, ``message_2.json`` those before."""
    match = _PART.fullmatch(file.name)
    number = int(match[1]) if match else 0
    if match and file.sibling(f"message_{number - 1}.json"):
        return
    part: File | None = file
    while part:
        yield part
        number += 1
        part = file.sibling(f"message_{number}.json") if match else None


def _read_json(file: File, conversation: str) -> Iterator[Item]:
    owners = _owners(file.archive)
    people: set[str] = set()
    for found in values(file, "participants.item", "messages.item"):
        if isinstance(found, Broken):
            yield found
        elif found.prefix == "participants.item":
            people.add(repaired(mapping(found.value).get("name")) or text(found.value))
        elif not isinstance(found.value, dict):
            yield Broken(str(file.path), f"a message that is no object: {found.value!r:.50}")
        else:
            known = owners & people if people else owners
            yield _message(found.value, conversation, known)


def _message(entry: dict[str, Any], conversation: str, owners: frozenset[str]) -> Item:
    if entry.get("is_unsent") or entry.get("isUnsent"):
        return Dropped("deleted")
    kind = entry.get("type", "Generic")
    if "call_duration" in entry or kind not in _GENERIC_TYPES:
        return Dropped("system message")
    # Encrypted chats are real UTF-8.
    is_encrypted = "senderName" in entry or "text" in entry
    body = text(entry.get("text")) if is_encrypted else repaired(entry.get("content"))
    sender = text(entry.get("senderName")) if is_encrypted else repaired(entry.get("sender_name"))
    if not body.strip():
        return Dropped("without text")
    if _BOILERPLATE.fullmatch(body.strip()) or _is_about(sender, body.strip()):
        return Dropped("boilerplate")
    moment = entry.get("timestamp") if is_encrypted else entry.get("timestamp_ms")
    return Message(
        conversation=conversation,
        sender=_name(sender),
        text=body,
        date=from_epoch(moment, per_second=1000),
        mine=sender in owners if owners else None,
    )


def _name(sender: str) -> str:
    return _NOBODY if not sender or _GONE.search(sender) else sender


def _is_about(sender: str, body: str) -> bool:
    """Whether it is a sentence that begins with the sender's own name, such as "Ada Lovelace named
    the group The Engine.": so Meta tells, in all languages, what people did."""
    return len(sender) > 2 and body.startswith(sender) and bool(_NEWS.fullmatch(body, len(sender)))


@lru_cache(maxsize=1)
def _owners(archive: Archive) -> frozenset[str]:
    """The names of those whose downloads these are."""
    names = (
        repaired(found.value)
        for pattern, prefixes in _OWNER_FILES.items()
        for file in archive.matching(pattern)
        for found in values(file, *prefixes)
        if not isinstance(found, Broken)
    )
    return frozenset(filter(None, names))


def _read_html(file: File) -> Iterator[Item]:
    for _, items in groupby(_html_messages(file), lambda found: found[0]):
        yield from in_time((item for _, item in items), newest_first=True)


def _html_messages(file: File) -> Iterator[tuple[int, Item]]:
    """What there is, with the number of its thread. A message is a ``div.message`` with who and
    when, and the ``p`` after it; the owner's name is the page's heading."""
    owner = sender = people = ""
    date: datetime | None = None
    body: list[str] | None = None
    threads = 0

    def message() -> Item:
        written = "\n".join(filter(None, body or ()))
        if not written:
            return Dropped("without text")
        return Message(
            conversation=f"{people or file.path.stem} {threads}",
            sender=_name(sender),
            text=written,
            date=date,
            mine=sender == owner if owner and owner in people else None,
        )

    try:
        for event, element in _html_events(file):
            kind = element.get("class")
            if event == "start":
                if kind in ("thread", "message") and body is not None:
                    yield threads, message()
                    body = None
                threads += kind == "thread"
            elif element.tag == "h1":
                owner = _words(element)
            elif kind == "user":
                sender = _words(element)
            elif kind == "meta":
                date = from_english(_words(element))
            elif kind == "message":
                body = []
                people = " ".join((element.getparent().text or "").split())
                _forget(element)
            elif element.tag == "p" and body is not None:
                body.append(_words(element))
                _forget(element)
    except READ_ERRORS as error:
        yield threads, Broken(str(file.path), str(error) or type(error).__name__)
    if body is not None:
        yield threads, message()


def _html_events(file: File) -> Iterator[tuple[str, "etree._Element"]]:
    tags = ("h1", "div", "span", "p")
    parser = etree.HTMLPullParser(("start", "end"), tag=tags, encoding="utf-8", huge_tree=True)
    with file.open() as stream:
        for block in iter(lambda: stream.read(_READ_BYTES), b""):
            parser.feed(block)
            yield from parser.read_events()
    with suppress(etree.LxmlError):  # of a page without any element
        parser.close()
    yield from parser.read_events()


def _forget(element: "etree._Element") -> None:
    """The element and all before it in its thread leave the memory."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _words(element: "etree._Element") -> str:
    return " ".join(" ".join(element.itertext()).split())


SOURCE = Source("messenger", "Messenger", recognises, read)
