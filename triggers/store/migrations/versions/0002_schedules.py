"""Schedules and their occurrences."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("retry", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_schedules")),
        sa.UniqueConstraint(
            "project", "region", "name", name=op.f("uq_schedules_project_region_name")
        ),
    )
    index("ix_schedules_next", "schedules", ["next_at", "uid"], "next_at IS NOT NULL")
    op.create_table(
        "occurrences",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("nominal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("backfill", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("delivery", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["schedule"],
            ["schedules.uid"],
            name=op.f("fk_occurrences_schedule"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("schedule", "nominal", "backfill", name=op.f("pk_occurrences")),
        sqlite_with_rowid=False,
    )
    index("ix_occurrences_open", "occurrences", ["state", "schedule", "nominal"], "state = 'OPEN'")
    index(
        "ix_occurrences_waiting",
        "occurrences",
        ["state", "schedule", "nominal"],
        "state = 'WAITING'",
    )
    index("ix_occurrences_settled", "occurrences", ["settled_at"], "settled_at IS NOT NULL")
