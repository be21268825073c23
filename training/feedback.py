"""From the stories that visitors picked to documents to learn from.

A pick is a vote: a visitor liked a story or went on with it. Strangers give them, and strangers'
words stand in the stories, so all that one visitor can do is bounded, whatever he scripts:

- A document is let in by one of its voters, and each lets in few (`per_visitor`), of bounded
  length. His own stories, liked or continued, are no exception: on the page one picks of what one
  has had written.
- What most visitors picked comes first; of equally picked ones the longest, so that a chain of
  continuations is one document. Forks of it, and other openings that many share, are few.
- What is mostly typed, not written by a model, stays out; so does what the service's gate would
  refuse today, personal data, web addresses, what reads like no prose, what is too short or cut off
  in a sentence, and what is nearly the same as another document or one of the corpus.

A visitor is an address, until the service is started anew. So this does not protect against
somebody who has many addresses or much patience; nor against words that are not on the service's
list, or a bias that many share. The comparison before a promotion sees what makes the model worse
on the documents held out, not what makes it rude.

Which documents are held out depends on their first words alone: it stays so when stories come and
go, and a continuation stays on the side of its beginning.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Protocol

from corpus import privacy, quality
from corpus.cleaning import clean, count_words
from corpus.copies import words
from corpus.duplicates import NearDuplicates
from training.errors import TrainingError

PER_VISITOR = 3
"""Documents that one visitor lets in, by default."""

_FEWEST, _FEWEST_HELD_OUT = 50, 10  # of fewer, a visitor's would be too large a part, or chance's
_HELD_OUT = 0.15
_FEWEST_WORDS, _MOST_WORDS = 40, 1000
# How many documents may have so many first words in common: an opening that the page offers, and
# the forks of a story.
_SAME_BEGINNING = {8: 3, 32: 1}

_SENTENCE_END = re.compile(r"""[.!?\u2026\u3002\uff01\uff1f\u0964\u061f\u06d4]["')\]*_]*\Z""")
_WEB_ADDRESS = re.compile(
    r"https?:|\bwww\.|\w\.(?:com|net|org|info|biz|xyz|shop|site|online)\b",
    re.IGNORECASE,
)


class Pick(Protocol):
    """What this module needs of app.library.PickedStory."""

    @property
    def id(self) -> str: ...

    @property
    def parent(self) -> str | None: ...

    @property
    def prefix(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def voters(self) -> frozenset[str]: ...


@dataclass
class Feedback:
    """Documents of picks; nothing tells who picked them."""

    train: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many picks, by the reason."""

    def check(self) -> None:
        """Raises TrainingError where there is too little to learn from."""
        if len(self.train) < _FEWEST or len(self.held_out) < _FEWEST_HELD_OUT:
            raise TrainingError(
                f"too few picks to learn from: {len(self.train)}, and {len(self.held_out)} held "
                f"out; {_FEWEST} and {_FEWEST_HELD_OUT} are needed (about a seventh is held out)"
            )


def choose(
    picks: Iterable[Pick],
    corpus: Iterable[str],
    *,
    refusal: Callable[[str], str | None],
    per_visitor: int = PER_VISITOR,
) -> Feedback:
    """The documents of the picks, best first. The same picks give the same documents.

    Args:
        corpus: documents that the model knows already, or is measured on.
        refusal: why the service's gate would not let a text pass; None if it would.
        per_visitor: how many documents one visitor lets in.
    """
    stories = list(picks)
    typed = _typed(stories)
    feedback = Feedback()
    chosen: list[str] = []
    let_in: Counter[str] = Counter()
    beginnings: Counter[str] = Counter()
    for pick in sorted(stories, key=lambda pick: (-len(pick.voters), -_length(pick), pick.id)):
        voter = min(pick.voters, key=lambda voter: (let_in[voter], voter))
        if let_in[voter] >= per_visitor:
            feedback.left_out[f"more than {per_visitor} of a visitor"] += 1
            continue
        text = clean(pick.prefix + pick.text)
        begins = {_beginning(text, count): most for count, most in _SAME_BEGINNING.items()}
        if 2 * typed[pick.id] > _length(pick):
            reason: str | None = "mostly typed"
        elif any(beginnings[beginning] >= most for beginning, most in begins.items()):
            reason = "begins like others"
        else:
            reason = _poor(text) or refusal(text)
        if reason:
            feedback.left_out[reason] += 1
            continue
        let_in[voter] += 1
        beginnings.update(list(begins))
        chosen.append(text)
    for text in _without_near_duplicates(chosen, corpus, feedback.left_out):
        (feedback.held_out if _is_held_out(text) else feedback.train).append(text)
    return feedback


def _length(pick: Pick) -> int:
    return len(pick.prefix) + len(pick.text)


def _typed(picks: Iterable[Pick]) -> dict[str, int]:
    """How many characters of each story nobody can say to be a model's: those of its opening, and
    what was typed between the stories that it goes on from."""
    known: dict[str, Pick] = {}
    typed: dict[str, int] = {}
    for pick in sorted(picks, key=_length):  # parents are shorter
        parent = known.get(pick.parent or "")
        begun = (parent.prefix + parent.text).strip() if parent else ""
        typed[pick.id] = len(pick.prefix)
        if parent and pick.prefix.lstrip().startswith(begun):
            typed[pick.id] += typed[parent.id] - len(begun)
        known[pick.id] = pick
    return typed


def _poor(text: str) -> str | None:
    """Why a cleaned text is nothing to learn from, whoever picked it."""
    count = count_words(text)
    if count < _FEWEST_WORDS:
        return f"fewer than {_FEWEST_WORDS} words"
    if count > _MOST_WORDS:
        return f"more than {_MOST_WORDS} words"
    if not _SENTENCE_END.search(text):
        return "cut off"
    if _WEB_ADDRESS.search(text):
        return "a web address"
    if privacy.mask(text)[1]:
        return "personal data"
    return quality.reason(text)


def _beginning(text: str, count: int) -> str:
    """The first words, in small letters."""
    return " ".join(words(text.casefold())[:count])


def _is_held_out(text: str) -> bool:
    digest = blake2b(_beginning(text, max(_SAME_BEGINNING)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) < _HELD_OUT * 2**64


def _without_near_duplicates(
    chosen: list[str], corpus: Iterable[str], left_out: Counter[str]
) -> list[str]:
    """Without those that are nearly the same as a document of the corpus, and of a group all but
    the best; it is one held out where there is one, as that must not be trained on."""
    near = NearDuplicates()
    for text in chain(chosen, corpus):
        near.add(text)
    dropped: set[int] = set()
    for cluster in near.clusters():
        ours = [number for number in cluster if number < len(chosen)]
        if len(ours) == len(cluster):
            ours.remove(min(ours, key=lambda number: (not _is_held_out(chosen[number]), number)))
        dropped.update(ours)
    if dropped:
        left_out["nearly a duplicate"] += len(dropped)
    return [text for number, text in enumerate(chosen) if number not in dropped]
