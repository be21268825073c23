"""Messages in the order they were sent, however many there are."""

import json
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice, pairwise
from tempfile import SpooledTemporaryFile

from corpus.importers.source import Item, Message

_IN_MEMORY = 1 << 24  # bytes of messages; more wait in a temporary file
_LOOKED_AT = 100  # items, to see which way the time goes


def in_time(items: Iterable[Item], *, newest_first: bool = False) -> Iterator[Item]:
    """The messages of one conversation by date; what is no message comes first.

    newest_first: the order of those that have the same date, or none.
    """
    places, times = array("q"), array("d")
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        time = 0.0
        for item in items:
            if not isinstance(item, Message):
                yield item
                continue
            # One without a date stays where it is.
            if item.date:
                time = (
                    item.date if item.date.tzinfo else item.date.replace(tzinfo=UTC)
                ).timestamp()
            places.append(spool.tell())
            times.append(time)
            fields = vars(item) | {"date": item.date and item.date.isoformat()}
            spool.write(json.dumps(fields).encode() + b"\n")
        order = range(len(places))
        for number in sorted(reversed(order) if newest_first else order, key=times.__getitem__):
            spool.seek(places[number])
            fields = json.loads(spool.readline())
            date = fields.pop("date")
            yield Message(date=datetime.fromisoformat(date) if date else None, **fields)


def oldest_first(items: Iterable[Item]) -> Iterator[Item]:
    """The items of one conversation; brought in order where their messages begin with the newest,
    and else as they are."""
    rest = iter(items)
    head = list(islice(rest, _LOOKED_AT))
    everything = chain(head, rest)
    yield from in_time(everything, newest_first=True) if _is_newest_first(head) else everything


def _is_newest_first(items: list[Item]) -> bool:
    dates = [
        item.date.replace(tzinfo=item.date.tzinfo or UTC)
        for item in items
        if isinstance(item, Message) and item.date
    ]
    steps = list(pairwise(dates))
    return sum(a > b for a, b in steps) > sum(a < b for a, b in steps)
