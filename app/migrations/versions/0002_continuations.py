"""Who went on with which story. Of what is there already nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "continuations",
        sa.Column("story", sa.String(12), nullable=False),
        sa.Column("voter", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["story"], ["stories.id"], name="fk_continuations_story", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story", "voter", name="pk_continuations"),
    )


def downgrade() -> None:
    op.drop_table("continuations")
