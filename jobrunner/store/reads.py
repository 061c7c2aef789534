"""Reading tasks and attempts. Each function runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobrunner.core.records import Attempt, Task
from jobrunner.core.states import ENDED, TaskState
from jobrunner.errors import NotFound
from jobrunner.lib.database import Session
from jobrunner.ports import Loaded, Page
from jobrunner.store import executions
from jobrunner.store.paging import after, bad_token, tail
from jobrunner.store.rows import ATTEMPT, TASK, attempt_of, columns, task_of

_TASKS = f"SELECT {columns(TASK)} FROM tasks WHERE execution = ?"
_ATTEMPTS = f"SELECT {columns(ATTEMPT)} FROM attempts WHERE execution = ?"
_ENDED = ", ".join(f"'{state.value}'" for state in sorted(ENDED))
_LIVE_ATTEMPTS = f"{_ATTEMPTS} AND state NOT IN ({_ENDED}) ORDER BY idx, number"


def load(session: Session, uid: str) -> Loaded:
    execution = executions.by_uid(session, uid)
    uid = execution.uid
    tasks = [task_of(uid, row) for row in session.execute(f"{_TASKS} ORDER BY idx", (uid,))]
    live = [attempt_of(uid, row) for row in session.execute(_LIVE_ATTEMPTS, (uid,))]
    return Loaded(execution, tasks, live)


def tasks(
    session: Session, execution: str, states: Iterable[TaskState] | None, page: Page | None
) -> Sequence[Task]:
    sql, params = _TASKS, [execution]  # type: str, list[object]
    if states is not None:
        wanted = sorted({state.value for state in states})
        if not wanted:
            return []
        sql += f" AND state IN ({', '.join('?' for _ in wanted)})"
        params += wanted
    token = after(page)
    if token is not None:
        if not token.isdecimal():
            raise bad_token(token, "the index of the last task")
        sql += " AND idx > ?"
        params.append(int(token))
    limit, count = tail(page)
    rows = session.execute(f"{sql} ORDER BY idx{limit}", (*params, *count))
    return [task_of(execution, row) for row in rows]


def task(session: Session, execution: str, index: int) -> Task:
    row = session.execute(f"{_TASKS} AND idx = ?", (execution, index)).fetchone()
    if row is None:
        raise NotFound(f"The execution {execution!r} has no task {index}.")
    return task_of(execution, row)


def attempts(session: Session, execution: str, index: int | None) -> Sequence[Attempt]:
    if index is None:
        rows = session.execute(f"{_ATTEMPTS} ORDER BY idx, number", (execution,))
    else:
        rows = session.execute(f"{_ATTEMPTS} AND idx = ? ORDER BY number", (execution, index))
    return [attempt_of(execution, row) for row in rows]
