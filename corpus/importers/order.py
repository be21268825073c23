"""Messages in the order of time."""

import json
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice, pairwise
from tempfile import SpooledTemporaryFile

from corpus.importers.source import Item, Message

_LOOKED_AT = 100  # items, to see which way the time goes
_IN_MEMORY = 16 << 20  # bytes


def oldest_first(items: Iterable[Item]) -> Iterator[Item]:
    """The items of one conversation, turned round where their messages begin with the newest.

    To be turned round, messages are laid aside on the disk.
    """
    rest = iter(items)
    head = list(islice(rest, _LOOKED_AT))
    everything = chain(head, rest)
    yield from _turned_round(everything) if _is_newest_first(head) else everything


def _is_newest_first(items: list[Item]) -> bool:
    dates = [
        item.date.replace(tzinfo=item.date.tzinfo or UTC)
        for item in items
        if isinstance(item, Message) and item.date
    ]
    steps = list(pairwise(dates))
    return sum(a > b for a, b in steps) > sum(a < b for a, b in steps)


def _turned_round(items: Iterable[Item]) -> Iterator[Item]:
    ends = array("Q", [0])
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as aside:
        for item in items:
            if not isinstance(item, Message):
                yield item
                continue
            date = item.date.isoformat() if item.date else None
            fields = (item.conversation, item.sender, item.text, date, item.mine)
            aside.write(json.dumps(fields).encode())
            ends.append(aside.tell())
        for number in range(len(ends) - 1, 0, -1):
            aside.seek(ends[number - 1])
            laid = aside.read(ends[number] - ends[number - 1])
            conversation, sender, text, date, mine = json.loads(laid)
            yield Message(
                conversation=conversation,
                sender=sender,
                text=text,
                date=datetime.fromisoformat(date) if date else None,
                mine=mine,
            )
