"""Google Keep: a note of a Takeout, one JSON file each."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from corpus.archive import File
from corpus.importers.dates import from_epoch
from corpus.importers.json_values import mapping, mappings, text, values
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_START = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*\{")


def recognises(file: File) -> bool:
    """Whether it says when somebody edited it, and whether it is in the trash, as notes do."""
    if file.suffix != ".json":
        return False
    head = file.head()
    keys = (b'"isTrashed"', b'"userEditedTimestampUsec"')
    return bool(_START.match(head)) and all(key in head for key in keys)


def read(file: File) -> Iterator[Item]:
    """The note, which is one's own and not public; archived ones, too."""
    for found in values(file, ""):
        yield found if isinstance(found, Broken) else _note(mapping(found.value))


def _note(note: dict[str, Any]) -> Item:
    if note.get("isTrashed"):
        return Dropped("deleted")
    lines = [text(one.get("text")) for one in mappings(note.get("listContent"))]
    body = "\n\n".join(filter(None, (text(note.get("textContent")), "\n".join(lines))))
    if not body.strip():
        return Dropped("without text")
    moment = note.get("createdTimestampUsec") or note.get("userEditedTimestampUsec")
    return Text(
        text=body,
        id=f"{moment}-{blake2b(body.encode(errors='replace'), digest_size=6).hexdigest()}",
        title=text(note.get("title")) or None,
        date=from_epoch(moment, per_second=1_000_000),
        mine=True,
        public=False,
    )


SOURCE = Source("keep", "Google Keep", recognises, read)
