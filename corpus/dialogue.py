"""Messages of conversations become scenes, which a model can learn dialogue from.

One's own lines begin with ``- ``, everybody else's with ``> ``: one paragraph for each run of
messages of one person.
"""

import heapq
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from itertools import chain, count
from typing import TypeAlias
from unicodedata import normalize

from corpus.importers.source import Dropped, Message, Text

_GAP = 3 * 3600.0  # seconds of silence that end a scene
_LONGEST = 1000  # messages of a scene: without dates, or silence, there would be no end
# Messages that are read before one is passed on: exports are out of order by a few.
_WINDOW = 500

# Names that say little of who bears them.
_PSEUDONYMS = (
    "Robin Alex Kim Sasha Charlie Jules Noor Toni Remy Quinn Luca Ari Mika Sam Nico Jona Mel Dani "
    "Kai Lou Andie Rene Yuki Bao Jo Max Pat Chris Dana Elia"
)
# Names that are words when they are written small, in a few languages.
_WORDS = (
    "admin all amber and angel any april archer are art ash august autumn baker basil bay bear "
    "bella bill bishop blanca blanche bliss bob bot brook brooke bruno buck bud but can candy "
    "carol case cash cat chance charity chase cherry chip chuck claire clara clay cliff constance "
    "cookie cooper coral cruz crystal dad daisy dale dan dawn dean destiny dick dog dolly don dot "
    "drew duke dusty earl eden else ernst eve faith fern fleur flora for forest franco frank "
    "friend game gene ginger girl glen gold good grace grant guest guy harmony harper haven hazel "
    "heath heather her here him his holly home honey hope hunter iris ivory ivy jack jade jasmine "
    "jay jean jewel joy june just justice kai ken king kit lance liberty life like lily linda "
    "love luna luz major mama man mar mare marina marine mark marshall martin mason max may mayo "
    "me melody mercedes mercy merry mike miles miller misty mom moon more mum never nick night no "
    "nobody none norm not nothing now ok okay olive one only opal other page pansy papa parker "
    "pat patience paz pearl peg penny people pepper pierce pierre pilar piper pizza poppy prince "
    "princess rain random ray real red reed rich river rob robin rocky rod rosa rose rosemary "
    "ruby rusty sage sally salvador sandy serena she shell sierra sky sol some someone star "
    "stella sterling stone storm sue summer sun sunny tanner taylor team that the them there they "
    "this today trinity tucker user van vera victoire victor viola violet wade ward was we what "
    "who why will willow wolf woman woody world yes you"
)
# What stands before a name, or for one.
_TITLES = (
    "the some any not one my our your his her just only real little big old young new mr mrs ms "
    "miss dr prof sir lady lord uncle aunt auntie grandma grandpa mom mum dad mama papa mother "
    "father brother sister team group family user admin bot deleted unknown daily herr frau dein "
    "mein das der die tante onkel oma opa monsieur madame mme mlle les don san saint los las"
)
_WORD_SET = frozenset(_WORDS.split())
_TITLE_SET = frozenset(_TITLES.split())
_WORD = re.compile(r"\w+")

People: TypeAlias = dict[str, dict[str, bool]]
"""Of each conversation, who writes in it, and whether that is the archive's owner."""


class Names:
    """Other names for people, the same ones throughout an import."""

    def __init__(self) -> None:
        self._given: dict[str, list[str]] = {}
        self._passed_over: list[str] = []
        self._fresh = (
            name if number == 1 else f"{name} {number}"
            for number in count(1)
            for name in _PSEUDONYMS.split()
        )

    def of(self, person: str, real: Set[str] = frozenset()) -> str:
        """Somebody's other name, which is none of some real ones, case folded.

        It is another than before only where somebody really has that one.
        """
        given = self._given.setdefault(person, [])
        name = next(name for name in chain(given, self._free()) if name.casefold() not in real)
        if name not in given:
            given.append(name)
            self._passed_over.remove(name)
        return name

    def _free(self) -> Iterator[str]:
        yield from self._passed_over
        for name in self._fresh:
            self._passed_over.append(name)
            yield name


