"""Messages of conversations become scenes, which a model can learn dialogue from.

One's own lines begin with ``- ``, everybody else's with ``> ``: one paragraph for each run of
messages of one person.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from corpus.importers.source import Dropped, Message, Text

_GAP = 3 * 3600.0  # seconds of silence that end a scene
# Messages that are read before one is passed on: exports are out of order by a few.
_WINDOW = 500

# Names that say little of who bears them.
_PSEUDONYMS = (
    "Robin Alex Kim Sasha Charlie Jules Noor Toni Remy Quinn Luca Ari Mika Sam Nico Jona Mel Dani "
    "Kai Lou Andie Rene Yuki Bao Jo Max Pat Chris Dana Elia"
)


@dataclass
class Names:
    """Other names for people, the same ones throughout an import."""

    _names: dict[str, str] = field(default_factory=dict)

    def of(self, person: str) -> str:
        """Somebody's other name."""
        choice = _PSEUDONYMS.split()
        number = len(self._names)
        again = f" {number // len(choice) + 1}" if number >= len(choice) else ""
        return self._names.setdefault(person, choice[number % len(choice)] + again)

    def replace(self, text: str, people: list[str]) -> str:
        """text with the other names of people, wherever it has their whole or their first names."""
        others = {}
        for person in people:
            others[person] = self.of(person)
            first = person.split()[0] if person.split() else ""
            if len(first) > 2 and first[0].isupper():
                others.setdefault(first, others[person])
        words = sorted(filter(None, others), key=len, reverse=True)
        if not words:
            return text
        pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)"
        return re.sub(pattern, lambda found: others[found[0]], text)


@dataclass
class _Conversation:
    name: str
    waiting: list[tuple[float, int, Message]] = field(default_factory=list)  # a heap, by time
    scene: list[Message] = field(default_factory=list)
    people: dict[str, None] = field(default_factory=dict)
    time: float = 0.0
    read: int = 0


class Scenes:
    """The scenes of conversations that come one after the other.

    others: whether other people's lines may be shown. names: what they are called; None leaves
    names as they are.
    """

    def __init__(self, *, others: bool, names: Names | None) -> None:
        self._others = others
        self._names = names
        self._conversation = _Conversation("")

    def add(self, message: Message) -> Iterator[Text | Dropped]:
        """Takes a message, of which it is known whose it is; yields the scenes that have ended."""
        if message.conversation != self._conversation.name:
            yield from self.finish()
            self._conversation = _Conversation(message.conversation)
        now = self._conversation
        if not message.mine:
            now.people.setdefault(message.sender)
        time = _seconds(message.date) if message.date else now.time
        now.time, now.read = time, now.read + 1
        heapq.heappush(now.waiting, (time, now.read, message))
        if len(now.waiting) > _WINDOW:
            yield from self._pass_on()

    def finish(self) -> Iterator[Text | Dropped]:
        """The scenes that have not ended yet."""
        while self._conversation.waiting:
            yield from self._pass_on()
        yield from self._end_scene()

    def _pass_on(self) -> Iterator[Text | Dropped]:
        now = self._conversation
        _, _, message = heapq.heappop(now.waiting)
        last = now.scene[-1].date if now.scene else None
        if last and message.date and _seconds(message.date) - _seconds(last) > _GAP:
            yield from self._end_scene()
        now.scene.append(message)

    def _end_scene(self) -> Iterator[Text | Dropped]:
        now = self._conversation
        scene, now.scene = now.scene, []
        whose = {bool(message.mine) for message in scene}
        if self._others and len(whose) == 1:
            yield Dropped("one-sided scene")
            return
        if not self._others:
            for message in scene:
                if not message.mine:
                    yield Dropped("somebody else's")
        lines = self._lines([m for m in scene if m.mine or self._others])
        if lines:
            first = scene[0].date
            start = f"{first:%Y%m%d-%H%M%S}" if first else None
            yield Text(
                text="\n\n".join(lines),
                id=f"{now.name}-{start}" if start else None,
                date=first,
                mine=True,
            )

    def _lines(self, messages: list[Message]) -> list[str]:
        lines: list[str] = []
        speaker: tuple[bool, str] | None = None
        for message in messages:
            text = " ".join(message.text.split())
            if self._names:
                text = self._names.replace(text, list(self._conversation.people))
            own = bool(message.mine)
            if speaker == (own, "" if own else message.sender):
                lines[-1] += f" {text}"
            else:
                lines.append(("- " if own else "> ") * self._others + text)
            speaker = own, "" if own else message.sender
        return lines


def _seconds(date: datetime) -> float:
    return date.timestamp() if date.tzinfo else (date - datetime(1970, 1, 1)).total_seconds()
