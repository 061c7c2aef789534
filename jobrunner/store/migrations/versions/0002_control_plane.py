"""What a server keeps: operations, policies, tokens, the audit log, idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVING = sa.text("revoked_at IS NULL")
SHOWN = sa.text("NOT hidden")
WISHED = sa.text("completed_at IS NULL AND abort_kind IS NOT NULL")
CHILDREN = sa.text("parent IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "run_keys",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("execution", sa.Text(), nullable=False),
        sa.Column("execution_name", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "region", "job_name", "key", name=op.f("pk_run_keys")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_keys_at", "run_keys", ["at"])
    op.create_table(
        "operations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target_uid", sa.Text(), nullable=False),
        sa.Column("target_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(
        "ix_operations_place_created", "operations", ["project", "region", "created_at", "id"]
    )
    op.create_index("ix_operations_created", "operations", ["created_at"])
    op.create_table(
        "policies",
        sa.Column("job_uid", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_uid"], ["jobs.uid"], name=op.f("fk_policies_job_uid"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_uid", name=op.f("pk_policies")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_index(
        "ix_tokens_living_name",
        "tokens",
        ["name"],
        unique=True,
        sqlite_where=LIVING,
        postgresql_where=LIVING,
    )
    op.create_table(
        "audit",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_table(
        "homes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_homes")),
    )
    op.create_index(
        "ix_executions_parent",
        "executions",
        ["project", "region", "parent", "created_at", "uid"],
        sqlite_where=CHILDREN,
        postgresql_where=CHILDREN,
    )
    op.create_index(
        "ix_jobs_shown",
        "jobs",
        ["project", "region", "name"],
        sqlite_where=SHOWN,
        postgresql_where=SHOWN,
    )
    op.drop_index("ix_executions_created", table_name="executions")
    op.create_index(
        "ix_executions_shown",
        "executions",
        ["created_at", "uid"],
        sqlite_where=SHOWN,
        postgresql_where=SHOWN,
    )
    op.create_index(
        "ix_executions_place_shown",
        "executions",
        ["project", "region", "created_at", "uid"],
        sqlite_where=SHOWN,
        postgresql_where=SHOWN,
    )
    op.create_index(
        "ix_executions_wished",
        "executions",
        ["created_at"],
        sqlite_where=WISHED,
        postgresql_where=WISHED,
    )
    op.execute("INSERT INTO counters (name, value) VALUES ('audit', 0)")
    op.execute(
        "INSERT INTO run_keys (project, region, job_name, key, execution, execution_name, at)"
        " SELECT project, region, job_name, idempotency_key, uid, name, created_at"
        " FROM executions WHERE idempotency_key IS NOT NULL"
    )
