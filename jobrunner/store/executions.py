"""Statements about executions. Each function runs inside the transaction of its caller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from jobrunner.core.records import Abort, Execution, Scope
from jobrunner.core.states import TaskState
from jobrunner.errors import AlreadyExists, NotFound, Refused
from jobrunner.lib.database import Session
from jobrunner.ports import Page
from jobrunner.store import feed, runkeys
from jobrunner.store.documents import encode
from jobrunner.store.paging import after, around, bad_token, tail
from jobrunner.store.recall import LARGEST_PAGE, MARK, Recall
from jobrunner.store.rows import (
    EXECUTION,
    abort_row,
    columns,
    execution_of,
    execution_row,
)

# ------------------------------------------------------------------------------------- reading

_COLUMNS = f"SELECT {columns(EXECUTION)}"
_MARKS = f"SELECT {columns(MARK)}"
SELECT = f"{_COLUMNS} FROM executions"
_BY_UID = f"{SELECT} WHERE uid = ?"
_BY_NAME = f"{SELECT} WHERE project = ? AND region = ? AND name = ?"
_NAMES = "SELECT name FROM executions WHERE project = ? AND region = ? ORDER BY name"
_PLACE = "SELECT created_at FROM executions WHERE uid = ?"


def by_uid(session: Session, uid: str) -> Execution:
    row = session.execute(_BY_UID, (uid,)).fetchone()
    if row is None:
        raise NotFound(f"There is no execution with the uid {uid!r}.")
    return execution_of(row)


def by_name(session: Session, scope: Scope, name: str) -> Execution:
    row = session.execute(_BY_NAME, (*scope, name)).fetchone()
    if row is None:
        raise NotFound(
            f"There is no execution named {name!r} in project {scope.project!r},"
            f" region {scope.region!r}."
        )
    return execution_of(row)


def listing(
    session: Session,
    scope: Scope | None,
    job: str | None,
    parent: str | None,
    hidden: bool,
    ended_after: float | None,
    page: Page | None,
    recall: Recall | None = None,
) -> Sequence[Execution]:
    where: list[str] = [] if hidden else ["NOT hidden"]
    params: list[object] = []
    if scope is not None:
        where.append("project = ? AND region = ?")
        params += scope
    if job is not None:
        where.append("job_name = ?")
        params.append(job)
    if parent is not None:
        where.append("parent = ?")
        params.append(parent)
    if ended_after == math.inf:
        where.append("completed_at IS NULL")
    elif ended_after is not None:
        where.append("(completed_at IS NULL OR completed_at > ?)")
        params.append(ended_after)
    token = after(page)
    if token is not None:
        last = session.execute(_PLACE, (token,)).fetchone()
        if last is None:
            raise bad_token(token, "the uid of an execution that still exists")
        where.append("(created_at, uid) < (?, ?)")
        params += (last[0], token)
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    limit, count = tail(page)
    chosen = f" FROM executions{condition} ORDER BY created_at DESC, uid DESC{limit}"
    params += count
    if recall is None or page is None or page.limit > LARGEST_PAGE:
        return [execution_of(row) for row in session.execute(_COLUMNS + chosen, params)]
    known = recall.executions(session.execute(_MARKS + chosen, params).fetchall())
    if known is not None:
        return known
    return [recall.execution(row) for row in session.execute(_COLUMNS + chosen, params)]


def names(session: Session, scope: Scope, near: str | None) -> Sequence[str]:
    if near is None:
        return [row[0] for row in session.execute(_NAMES, scope)]
    return around(session, "SELECT name FROM executions", scope, near)


# ------------------------------------------------------------------------------------ creating

_COUNT = (
    "UPDATE jobs SET execution_count = execution_count + 1, latest_uid = ? WHERE uid = ?"
    " RETURNING hidden"
)
_LITERALS = {id(None): "NULL", id(True): "TRUE", id(False): "FALSE"}
_INSERTS: dict[tuple[str, ...], str] = {}
"""By which columns are literals; a handful."""
_TASK_COLUMNS = "execution, idx, state, attempts, counted, lost, reason, message"
_INSERT_ONE = (
    f"INSERT INTO tasks ({_TASK_COLUMNS})"
    f" VALUES (?, 0, '{TaskState.PENDING.value}', 0, 0, 0, '', '')"
)
_INSERT_RANGE = (
    "WITH RECURSIVE numbers (i) AS"
    " (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < ?)"
    f" INSERT INTO tasks ({_TASK_COLUMNS})"
    f" SELECT ?, i, '{TaskState.PENDING.value}', 0, 0, 0, '', '' FROM numbers"
)
_INSERT_CHOSEN = (
    f"INSERT INTO tasks ({_TASK_COLUMNS})"
    f" SELECT ?, n, '{TaskState.PENDING.value}', 0, 0, 0, '', '' FROM "
)


class OpenedBefore(Exception):
    """The idempotency key was used already; undoes the transaction."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution


