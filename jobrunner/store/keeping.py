"""Statements that find what may go, and numbers that stay."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import DEFAULT_PROJECT_NUMBER, Execution
from jobrunner.errors import NotFound
from jobrunner.lib.database import Session
from jobrunner.ports import Retention
from jobrunner.store.executions import SELECT
from jobrunner.store.rows import execution_of

# The inner parts read indexes only; templates are read for those that go. Jobs are counted before
# their executions are put in order, because hardly any job has too many.
_CROWDED = (
    "SELECT job_uid FROM executions WHERE completed_at IS NOT NULL"
    " GROUP BY job_uid HAVING COUNT(*) > ?"
)
_EXPIRED = (
    f"{SELECT} WHERE uid IN ("
    "SELECT uid FROM executions WHERE completed_at < ?"
    " UNION ALL"
    " SELECT uid FROM (SELECT uid, ROW_NUMBER() OVER"
    " (PARTITION BY job_uid ORDER BY completed_at DESC, uid DESC) AS place"
    f" FROM executions WHERE completed_at IS NOT NULL AND job_uid IN ({_CROWDED})) AS ended"
    " WHERE place > ?)"
    " ORDER BY completed_at, uid"
)
_OLDEST = f"{SELECT} WHERE completed_at IS NOT NULL ORDER BY completed_at, uid LIMIT ?"
# Whoever gives out a number holds the row that is always there.
_LOCK_PROJECTS = f"UPDATE projects SET number = number WHERE number = {DEFAULT_PROJECT_NUMBER}"
_PROJECT = "SELECT id FROM projects WHERE number = ?"
_NUMBER = "SELECT number FROM projects WHERE id = ?"
_NEW_NUMBER = (
    "INSERT INTO projects (id, number) SELECT ?, COALESCE(MAX(number), ?) + 1 FROM projects"
)


def expired(session: Session, retention: Retention, now: float) -> Sequence[Execution]:
    oldest, most = now - retention.max_age, retention.executions_per_job
    rows = session.execute(_EXPIRED, (oldest, most, most))
    return [execution_of(row) for row in rows]


def oldest_first(session: Session, limit: int) -> Sequence[Execution]:
    return [execution_of(row) for row in session.execute(_OLDEST, (limit,))]


def project_number(session: Session, project: str) -> int | None:
    row = session.execute(_NUMBER, (project,)).fetchone()
    return None if row is None else int(row[0])


def project_of(session: Session, number: int) -> str:
    row = session.execute(_PROJECT, (number,)).fetchone()
    if row is None:
        raise NotFound(f"No project has the number {number}.")
    return str(row[0])


def new_project_number(session: Session, project: str) -> int:
    session.execute(_LOCK_PROJECTS)
    known = project_number(session, project)
    if known is None:
        session.execute(_NEW_NUMBER, (project, DEFAULT_PROJECT_NUMBER))
        known = project_number(session, project)
        assert known is not None
    return known
