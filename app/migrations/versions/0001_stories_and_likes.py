"""Stories and likes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stories",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("finish_reason", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("copied", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("parent", sa.String(12), nullable=True),
        sa.Column("likes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stories"),
    )
    op.create_index("ix_stories_created", "stories", ["created"])
    op.create_index("ix_stories_parent", "stories", ["parent"])
    op.create_table(
        "likes",
        sa.Column("story", sa.String(12), nullable=False),
        sa.Column("voter", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["story"], ["stories.id"], name="fk_likes_story", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story", "voter", name="pk_likes"),
    )


def downgrade() -> None:
    op.drop_table("likes")
    op.drop_table("stories")
