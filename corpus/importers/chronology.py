"""Messages in the order they were sent, however many there are."""

import json
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile

from corpus.importers.source import Item, Message

_IN_MEMORY = 1 << 24  # bytes of messages; more wait in a temporary file


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
