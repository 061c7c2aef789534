"""Queues, and the gates that their tasks pass."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

READY = "state = 'PENDING' AND NOT waits AND {} gated"


def index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "queues",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_queues")),
        sa.UniqueConstraint(
            "project", "region", "name", name=op.f("uq_queues_project_region_name")
        ),
    )
    op.create_table(
        "gates",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("per_second", sa.Double(), nullable=False),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.Column("concurrent", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("override", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("lane", name=op.f("pk_gates")),
        sqlite_with_rowid=False,
    )
    index("ix_gates_due", "gates", ["due_at", "lane"], "is_open AND due_at IS NOT NULL")
    for name in ("gated", "forced"):
        op.add_column(
            "deliveries",
            sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False),
        )
    # What waits behind a gate must not stand in the way of what does not.
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    op.drop_index("ix_deliveries_lane_due", table_name="deliveries")
    for kind, word in (("", "NOT"), ("gated_", "")):
        ready = " ".join(READY.format(word).split())
        place = ["lane", "place", "not_before", "position"]
        index(f"ix_deliveries_{kind}lane_due", "deliveries", place, ready)
        due = ["lane", "not_before", "position"] if kind else ["not_before", "position"]
        index(f"ix_deliveries_{kind}due", "deliveries", due, ready)
    index(
        "ix_deliveries_tasks",
        "deliveries",
        ["lane", "position"],
        "source = 'queue' AND settled_at IS NULL",
    )
    index(
        "ix_deliveries_under_way",
        "deliveries",
        ["lane"],
        "source = 'queue' AND (state = 'SENDING' OR state = 'FOLLOWING')",
    )
