"""What every importer is, takes and gives: facts about what was found, no policy.

An importer recognises a file by its content and the tail of its path, and yields what is in it.
What becomes of that (other people's words, private posts, personal data, duplicates) is decided in
one place, ``corpus.importing``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from corpus.archive import File


@dataclass(frozen=True, kw_only=True)
class Text:
    """A post, a comment, a story, a book: something that stands for itself."""

    text: str
    """Plain: paragraphs apart by a blank line."""
    id: str | None = None
    """As the source knows it, with what keeps it apart from those of other archives, such as a
    blog's host; without one, the text's hash will do."""
    title: str | None = None
    date: datetime | None = None
    url: str | None = None
    author: str | None = None
    mine: bool | None = None
    """Whether the archive's owner wrote it; None: the source has no such owner, or does not say."""
    public: bool = True
    """Whether everybody could read it."""
    community: str | None = None
    """A subreddit or the like."""
    score: int | None = None
    """Points that readers gave it."""
    license: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """A line of a conversation. Those of one conversation come one after the other, and by time but
    for small disorder."""

    conversation: str
    sender: str
    text: str
    date: datetime | None = None
    mine: bool | None = None
    """Whether the archive's owner sent it; None: the archive does not say."""


@dataclass(frozen=True)
class Dropped:
    """Something that is no text to learn from: why, in a few words that are the same each time."""

    reason: str


@dataclass(frozen=True)
class Broken:
    """An item that could not be read: where in the file, and what is wrong with it."""

    place: str
    message: str


Item: TypeAlias = Text | Message | Dropped | Broken


@dataclass(frozen=True)
class Source:
    """An importer."""

    name: str
    """What ``--as`` takes: lower case."""
    label: str
    """Its name for people."""
    recognises: Callable[[File], bool]
    """Whether a file is of this source. Never raises; reads the head at most."""
    read: Callable[[File], Iterator[Item]]
    """What is in a file. Raises READ_ERRORS and CorpusError where the rest is lost."""
