"""The tables, as SQLModel classes: the one source of the schema.

Migrations are checked against them. At run time nobody imports this file: statements go to the
driver directly. Instants are Unix seconds in double precision, documents are JSON text. What each
table is for stands in ``docs/reference/state.md``.
"""

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Double, Index, MetaData, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""Every constraint has a name, so that a later migration can speak of it."""


class Base(SQLModel):
    """Keeps our tables apart from those of other packages in one process."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# Rows of the two big tables are found by their key only, so on SQLite they live in its tree.
_CLUSTERED = {"sqlite_with_rowid": False}
_UNSETTLED = _where("completed_at IS NULL")
_SETTLED = _where("completed_at IS NOT NULL")
# One-off runs may be many more than what a list without them shows.
_SHOWN = _where("NOT hidden")
_CHILDREN = _where("parent IS NOT NULL")
# They are asked for again and again, and those that wait for a slot may be very many.
_WISHED = _where("completed_at IS NULL AND abort_kind IS NOT NULL")


class JobRow(Base, table=True):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("project", "region", "name"),
        Index("ix_jobs_shown", "project", "region", "name", **_SHOWN),
    )

    uid: str = Field(sa_type=Text, primary_key=True)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    spec: str = Field(sa_type=Text)
    generation: int
    resource_version: int = Field(sa_type=BigInteger)
    created_at: float = Field(sa_type=Double)
    updated_at: float = Field(sa_type=Double)
    creator: str = Field(sa_type=Text)
    last_modifier: str = Field(sa_type=Text)
    execution_count: int
    hidden: bool
    # Not a foreign key: two tables that name each other could not be filled.
    latest_uid: str | None = Field(sa_type=Text)


class ExecutionRow(Base, table=True):
    __tablename__ = "executions"
    __table_args__ = (
        UniqueConstraint("project", "region", "name"),
        UniqueConstraint("job_uid", "idempotency_key"),
        Index("ix_executions_shown", "created_at", "uid", **_SHOWN),
        Index("ix_executions_place_shown", "project", "region", "created_at", "uid", **_SHOWN),
        Index("ix_executions_place_created", "project", "region", "created_at", "uid"),
        Index("ix_executions_job_created", "project", "region", "job_name", "created_at", "uid"),
        Index("ix_executions_unsettled", "created_at", **_UNSETTLED),
        Index("ix_executions_lease", "lease_owner", **_UNSETTLED),
        Index("ix_executions_wished", "created_at", **_WISHED),
        Index(
            "ix_executions_parent",
            "project",
            "region",
            "parent",
            "created_at",
            "uid",
            **_CHILDREN,
        ),
        Index("ix_executions_settled", "completed_at", "uid", **_SETTLED),
        Index("ix_executions_job_settled", "job_uid", "completed_at", "uid", **_SETTLED),
    )

    uid: str = Field(sa_type=Text, primary_key=True)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    job_uid: str = Field(sa_type=Text, foreign_key="jobs.uid", ondelete="CASCADE")
    job_name: str = Field(sa_type=Text)
    job_generation: int
    template: str = Field(sa_type=Text)
    task_count: int
    parallelism: int
    backend: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    running: int
    succeeded: int
    failed: int
    cancelled: int
    retried: int
    labels: str = Field(sa_type=Text)
    annotations: str = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)
    started_at: float | None = Field(sa_type=Double)
    completed_at: float | None = Field(sa_type=Double)
    creator: str = Field(sa_type=Text)
    indices: str | None = Field(sa_type=Text)
    env_task_count: int
    parent: str | None = Field(sa_type=Text)
    image_digest: str | None = Field(sa_type=Text)
    abort_kind: str | None = Field(sa_type=Text)
    abort_at: float | None = Field(sa_type=Double)
    abort_message: str | None = Field(sa_type=Text)
    abort_reason: str | None = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)
    failed_index: int | None
    lease_owner: str | None = Field(sa_type=Text)
    lease_epoch: int
    lease_until: float | None = Field(sa_type=Double)
    generation: int
    resource_version: int = Field(sa_type=BigInteger)
    hidden: bool
    idempotency_key: str | None = Field(sa_type=Text)
    change_count: int


class TaskRow(Base, table=True):
    __tablename__ = "tasks"
    __table_args__ = (_CLUSTERED,)

    execution: str = Field(
        sa_type=Text, primary_key=True, foreign_key="executions.uid", ondelete="CASCADE"
    )
    idx: int = Field(primary_key=True)
    state: str = Field(sa_type=Text)
    attempts: int
    counted: int
    lost: int
    not_before: float | None = Field(sa_type=Double)
    started_at: float | None = Field(sa_type=Double)
    completed_at: float | None = Field(sa_type=Double)
    reason: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)
    exit_code: int | None = Field(sa_type=BigInteger)
    signal: int | None


