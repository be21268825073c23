"""What Alembic runs for each of its commands: ours in upgrade(), or `alembic` by hand."""

import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from app.database import changing_schema, open_engine
from app.library import Base, UtcDateTime
from app.settings import Settings


def render_item(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Steps stand alone: our own types are written as SQLAlchemy's that they stand on."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite's tables cannot be altered in place
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    with changing_schema(open_engine(Settings.read(os.environ).database_url)) as connection:
        run(connection)
