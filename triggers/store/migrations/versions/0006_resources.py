"""Subscriptions, event triggers, channels and the addresses of services."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("facet", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_resources")),
        sa.UniqueConstraint(
            "kind", "project", "region", "name", name=op.f("uq_resources_kind_project_region_name")
        ),
    )
    op.create_index("ix_resources_name", "resources", ["kind", "name"])
    op.create_index("ix_resources_facet", "resources", ["kind", "facet"])