class AttemptRow(Base, table=True):
    __tablename__ = "attempts"
    __table_args__ = (_CLUSTERED,)

    execution: str = Field(
        sa_type=Text, primary_key=True, foreign_key="executions.uid", ondelete="CASCADE"
    )
    idx: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    state: str = Field(sa_type=Text)
    handle: str | None = Field(sa_type=Text)
    stop_reason: str | None = Field(sa_type=Text)
    claimed_at: float = Field(sa_type=Double)
    launched_at: float | None = Field(sa_type=Double)
    stopping_at: float | None = Field(sa_type=Double)
    ended_at: float | None = Field(sa_type=Double)
    exit_code: int | None = Field(sa_type=BigInteger)
    signal: int | None
    oom: bool
    reason: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)
    usage_user: float | None = Field(sa_type=Double)
    usage_system: float | None = Field(sa_type=Double)
    usage_max_rss: int | None = Field(sa_type=BigInteger)
    output: int | None = Field(sa_type=BigInteger)


class ChangeRow(Base, table=True):
    """The feed outlives what it speaks of, so it refers to executions by name only."""

    __tablename__ = "changes"
    __table_args__ = (
        UniqueConstraint("execution", "sequence"),
        Index("ix_changes_at", "at"),
    )

    position: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    execution: str = Field(sa_type=Text)
    sequence: int
    kind: str = Field(sa_type=Text)
    at: float = Field(sa_type=Double)
    data: str = Field(sa_type=Text)


class CounterRow(Base, table=True):
    """Numbers that only grow. ``changes`` is the last position of the feed; taking the next one
    locks the row, so positions become visible in their order and a reader skips none."""

    __tablename__ = "counters"

    name: str = Field(sa_type=Text, primary_key=True)
    value: int = Field(sa_type=BigInteger)


class ProjectRow(Base, table=True):
    """The number that stands for a project id where the contract wants one."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("number"),)

    id: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(sa_type=BigInteger)


class HomeRow(Base, table=True):
    """Whose database this is, at most one row: what runs is known to one home alone."""

    __tablename__ = "homes"

    id: str = Field(sa_type=Text, primary_key=True)
    path: str = Field(sa_type=Text)
    host: str = Field(sa_type=Text)
    since: float = Field(sa_type=Double)


class RunKeyRow(Base, table=True):
    """Idempotency keys of runs. They outlive execution and job, so they refer to both by name."""

    __tablename__ = "run_keys"
    __table_args__ = (Index("ix_run_keys_at", "at"), _CLUSTERED)

    project: str = Field(sa_type=Text, primary_key=True)
    region: str = Field(sa_type=Text, primary_key=True)
    job_name: str = Field(sa_type=Text, primary_key=True)
    key: str = Field(sa_type=Text, primary_key=True)
    execution: str = Field(sa_type=Text)
    execution_name: str = Field(sa_type=Text)
    at: float = Field(sa_type=Double)


class OperationRow(Base, table=True):
    """Long-running operations. They outlive what they are about."""

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_place_created", "project", "region", "created_at", "id"),
        Index("ix_operations_created", "created_at"),
    )

    id: str = Field(sa_type=Text, primary_key=True)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    target_kind: str = Field(sa_type=Text)
    target_uid: str = Field(sa_type=Text)
    target_name: str = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)
    done_at: float | None = Field(sa_type=Double)
    document: str = Field(sa_type=Text)


class PolicyRow(Base, table=True):
    """Who may do what with a job; goes with it."""

    __tablename__ = "policies"

    job_uid: str = Field(sa_type=Text, primary_key=True, foreign_key="jobs.uid", ondelete="CASCADE")
    document: str = Field(sa_type=Text)
    etag: str = Field(sa_type=Text)
    version: int


class TokenRow(Base, table=True):
    """Tokens by the hash of their text. A name is free again when its token is revoked."""

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("hash"),
        Index("ix_tokens_living_name", "name", unique=True, **_where("revoked_at IS NULL")),
    )

    id: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text)
    role: int
    hash: str = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)
    expires_at: float | None = Field(sa_type=Double)
    last_used_at: float | None = Field(sa_type=Double)
    revoked_at: float | None = Field(sa_type=Double)
    creator: str = Field(sa_type=Text)


class AuditRow(Base, table=True):
    """Who changed or ran what. Positions come from the counter ``audit``."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at", "at"),)

    position: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    at: float = Field(sa_type=Double)
    actor: str = Field(sa_type=Text)
    method: str = Field(sa_type=Text)
    resource: str = Field(sa_type=Text)
    code: int
    detail: str = Field(sa_type=Text)
