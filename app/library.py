"""Stories that are kept: those behind permalinks, who liked them or went on with them, and what
continues what."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from threading import Lock
from typing import Any

from alembic.util import CommandError
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    ForeignKey,
    MetaData,
    String,
    Subquery,
    Text,
    TypeDecorator,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from app.database import changing_schema, open_engine, writer
from app.migrations import upgrade

_FAMILY = 200  # stories of a family that are told
_EXCERPT = 80  # characters
_ID = re.compile(r"[0-9a-z]{12}")

_logger = logging.getLogger(__name__)


class LibraryError(Exception):
    """The database cannot be reached, read or written; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredStory:
    """A story with all that it takes to write it again."""

    id: str
    """12 characters of 0-9 and a-z."""
    created: datetime
    """With a time zone; comes back in UTC."""
    model: str
    """Identity of the model."""
    prefix: str
    text: str
    """What follows the prefix."""
    seed: int
    tokens: int
    finish_reason: str
    attempts: int
    copied: list[dict[str, Any]] | None
    """Runs of words copied from the corpus, as in the API; None: nobody looked."""
    parameters: dict[str, object]
    """Of the request, as JSON."""
    parent: str | None = None
    """Id of the story that this one continues or forks, which need not be there (any more)."""
    likes: int = 0
    """What get() found; save() begins at none."""


@dataclass(frozen=True, slots=True)
class Relative:
    """A story in its family."""

    id: str
    parent: str | None
    """None: the root."""
    excerpt: str
    """The first words after its prefix; the root's are its prefix's."""
    likes: int
    created: datetime


@dataclass(frozen=True, slots=True)
class PickedStory:
    """A story that visitors liked or went on with."""

    id: str
    parent: str | None
    prefix: str
    text: str
    voters: frozenset[str]
    """The visitors who did, one or more, as like() and save() name them."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. SQLite's have no time zone: they are all in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Base(DeclarativeBase):
    """The tables; app.migrations makes them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class _Story(Base):
    __tablename__ = "stories"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    model: Mapped[str] = mapped_column(String(64))
    prefix: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int]
    finish_reason: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    copied: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    parameters: Mapped[dict[str, object]] = mapped_column(JSON)
    # No foreign key: strangers name parents, and old stories go.
    parent: Mapped[str | None] = mapped_column(String(12), index=True)
    likes: Mapped[int]  # how many rows of _Like; both change in one transaction


class _Like(Base):
    __tablename__ = "likes"

    story: Mapped[str] = mapped_column(
        ForeignKey("stories.id", ondelete="CASCADE"), primary_key=True
    )
    voter: Mapped[str] = mapped_column(String(64), primary_key=True)


class _Continuation(Base):
    __tablename__ = "continuations"

    story: Mapped[str] = mapped_column(  # the one that was gone on with
        ForeignKey("stories.id", ondelete="CASCADE"), primary_key=True
    )
    voter: Mapped[str] = mapped_column(String(64), primary_key=True)