def create(session: Session, execution: Execution) -> Execution:
    """Raises :class:`OpenedBefore` with the earlier execution of the same key."""
    # Taking the job's row first makes creators of one job wait for each other.
    job = session.execute(_COUNT, (execution.uid, execution.job_uid)).fetchall()
    if not job:
        raise NotFound(f"The job {execution.job_name!r} does not exist any more.")
    if execution.idempotency_key is not None:
        earlier = runkeys.take(session, execution)
        if earlier is not None:
            row = session.execute(_BY_UID, (earlier,)).fetchone()
            if row is None:
                raise runkeys.removed(session, execution)
            raise OpenedBefore(execution_of(row))
    hidden = bool(job[0][0])
    if execution.hidden is not hidden:
        execution = replace(execution, hidden=hidden)
    if not _insert(session, execution_row(execution)):
        raise AlreadyExists(
            f"Execution {execution.name!r} already exists in project"
            f" {execution.project!r}, region {execution.region!r}."
        )
    _create_tasks(session, execution)
    feed.append(session, execution.uid, 1, execution.created_at, [("created", _told(execution))])
    return execution


def _insert(session: Session, row: tuple[object, ...]) -> int:
    # The driver of SQLite takes ten times as long to bind None or a boolean as to bind text, and
    # most of a new execution is not known yet.
    shape = tuple([_LITERALS.get(id(value), "?") for value in row])
    sql = _INSERTS.get(shape)
    if sql is None:
        sql = _INSERTS[shape] = (
            f"INSERT INTO executions ({columns(EXECUTION)}, change_count)"
            f" VALUES ({', '.join(shape)}, 1) ON CONFLICT (project, region, name) DO NOTHING"
        )
    return session.execute(sql, [value for value in row if id(value) not in _LITERALS]).rowcount


def _create_tasks(session: Session, execution: Execution) -> None:
    if execution.indices is None:
        if execution.task_count == 1:
            session.execute(_INSERT_ONE, (execution.uid,))
        elif execution.task_count > 0:
            session.execute(_INSERT_RANGE, (execution.task_count, execution.uid))
        return
    session.execute(_INSERT_CHOSEN + session.numbers, (execution.uid, encode(execution.indices)))


def _told(execution: Execution) -> dict[str, str]:
    """What the feed says, so that it can be read when the execution is gone."""
    return {
        "project": execution.project,
        "region": execution.region,
        "job": execution.job_name,
        "name": execution.name,
    }


# ------------------------------------------------------------------------- wishes and removing

_ABORT = (
    "UPDATE executions SET abort_kind = ?, abort_at = ?, abort_message = ?,"
    " abort_reason = ?,"
    " resource_version = resource_version + 1"
    " WHERE uid = ? AND completed_at IS NULL AND abort_kind IS NULL"
)
_DELETE = "DELETE FROM executions WHERE uid = ? RETURNING job_uid"
_LOCK_JOB = "UPDATE jobs SET execution_count = execution_count WHERE uid = ?"
_LATEST = (
    "UPDATE jobs SET latest_uid = (SELECT uid FROM executions WHERE job_uid = jobs.uid"
    " ORDER BY created_at DESC, uid DESC LIMIT 1) WHERE uid = ? AND latest_uid = ?"
)
_DELETE_SPENT_JOB = (
    "DELETE FROM jobs WHERE uid = ? AND hidden"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE job_uid = jobs.uid)"
)


def request_abort(session: Session, uid: str, abort: Abort) -> Execution:
    changed = session.execute(_ABORT, (*abort_row(abort), uid)).rowcount
    execution = by_uid(session, uid)
    if not changed and execution.completed_at is not None:
        raise Refused(f"Execution {execution.name!r} has ended already ({execution.state.value}).")
    return execution


def delete(session: Session, uid: str) -> None:
    rows = session.execute(_DELETE, (uid,)).fetchall()
    if not rows:
        raise NotFound(f"There is no execution with the uid {uid!r}.")
    job_uid = rows[0][0]
    # A creator that holds the job's row has to be waited for, or the next two would not see
    # what it creates.
    session.execute(_LOCK_JOB, (job_uid,))
    session.execute(_LATEST, (job_uid, uid))
    session.execute(_DELETE_SPENT_JOB, (job_uid,))
