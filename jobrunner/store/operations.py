"""Statements about long-running operations. Each runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Operation, Scope
from jobrunner.errors import NotFound
from jobrunner.lib.database import Session
from jobrunner.ports import Page
from jobrunner.store.paging import after, bad_token, tail
from jobrunner.store.rows import OPERATION, columns, marks, operation_of, operation_row

_KEPT = "kind target_kind target_uid target_name done_at document"
_PUT = (
    f"INSERT INTO operations ({columns(OPERATION)}) VALUES ({marks(OPERATION)})"
    " ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _KEPT.split())
)
_SELECT = f"SELECT {columns(OPERATION)} FROM operations WHERE project = ? AND region = ?"
_ONE = f"{_SELECT} AND id = ?"
_DELETE = "DELETE FROM operations WHERE project = ? AND region = ? AND id = ?"
_PRUNE = (
    "DELETE FROM operations WHERE created_at < ? AND (done_at < ? OR done_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE uid = operations.target_uid"
    " AND (completed_at IS NULL OR completed_at >= ?)))"
)


def put(session: Session, operation: Operation) -> None:
    session.execute(_PUT, operation_row(operation))


def get(session: Session, scope: Scope, id: str) -> Operation:
    row = session.execute(_ONE, (*scope, id)).fetchone()
    if row is None:
        raise _not_found(scope, id)
    return operation_of(row)


def listing(session: Session, scope: Scope, page: Page | None) -> Sequence[Operation]:
    sql, params = _SELECT, list[object](scope)
    token = after(page)
    if token is not None:
        last = session.execute(_ONE, (*scope, token)).fetchone()
        if last is None:
            raise bad_token(token, "the id of an operation that still exists")
        sql += " AND (created_at, id) < (?, ?)"
        params += (operation_of(last).created_at, token)
    limit, count = tail(page)
    rows = session.execute(f"{sql} ORDER BY created_at DESC, id DESC{limit}", (*params, *count))
    return [operation_of(row) for row in rows]


def delete(session: Session, scope: Scope, id: str) -> None:
    if not session.execute(_DELETE, (*scope, id)).rowcount:
        raise _not_found(scope, id)


def prune(session: Session, before: float) -> int:
    return session.execute(_PRUNE, (before, before, before)).rowcount


def _not_found(scope: Scope, id: str) -> NotFound:
    return NotFound(
        f"There is no operation {id!r} in project {scope.project!r}, region {scope.region!r}."
    )
