"""What stands in a corpus more than once: documents that are nearly the same, and lines that a
source repeats in document after document.

Both are found in one pass with hashes alone, so memory grows by half a kilobyte a document (of
near-duplicates) and not at all (of lines).
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator

from rensa import RMinHash

# MinHash (Broder 1997) over runs of five words; two documents are compared where all rows of one
# band agree: of those with a similarity of 0.8 19 in 20 pairs, of the more similar all but all.
_SHINGLE = 5
_BANDS, _ROWS = 16, 8
_HASHES = _BANDS * _ROWS
_RUNS_AT_ONCE = 10_000
_SIMILAR = 0.75  # shared runs of all runs of both (Jaccard), as estimated: give or take 0.04
_SEED = 1

# A line is boilerplate where more documents of a source than this have it, and this share of them.
# It stands at a document's beginning or end: of a fifth of all novels somebody asks "What do you
# mean?" in the middle. Shorter lines are how people talk in one chat after another, or headings.
_MORE_THAN = 5
_SHARE = 0.2
_EDGE = 20  # lines, empty ones too
_FEWEST_WORDS = 5
_MOST_COUNTED = 200_000  # different lines at once


class NearDuplicates:
    """Finds groups of documents that have nearly all runs of five words in common."""

    def __init__(self) -> None:
        self._signatures = array("I")
        self._lengths = array("Q")

    def add(self, text: str) -> None:
        """Take the next document; they are numbered from 0."""
        words = text.lower().split()
        minhash = RMinHash(_HASHES, _SEED)
        # A text of fewer words is one run. In parts: all runs of a book are many times its size.
        for start in range(0, max(1, len(words) - _SHINGLE + 1), _RUNS_AT_ONCE):
            part = words[start : start + _RUNS_AT_ONCE + _SHINGLE - 1]
            shifted = [part[start:] for start in range(min(_SHINGLE, len(part)))]
            minhash.update(list(map(" ".join, zip(*shifted, strict=False))))
        self._signatures.extend(minhash.digest())
        self._lengths.append(len(text))

    def clusters(self) -> list[list[int]]:
        """The groups of two or more, the largest first; in each the longest document is the first,
        of equally long ones the earliest.

        Whatever links two documents puts them into one group, so no two of different groups were
        found to be near-duplicates.
        """
        parents = array("Q", range(len(self._lengths)))

        def root(document: int) -> int:
            while parents[document] != document:
                parents[document] = document = parents[parents[document]]
            return document

        for one, other in self._pairs():
            first, second = sorted((root(one), root(other)))
            parents[second] = first
        groups: dict[int, list[int]] = {}
        for document in range(len(parents)):
            if (first := root(document)) != document:
                groups.setdefault(first, [first]).append(document)
        for group in groups.values():
            group.sort(key=lambda document: (-self._lengths[document], document))
        return sorted(groups.values(), key=lambda group: (-len(group), group[0]))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Similar documents: each with the first one that shares a band with it."""
        for start in range(0, _HASHES, _ROWS):
            first: dict[bytes, int] = {}  # of one band at a time, as memory counts
            for document in range(len(self._lengths)):
                at = document * _HASHES + start
                other = first.setdefault(self._signatures[at : at + _ROWS].tobytes(), document)
                if other != document and self._similarity(document, other) >= _SIMILAR:
                    yield document, other

    def _similarity(self, one: int, other: int) -> float:
        ours, theirs = (
            self._signatures[document * _HASHES : (document + 1) * _HASHES]
            for document in (one, other)
        )
        return sum(a == b for a, b in zip(ours, theirs, strict=True)) / _HASHES


class RepeatedLines:
    """Finds the lines that stand in many documents of one source, in bounded memory.

    Of a full table the rarest lines are forgotten (lossy counting, Manku and Motwani 2002), which
    does not touch what a fifth of the documents have.
    """

    def __init__(self) -> None:
        self._documents = 0
        self._counts: Counter[int] = Counter()  # of documents, by the line's hash
        self._repeated: frozenset[int] = frozenset()

    def add(self, text: str) -> None:
        """Count a document's lines."""
        self._documents += 1
        lines = text.split("\n")
        edges = lines[:_EDGE] + lines[_EDGE:][-_EDGE:]
        self._counts.update({hash(line) for line in edges if _is_counted(line)})
        if len(self._counts) <= _MOST_COUNTED:
            return
        least = 1
        while len(self._counts) > _MOST_COUNTED // 2:  # or the next line would find it full again
            self._counts = Counter({line: n for line, n in self._counts.items() if n > least})
            least += 1

    def finish(self) -> bool:
        """Decide which lines are repeated, and whether any is; the counts are forgotten."""
        enough = max(_MORE_THAN + 1, _SHARE * self._documents)
        self._repeated = frozenset(line for line, n in self._counts.items() if n >= enough)
        self._counts.clear()
        return bool(self._repeated)

    def remove(self, text: str) -> tuple[str, list[str]]:
        """A cleaned text without them, and the lines that it had of them."""
        lines = text.split("\n")
        middle = range(_EDGE, len(lines) - _EDGE)
        numbers = {
            number
            for number, line in enumerate(lines)
            if hash(line) in self._repeated and _is_counted(line) and number not in middle
        }
        if not numbers:
            return text, []
        removed = [line for number, line in enumerate(lines) if number in numbers]
        kept = "\n".join(line for number, line in enumerate(lines) if number not in numbers)
        return re.sub("\n\n\n+", "\n\n", kept).strip(), removed


def _is_counted(line: str) -> bool:
    return line.count(" ") >= _FEWEST_WORDS - 1
