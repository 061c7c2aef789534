"""Deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTIAL = {
    "ix_deliveries_parent": "parent IS NOT NULL",
    "ix_deliveries_due": "state = 'PENDING' AND NOT waits",
    "ix_deliveries_lane_due": "state = 'PENDING' AND NOT waits",
    "ix_deliveries_order": "order_key IS NOT NULL AND settled_at IS NULL",
    "ix_deliveries_lease": "state = 'SENDING'",
    "ix_deliveries_following": "state = 'FOLLOWING'",
    "ix_deliveries_dead": "state = 'DEAD'",
    "ix_deliveries_settled": "settled_at IS NOT NULL",
    "ix_deliveries_ages": "state = 'PENDING' AND ages_out_at IS NOT NULL",
}


def index(name: str, *columns: str, unique: bool = False) -> None:
    where = sa.text(PARTIAL[name]) if name in PARTIAL else None
    op.create_index(
        name,
        "deliveries",
        list(columns),
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("retry", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("order_key", sa.Text(), nullable=True),
        sa.Column("waits", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("first_attempt_at", sa.Double(), nullable=True),
        sa.Column("last_attempt_at", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("responses", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("run_try", sa.Integer(), nullable=False),
        sa.Column("execution", sa.Text(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("hops", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("ages_out_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_deliveries")),
    )
    index("ix_deliveries_uid", "uid", unique=True)
    index("ix_deliveries_lane_key", "lane", "key", unique=True)
    index("ix_deliveries_parent", "parent", unique=True)
    index("ix_deliveries_due", "not_before", "position")
    index("ix_deliveries_lane_due", "lane", "place", "not_before", "position")
    index("ix_deliveries_order", "lane", "order_key", "position")
    index("ix_deliveries_lease", "lease_until")
    index("ix_deliveries_following", "position")
    index("ix_deliveries_dead", "position")
    index("ix_deliveries_settled", "settled_at")
    index("ix_deliveries_ages", "ages_out_at")
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("scheduled_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("ruling", sa.Text(), nullable=True),
        sa.Column("excerpt", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("execution", sa.Text(), nullable=True),
        sa.Column("retry_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery"],
            ["deliveries.uid"],
            name=op.f("fk_delivery_attempts_delivery"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery", "number", name=op.f("pk_delivery_attempts")),
        sqlite_with_rowid=False,
    )