class Library:
    """The stored stories, for many threads at once. Everything raises LibraryError."""

    def __init__(self, url: str, keep: int = 100_000) -> None:
        """url as in app.database.open_engine; connects at the first use.

        keep bounds the number of stories (for a moment by a hundredth more in each process): the
        oldest that nobody has liked or continued go first, then the oldest; the newer half of them
        stays in any case, whatever strangers like. Raises app.settings.SettingsError.
        """
        self._engine = open_engine(url)
        on_sqlite = self._engine.dialect.name == "sqlite"
        self._insert: Callable[[type[Base]], sqlite.Insert | postgresql.Insert] = (
            sqlite.insert if on_sqlite else postgresql.insert
        )
        # SQLite has one writer at a time, and lets the others poll: here they wait in line.
        self._turn = Lock() if on_sqlite else nullcontext()
        self._keep = keep
        self._saved = keep  # since the last look at how many there are: look at the first save
        self._counting = Lock()
        self._migrated = False

    def migrate(self) -> None:
        """Brings the database's schema up to date. Several processes may do so at once.

        The first use does it too, so that a database that is not there yet may come later. A
        schema newer than this code is an error.
        """
        with _explained(), self._turn, changing_schema(self._engine) as connection:
            try:
                upgrade(connection)
            except CommandError as error:
                raise LibraryError(
                    f"a newer version of the service has changed the stories' database: {error}"
                ) from None
        self._migrated = True

    def save(self, stories: Sequence[StoredStory], voter: str | None = None) -> None:
        """Keeps the stories, all or none; they are on the disk when it returns.

        A story whose id is there already is left out. A parent that does not look like an id is
        nobody's, and becomes None. Raises ValueError for a wrong id, a NUL (PostgreSQL's text
        cannot hold it) and a time without a zone.

        voter, named as in like(), has them written: a parent whose whole text a story goes on from
        is one that he picked. (Another version of the parent begins where the parent began.)
        """
        # In the order of their ids: who saves the same ones at the same time waits, and not both.
        rows = [_row(story) for story in sorted(stories, key=lambda story: story.id)]
        if not rows:
            return
        with self._writing() as connection:
            connection.execute(self._insert(_Story).on_conflict_do_nothing(), rows)
            if voter and (continued := _continued(connection, rows)):
                connection.execute(
                    self._insert(_Continuation).on_conflict_do_nothing(),
                    [{"story": id, "voter": voter} for id in continued],
                )
        with self._counting:
            self._saved += len(rows)
            look = self._saved >= self._keep // 100
            if look:
                self._saved = 0
        if look:
            try:
                self._prune()
            except LibraryError as error:
                _logger.warning("old stories are not removed: %s", error)

    def get(self, id: str) -> StoredStory | None:
        """The story, or None if there is none (of whatever string a stranger takes for an id)."""
        if not _ID.fullmatch(id):
            return None
        with self._reading() as connection:
            found = connection.execute(
                select(_Story.__table__).where(_Story.id == id)
            ).one_or_none()
        return StoredStory(**found._asdict()) if found else None

    def like(self, id: str, voter: str) -> int | None:
        """Counts a voter's like once; how many there are now, or None if there is no such story.

        voter names a client in 1 to 64 characters: a keyed hash, say, rather than an address.
        """
        if not 1 <= len(voter) <= 64 or "\0" in voter:
            raise ValueError("a voter is a string of 1 to 64 characters")
        if not _ID.fullmatch(id):
            return None
        with self._writing() as connection:
            likes = connection.scalar(select(_Story.likes).where(_Story.id == id).with_for_update())
            if likes is None:
                return None
            new = connection.execute(
                self._insert(_Like).values(story=id, voter=voter).on_conflict_do_nothing()
            ).rowcount
            connection.execute(update(_Story).where(_Story.id == id).values(likes=likes + new))
        return likes + new

    def picked(self) -> Iterator[PickedStory]:
        """The stories that somebody liked or went on with, as they are at one moment, one by one in
        the order of their ids."""
        votes = union(
            select(_Like.story, _Like.voter), select(_Continuation.story, _Continuation.voter)
        ).subquery()
        with self._reading() as connection:
            found = connection.execution_options(yield_per=1000).execute(
                select(_Story.id, _Story.parent, _Story.prefix, _Story.text, votes.c.voter)
                .join(votes, _Story.id == votes.c.story)
                .order_by(_Story.id)
            )
            for (id, parent, prefix, text), rows in groupby(found, key=lambda row: row[:-1]):
                yield PickedStory(id, parent, prefix, text, frozenset(row.voter for row in rows))

    def family(self, id: str) -> list[Relative]:
        """The tree of continuations and forks that the story belongs to, from its root, parents
        before children; empty if there is no such story.

        At most 200: the story and its ancestors, then those nearest to the root. Where parents go
        round in a circle, as strangers can make them, the story's farthest ancestor is the root.
        """
        if not _ID.fullmatch(id):
            return []
        with self._reading() as connection:
            lineage = _lineage(connection, id)
            if not lineage:
                return []
            near = _near_root(lineage)
            told = case((near.c.depth > 0, _Story.text), else_=_Story.prefix + _Story.text)
            found = connection.execute(
                select(
                    _Story.id,
                    case((near.c.depth > 0, _Story.parent)).label("parent"),
                    func.substr(told, 1, 2 * _EXCERPT).label("excerpt"),
                    _Story.likes,
                    _Story.created,
                )
                .join(near, _Story.id == near.c.id)
                .order_by(near.c.depth, _Story.created, _Story.id)
            ).all()
        return [
            Relative(
                story.id, story.parent, excerpt(story.excerpt, _EXCERPT), story.likes, story.created
            )
            for story in found
        ]

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if not self._migrated:
            self.migrate()
        with _explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if not self._migrated:
            self.migrate()
        with _explained(), self._turn, writer(self._engine).begin() as connection:
            yield connection

    def _prune(self) -> None:
        child = aliased(_Story)
        with self._writing() as connection:
            surplus = (
                connection.scalar(select(func.count()).select_from(_Story)) or 0
            ) - self._keep
            if surplus <= 0:
                return
            newer_half = connection.scalar(
                select(_Story.created)
                .order_by(_Story.created.desc())
                .offset(self._keep - self._keep // 2)
                .limit(1)
            )
            continued = (
                select(child.id).where(child.parent == _Story.id, child.id != _Story.id).exists()
            )
            last = (
                select(_Story.id)
                .order_by(
                    _Story.created > newer_half, or_(_Story.likes > 0, continued), _Story.created
                )
                .limit(surplus)
            )
            connection.execute(delete(_Story).where(_Story.id.in_(last)))


def _row(story: StoredStory) -> dict[str, Any]:
    if not _ID.fullmatch(story.id):
        raise ValueError("a story's id is 12 characters of 0-9 and a-z")
    if story.created.tzinfo is None:
        raise ValueError("a story's time needs a time zone")
    if any("\0" in text for text in (story.model, story.prefix, story.text, story.finish_reason)):
        raise ValueError("a story cannot hold NUL")
    parent = story.parent if story.parent and _ID.fullmatch(story.parent) else None
    return asdict(story) | {"parent": parent, "likes": 0}


def _continued(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Ids of the parents whose whole text a child goes on from, but for blanks at its ends."""
    named = {row["parent"] for row in rows} - {None}
    if not named:
        return []
    parents = connection.execute(
        select(_Story.id, _Story.prefix, _Story.text)
        .where(_Story.id.in_(named))
        .with_for_update(key_share=True, read=True)  # they stay until this transaction ends
    )
    whole = {one.id: (one.prefix + one.text).strip() for one in parents if one.text.strip()}
    return sorted(
        {
            row["parent"]
            for row in rows
            if row["parent"] in whole and row["prefix"].lstrip().startswith(whole[row["parent"]])
        }
    )


def _lineage(connection: Connection, id: str) -> list[str]:
    """Ids of the story and its ancestors, nearest first; each once, where they go in a circle."""
    up = (
        select(_Story.id, _Story.parent, literal(0).label("steps"))
        .where(_Story.id == id)
        .cte(recursive=True)
    )
    up = up.union_all(
        select(_Story.id, _Story.parent, up.c.steps + 1)
        .join(up, _Story.id == up.c.parent)
        .where(up.c.steps < _FAMILY - 1)
    )
    return list(dict.fromkeys(connection.scalars(select(up.c.id).order_by(up.c.steps))))


def _near_root(lineage: list[str]) -> Subquery:
    """Ids and depths of the lineage, and of what else descends from its last, nearest first."""
    root = lineage[-1]
    tree = (
        select(_Story.id, _Story.created, literal(0).label("depth"))
        .where(_Story.id == root)
        .cte(recursive=True)
    )
    tree = tree.union_all(
        select(_Story.id, _Story.created, tree.c.depth + 1)
        .join(tree, _Story.parent == tree.c.id)
        # A story has one parent: only the root's can lead into the tree again.
        .where(_Story.id != root, tree.c.depth < _FAMILY - 1)
    )
    return (
        select(tree.c.id, tree.c.depth)
        .order_by(tree.c.id.in_(lineage).desc(), tree.c.depth, tree.c.created, tree.c.id)
        .limit(_FAMILY)
        .subquery()
    )


def excerpt(text: str, length: int) -> str:
    """The beginning of a text on one line: at most length characters, whole words if possible."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    words = line[:length].rpartition(" ")[0] or line[: length - 1]
    return words.rstrip(" .,;:-") + "…"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise LibraryError(f"the stories' database: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What the server says, or else the driver; without the statement."""
    cause = (error.orig if isinstance(error, StatementError) else None) or error
    told: BaseException | None = cause
    while told:  # pg8000 may fail once more while it closes the connection that was refused
        match told.args:
            case [{"M": str(message)}]:  # of the fields of PostgreSQL's answer
                return message
        told = told.__context__
    return str(cause)