class _Speakers:
    """Who takes part in a conversation, and how they are spoken of."""

    def __init__(self, people: Mapping[str, bool]) -> None:
        self._real: set[str] = set()
        self._forms: dict[str, dict[str, str]] = {}  # by their first words, the longest first
        for sender, mine in people.items():
            self._add(sender, mine=mine)
        for word, forms in self._forms.items():
            self._forms[word] = dict(sorted(forms.items(), key=lambda pair: -len(pair[0])))

    def _add(self, sender: str, *, mine: bool) -> None:
        """The real name of the owner stays, and is given to nobody else."""
        name = re.sub(r"^\W+|\W+$", "", normalize("NFC", sender))
        self._real |= {name.casefold(), *_WORD.findall(name.casefold())}
        if mine or not any(c.isalpha() for c in name):
            return
        first = re.sub(r"\W+$", "", name.split()[0])
        is_name = len(first) > 2 and first[0].isupper() and first.casefold() not in _TITLE_SET
        for form in chain(_forms(name), _forms(first) if is_name else ()):
            self._forms.setdefault(_first_word(form), {}).setdefault(form, sender)

    def renamed(self, text: str, names: Names) -> str:
        """text with other names for whole and for first names; never inside words."""
        pieces: list[str] = []
        done = 0
        for word in _WORD.finditer(text):
            start = word.start()
            forms = self._forms.get(word[0], {}) if start >= done else {}
            for form, person in forms.items():
                end = start + len(form)
                if text.startswith(form, start) and not _WORD.match(text, end):
                    pieces += text[done:start], names.of(person, self._real)
                    done = end
                    break
        return "".join((*pieces, text[done:]))


def _forms(name: str) -> Iterator[str]:
    """A name as people write it in chats, large or small; but "will" is hardly Will."""
    is_word = all(word in _WORD_SET for word in name.casefold().split())
    if len(name) > 1 and not (is_word and name.islower()):
        yield name
    if len(name) > 2 and not is_word:
        yield from (name.lower(), name.upper())
        if name.islower():
            yield name.capitalize()


def _first_word(form: str) -> str:
    found = _WORD.match(form)
    return found[0] if found else ""


@dataclass
class _Conversation:
    name: str
    people: Mapping[str, bool]
    waiting: list[tuple[float, int, Message]] = field(default_factory=list)  # a heap, by time
    scene: list[Message] = field(default_factory=list)
    read: int = 0
    time_read: float = 0.0
    time_passed_on: float = 0.0

    def __post_init__(self) -> None:
        self.speakers = _Speakers(self.people)
        self.has_others = not all(self.people.values())


class Scenes:
    """The scenes of conversations that come one after the other.

    people: who writes in them, all of whom are known before they speak. others: whether other
    people's lines may be shown. names: what they are called; None leaves names as they are.
    """

    def __init__(self, people: People, *, others: bool, names: Names | None) -> None:
        self._people = people
        self._others = others
        self._names = names
        self._conversation = _Conversation("", {})

    def add(self, message: Message) -> Iterator[Text | Dropped]:
        """Takes a message, of which it is known whose it is; yields the scenes that have ended."""
        if message.conversation != self._conversation.name:
            yield from self.finish()
            people = self._people.get(message.conversation, {})
            self._conversation = _Conversation(message.conversation, people)
        now = self._conversation
        # Without a date it stays behind the one before.
        time = _seconds(message.date) if message.date else now.time_read
        now.time_read, now.read = time, now.read + 1
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
        time, _, message = heapq.heappop(now.waiting)
        if abs(time - now.time_passed_on) > _GAP or len(now.scene) == _LONGEST:
            yield from self._end_scene()
        now.scene.append(message)
        now.time_passed_on = time

    def _end_scene(self) -> Iterator[Text | Dropped]:
        now = self._conversation
        scene, now.scene = now.scene, []
        whose = {bool(message.mine) for message in scene}
        # Of some archives, nobody else's lines are to be had at all.
        if self._others and len(whose) == 1 and now.has_others:
            yield Dropped("one-sided scene")
            return
        if not self._others:
            for message in scene:
                if not message.mine:
                    yield Dropped("somebody else's (--others)")
        lines = self._lines([m for m in scene if m.mine or self._others])
        if lines:
            first = next((message.date for message in scene if message.date), None)
            # A conversation bears the names of people, which are not told.
            name = blake2b(now.name.encode(errors="replace"), digest_size=4).hexdigest()
            yield Text(
                text="\n\n".join(lines),
                id=f"{name}-{first:%Y%m%d-%H%M%S}" if first else None,
                date=first,
                mine=True,
            )

    def _lines(self, messages: list[Message]) -> list[str]:
        lines: list[str] = []
        speaker: tuple[bool, str] | None = None
        for message in messages:
            text = " ".join(message.text.split())
            if self._names:
                text = self._conversation.speakers.renamed(normalize("NFC", text), self._names)
            own = bool(message.mine)
            if speaker == (own, "" if own else message.sender):
                lines[-1] += f" {text}"
            else:
                lines.append(("- " if own else "> ") * self._others + text)
            speaker = own, "" if own else message.sender
        return lines


def _seconds(date: datetime) -> float:
    return date.timestamp() if date.tzinfo else (date - datetime(1970, 1, 1)).total_seconds()
