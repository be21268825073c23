"""Where a text ends: from a model's bytes to text that may be shown.

A model writes tokens, and a token may end inside a character, a word or a sentence. TextStream
releases only what later tokens cannot take back, so what a reader sees as it is written is what
the whole text will be.
"""

import codecs
import re
from collections.abc import Sequence
from typing import Literal

from engine import END_OF_TEXT

End = Literal["sentence", "word", "token"]

# Full stops, what closes behind them, and a look at the first character of what follows.
_STOP = re.compile(r"""(?<![.!?…])([.!?…]+)["'”\u2019»)\]}*_]*(?=\s+(\S)|\s*\Z)""")

# Words that a full stop follows inside a sentence.
_ABBREVIATION = re.compile(
    r"mr|mrs|ms|mx|dr|prof|st|mt|ft|jr|sr|vs|lt|col|gen|sgt|capt|cmdr|rev|gov|vol|fig",
    re.IGNORECASE,
)
# All but line feed and tab: nobody's terminal or page should have to cope with them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LAST_WORD = re.compile(r"\w+\Z")


def sentence_end(text: str, start: int = 0, *, whole: bool = False) -> int:
    """Position after the last sentence of text that ends behind start; start if none does.

    A sentence ends with a full stop and what closes behind it (quotes, brackets), before white
    space and something that can begin a sentence. What follows must be there already, unless the
    text is whole: so a longer text never has fewer ends.
    """
    end = start
    for match in _STOP.finditer(text, start):
        stops, follower = match.groups()
        if follower is None and not whole:
            continue
        if follower and (follower.islower() or follower in ",;:"):
            continue
        if stops == "." and _is_inner(text, match.start(), last=follower is None):
            continue
        end = match.end()
    return end


def _is_inner(text: str, position: int, *, last: bool) -> bool:
    """Whether the full stop at position belongs to an abbreviation, an initial or a number."""
    found = _LAST_WORD.search(text, max(0, position - 20), position)
    if not found:
        return False
    word = found[0]
    if word.isdigit():  # 3.14 cut short, or the number of a list's item
        return last or text[: found.start()].rstrip(" \t")[-1:] in ("", "\n")
    return bool(_ABBREVIATION.fullmatch(word)) or (len(word) == 1 and word != "I")


def word_end(text: str, start: int = 0) -> int:
    """Position before the last white space behind start, where the last whole word ends; start if
    there is none."""
    end = len(text)
    while end > start and not text[end - 1].isspace():
        end -= 1
    return max(start, len(text[:end].rstrip()))


def _beginning(text: str, stop: str) -> int:
    """Length of the longest end of text that may be the beginning of stop."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


class TextStream:
    """The continuation of a prefix, from bytes to text, piece by piece.

    end says where a text ends that ran out of tokens: after its last sentence, after its last
    whole word, or where it was cut. Without a whole sentence it ends after a word, and without a
    whole word where it was cut: never empty for want of an end. A text that ended by itself, at
    END_OF_TEXT or at one of the stops, is whole. None of these is shown, nor are bytes that are no
    characters, control characters, and white space that begins a document.
    """

    def __init__(self, prefix: str = "", end: End = "sentence", stops: Sequence[str] = ()) -> None:
        self._text = prefix  # an end depends on what stands before it
        self._start = self._shown = len(prefix)
        self._end = end
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self.stopped = False
        """Whether END_OF_TEXT or a stop has come: nothing after it counts."""

    def feed(self, data: bytes) -> str:
        """Takes the next bytes, returns what may be shown now."""
        self._text += _CONTROL.sub("", self._decoder.decode(data))
        if self._start == 0 == self._shown:
            self._text = self._text.lstrip()
        places = [(self._text.find(END_OF_TEXT), END_OF_TEXT)]
        places += [(self._text.find(stop, self._start), stop) for stop in self._stops]
        found = [(at + len(stop), at) for at, stop in places if at >= 0]
        if found:
            _, at = min(found)  # the first to be complete
            self._text = self._text[: max(at, self._start)]
            self.stopped = True
            return ""
        held = max(_beginning(self._text, stop) for _, stop in places)
        safe = self._text[: max(self._shown, len(self._text) - held)]
        if self._end == "sentence":
            return self._show(sentence_end(safe, self._shown))
        if self._end == "word":
            return self._show(word_end(safe, self._shown))
        return self._show(len(safe))

    def finish(self, *, cut: bool) -> str:
        """Returns the rest. cut: the text ran out of tokens and has not ended by itself."""
        dangling = _beginning(self._text, END_OF_TEXT)
        if dangling > 1 and not self.stopped:
            self._text = self._text[: max(self._shown, len(self._text) - dangling)]
        whole = len(self._text)
        if self._end != "token":
            whole = max(self._shown, len(self._text.rstrip()))
        if not cut or self._end == "token":
            return self._show(whole)
        end = self._shown
        if self._end == "sentence":
            end = sentence_end(self._text, self._shown, whole=True)
        if end == self._start:
            end = word_end(self._text, self._start)
        return self._show(whole if end == self._start else end)

    def _show(self, end: int) -> str:
        piece = self._text[self._shown : end]
        self._shown = end
        return piece
