"""The schema of app.library's tables, step by step, with Alembic.

A new step, against a database that has all the others:

    alembic upgrade head
    alembic revision --autogenerate --rev-id 0002 -m "what it changes"
"""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Brings the schema up to date in the connection's transaction, a changing_schema().

    Raises alembic.util.CommandError where the schema is newer than these steps.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "app:migrations")
    command.upgrade(config, "head")
