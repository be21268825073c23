"""The output gate: what a story must not be before it is shown.

It must not be empty, not loop, hold no word of the owner's list, and not be copied from the corpus.
A story passes through it as it is written, piece by piece.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from corpus.copies import Copy, CopyIndex
from corpus.documents import CorpusError

_logger = logging.getLogger(__name__)

Refusal = Literal["empty", "loop", "word", "copied"]

_WORD = re.compile(r"\w+")
_CHUNK = re.compile(r"\S+")
_SPACE = re.compile(r"\s")
# A text loops when so many words in a row, and two whole periods at least, are those of one period
# before. Places are told apart by the three words that end there.
_LOOP_WORDS = 12
_GRAM = 3
# Characters that are looked at together for loops and copies, which need not be found at once.
_AT_ONCE = 32


class WordList:
    """Words and phrases that no story may contain: whole words, whatever their case, and however
    their letters are encoded (NFKC_Casefold, Unicode Standard, section 3.13)."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._phrases: dict[str, list[list[str]]] = {}
        self._longest = 0
        for line in lines:
            words = _words(line.partition("#")[0])
            if words:
                self._phrases.setdefault(words[0], []).append(words)
                self._longest = max(self._longest, len(words))

    @classmethod
    def read(cls, path: Path) -> "WordList":
        """A file with a word or a phrase a line; # begins a comment. Raises OSError, ValueError."""
        return cls(path.read_text(encoding="utf-8-sig").splitlines())

    def __bool__(self) -> bool:
        return bool(self._phrases)

    def safe_length(self, text: str, *, whole: bool = True) -> int | None:
        """How much of text may be shown, whatever comes after it; None if it contains one of them.

        While a text is not whole, its last word may go on, and so may the beginning of a phrase.
        """
        if not self:
            return len(text)
        words: list[tuple[int, str]] = []
        last = len(text)
        for chunk in _CHUNK.finditer(text):
            last = chunk.start() if chunk.end() == len(text) else last
            words += ((chunk.start(), word) for word in _words(chunk[0]))
        safe = len(text) if whole else last
        for i, (start, word) in enumerate(words):
            for phrase in self._phrases.get(word, ()):
                found = [w for _, w in words[i : i + len(phrase)]]
                if found == phrase and (whole or words[i + len(phrase) - 1][0] < last):
                    return None
                is_open = not whole and i + len(found) == len(words)
                if is_open and _may_become(found, phrase):
                    safe = min(safe, start)
        return safe

    def context(self, text: str) -> str:
        """The end of a text that may, with what follows it, become one of them."""
        starts = [chunk.start() for chunk in _CHUNK.finditer(text)]
        return text[starts[-self._longest] :] if len(starts) > self._longest else text


def _may_become(words: list[str], phrase: list[str]) -> bool:
    """Whether words, whose last may go on, are the beginning of a phrase."""
    *closed, last = words
    return closed == phrase[: len(closed)] and phrase[len(closed)].startswith(last)


def _words(text: str) -> list[str]:
    folded = text.casefold()
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    return _WORD.findall(folded)


class _Loop:
    """Notices, word by word, when a text begins to repeat itself."""

    def __init__(self) -> None:
        self._gram: tuple[str, ...] = ()
        self._last: dict[tuple[str, ...], int] = {}
        self._words = self._period = self._repeated = 0
        self._rest = ""

    def feed(self, text: str) -> bool:
        """Whether it loops, by the words that are complete now."""
        *words, self._rest = re.split(r"\s+", self._rest + text)
        loops = False
        for word in words:
            loops |= self._add(word)
        return loops

    def _add(self, word: str) -> bool:
        self._words += 1
        self._gram = (*self._gram, word)[-_GRAM:]
        period = self._words - self._last.get(self._gram, self._words)
        self._last[self._gram] = self._words
        self._repeated = self._repeated + 1 if period and period == self._period else 0
        self._period = period
        return self._repeated >= max(_LOOP_WORDS, 2 * period)


class Check:
    """One story on its way through the gate. prefix is what stands before it already."""

    def __init__(
        self, words: WordList, copies: CopyIndex | None, *, may_copy: bool, prefix: str = ""
    ) -> None:
        self.refusal: Refusal | None = None
        """Why the text must not go on."""
        self._words = words
        self._before = words.context(prefix) if words else ""
        self._held = ""  # not shown yet
        self._unread = ""  # not looked at yet for loops and copies
        self._loop = _Loop()
        self._scanner = copies.scanner() if copies else None
        self._may_copy = may_copy
        self._empty = True

    @property
    def copied(self) -> list[Copy] | None:
        """The runs copied from the corpus; None where that is not known."""
        return self._scanner.copies if self._scanner else None

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be shown now: nothing after a refusal."""
        return self._pass(text, whole=False)

    def finish(self, text: str) -> str:
        """Takes the last piece; returns the rest that may be shown."""
        shown = self._pass(text, whole=True)
        if self._empty and not self.refusal:
            self.refusal = "empty"
        return shown

    def _pass(self, text: str, *, whole: bool) -> str:
        if self.refusal or not (text or whole):
            return ""
        self._empty = self._empty and not text.strip()
        self._held += text
        safe: int | None = len(self._before) + len(self._held)
        if self._words and (whole or _SPACE.search(text)):
            safe = self._words.safe_length(self._before + self._held, whole=whole)
        elif self._words:
            safe = 0  # no word is complete that was not before
        self._unread += text
        if whole or len(self._unread) >= _AT_ONCE:
            self._read(whole=whole)
        if safe is None:
            self.refusal = "word"
        if self.refusal or safe is None:
            return ""
        end = max(0, safe - len(self._before))
        shown, self._held = self._held[:end], self._held[end:]
        if shown:
            self._before = ""
        return shown

    def _read(self, *, whole: bool) -> None:
        """Looks for loops and copies."""
        text, self._unread = self._unread, ""
        self._scan(text, whole=whole)
        if self._loop.feed(text):
            self.refusal = "loop"
        elif not self._may_copy and self.copied:
            self.refusal = "copied"

    def _scan(self, text: str, *, whole: bool) -> None:
        if not self._scanner:
            return
        try:
            self._scanner.feed(text)
            if whole:
                self._scanner.finish()
        except CorpusError as error:
            _logger.error("nobody looks for copies: %s", error)
            self._scanner = None
