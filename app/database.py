"""The database that DATABASE_URL names: SQLite in a file, or PostgreSQL."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from app.settings import SettingsError

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+pg8000",
    "postgres": "postgresql+pg8000",
    "postgresql+pg8000": "postgresql+pg8000",
}
_CONNECTIONS = 10  # at most; threads beyond wait for one
_PATIENCE = 10  # seconds: for a connection, for PostgreSQL's answer, for SQLite's lock
_MIGRATION_LOCK = 0x6F6E656D6F7265  # any number that nobody else takes in this database


def open_engine(url: str) -> Engine:
    """An engine for sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME; connects later.

    PostgreSQL's URL may have libpq's `sslmode` (disable, prefer, require or verify-full) and
    pg8000's `unix_sock`, the path of a socket. SQLite's folder and file are made where they are
    not there, the file for its owner alone. Raises SettingsError, which never tells the password.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    except (SQLAlchemyError, ValueError, KeyError):
        raise SettingsError(
            "DATABASE_URL: must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
        ) from None
    return _sqlite(parsed) if parsed.drivername == "sqlite" else _postgresql(parsed)


def _engine(url: URL, connect_args: dict[str, Any]) -> Engine:
    return create_engine(
        url,
        connect_args=connect_args,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        pool_pre_ping=True,  # the database may have been started anew
        hide_parameters=True,  # what people typed stays out of errors and logs
    )


def _postgresql(url: URL) -> Engine:
    if unknown := set(url.query) - {"sslmode", "unix_sock"}:
        raise SettingsError(f"DATABASE_URL: {min(unknown)} is not a parameter that is known here")
    contexts = {
        "disable": False,
        "prefer": None,
        "require": True,  # as libpq: encrypted, the certificate unchecked
        "verify-full": ssl.create_default_context(),
    }
    mode = url.query.get("sslmode", "prefer")
    if mode not in contexts:
        raise SettingsError(f"DATABASE_URL: sslmode must be one of {', '.join(contexts)}")
    return _engine(
        url.difference_update_query(["sslmode"]),
        {"ssl_context": contexts[str(mode)], "timeout": _PATIENCE},
    )


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database.startswith((":memory:", "file:")) or url.query:
        raise SettingsError("DATABASE_URL: sqlite:/// needs the path of a file, and nothing else")
    file = Path(url.database)
    engine = _engine(url, {"timeout": _PATIENCE})

    @event.listens_for(engine, "do_connect")
    def create(*_: object) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            file.touch(mode=0o600, exist_ok=False)  # SQLite's own two beside it get its mode

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, not in the driver
        for pragma in (
            "journal_mode = WAL",  # readers and a writer do not wait for each other
            # Each commit is flushed to the disk. NORMAL would do for a killed process; this is
            # for a machine without power too, since addresses of stories are passed on at once.
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def writer(engine: Engine) -> Engine:
    """The engine for transactions that write: on SQLite they wait for their turn at their
    beginning. One that begins with reading could not: what it has read may change meanwhile."""
    return engine.execution_options(begin="BEGIN IMMEDIATE")


@contextmanager
def changing_schema(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes tables; other processes' wait for its end."""
    with writer(engine).connect() as connection:
        # Closed at the end, not pooled: a process that forks later shares no connection.
        connection.detach()
        if engine.dialect.name == "sqlite":
            # A table is changed by copying and dropping it; with foreign keys on, rows of other
            # tables that refer to it would go too.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            yield connection
