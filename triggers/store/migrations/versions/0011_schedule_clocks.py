"""Where schedules stand, apart from what they are: the one changes with each occurrence."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedule_clocks",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["uid"], ["schedules.uid"], name=op.f("fk_schedule_clocks_uid"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_schedule_clocks")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO schedule_clocks (uid, last, next_at) SELECT uid, last, next_at FROM schedules"
    )
    where = sa.text("next_at IS NOT NULL")
    op.create_index(
        "ix_schedule_clocks_next",
        "schedule_clocks",
        ["next_at", "uid"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.drop_index("ix_schedules_next", "schedules")
    op.drop_column("schedules", "last")
    op.drop_column("schedules", "next_at")
