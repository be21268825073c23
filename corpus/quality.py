"""Whether a text reads like prose: rules of thumb, and the reason that one gives.

They are those of Gopher (Rae et al. 2021, table A1) and C4 (Raffel et al. 2020), with limits on the
safe side: a hobby corpus is small, and chats, poems and tables of contents have their friends. They
suit scripts that put blanks between words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# Characters of the beginning: a book that begins like prose is prose.
_EXAMINED = 20_000

_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u0964\u061f\u06d4]")
# A dash that begins direct speech is two by now.
_BULLET = re.compile(r"(?:-(?!-)|[*+\u2022\u25cf\u25aa\u2013>|]) ?")
# How lines begin in conversations (see corpus.dialogue).
_SPEAKERS = {"- ", "> "}
_NGRAM = 5  # words
_FEWEST_WORDS_TO_REPEAT = 50


def reason(text: str) -> str | None:
    """Why a cleaned text is poor, in a few words; None if it is not."""
    text = text[:_EXAMINED]
    words = text.split()
    lines = [line for line in text.split("\n") if line]
    if not words:
        return "empty"
    characters = sum(map(len, words))
    letters = sum(map(str.isalpha, text))
    rules = {
        "placeholder text": "lorem ipsum" in text.lower(),
        # Gopher: 80% of the words have a letter.
        "mostly digits and symbols": letters < 0.5 * characters
        and letters + sum(unicodedata.category(c)[0] == "M" for c in text) < 0.5 * characters,
        # Gopher: 3 to 10 characters.
        "very short words": characters < 2.5 * len(words),
        "very long words": characters > 12 * len(words),
        "mostly capitals": sum(map(str.isupper, text)) > 0.5 * letters,
        # C4 keeps only lines that end a sentence.
        "no sentence ends": not _SENTENCE_END.search(text),
        # Gopher: 90% and 30% of the lines.
        "a list": len(lines) > 5
        and _share(map(_BULLET.match, lines)) > 0.9
        and not {line[:2] for line in lines} >= _SPEAKERS,
        "lines cut short": len(lines) > 2 and _share(line.endswith("...") for line in lines) > 0.3,
        # Gopher: 30% of the lines; 15% of the characters in repeated runs of five words.
        "repeats its lines": _repeated(Counter(lines)) > 0.3,
        "repeats its words": _repeats_words(words),
    }
    return next((why for why, holds in rules.items() if holds), None)


def _share(hits: Iterable[object]) -> float:
    found = list(map(bool, hits))
    return sum(found) / len(found)


def _repeated(counts: Counter[str]) -> float:
    """The share of what stands there again."""
    return 1 - len(counts) / counts.total()


def _repeats_words(words: list[str]) -> bool:
    if len(words) < _FEWEST_WORDS_TO_REPEAT:
        return False
    runs = zip(*(words[start:] for start in range(_NGRAM)), strict=False)
    return _repeated(Counter(map(" ".join, runs))) > 0.3
