"""Idempotency keys: which execution a key has opened, for longer than the execution is kept.

A key belongs to the name of a job, not to one life of it: a caller that repeats itself after the
job was deleted and made again must not run it a second time. Each function runs inside the
transaction of its caller.
"""

from __future__ import annotations

from jobrunner.core.records import Execution
from jobrunner.errors import KeySpent
from jobrunner.lib.database import Session
from jobrunner.store.rows import columns, marks

_COLUMNS = "project region job_name key execution execution_name at"
_TAKE = (
    f"INSERT INTO run_keys ({columns(_COLUMNS)}) VALUES ({marks(_COLUMNS)})"
    " ON CONFLICT (project, region, job_name, key) DO NOTHING"
)
_OPENED = (
    "SELECT execution, execution_name FROM run_keys"
    " WHERE project = ? AND region = ? AND job_name = ? AND key = ?"
)
# A key of an execution that is still there would be missed by nobody but its repeated caller.
_PRUNE = (
    "DELETE FROM run_keys WHERE at < ?"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE uid = run_keys.execution)"
)


def take(session: Session, execution: Execution) -> str | None:
    """Ties the key of ``execution`` to it; the uid of the earlier execution if it is taken."""
    place = (*execution.scope, execution.job_name, execution.idempotency_key)
    values = (*place, execution.uid, execution.name, execution.created_at)
    if session.execute(_TAKE, values).rowcount:
        return None
    row = session.execute(_OPENED, place).fetchone()
    assert row is not None
    return str(row[0])


def removed(session: Session, execution: Execution) -> KeySpent:
    """What to say when the execution that the key has opened is not there any more."""
    place = (*execution.scope, execution.job_name, execution.idempotency_key)
    row = session.execute(_OPENED, place).fetchone()
    assert row is not None
    return KeySpent(
        f"The idempotency key {execution.idempotency_key!r} has opened execution {row[1]!r}"
        f" of job {execution.job_name!r} before, which has been removed since;"
        " nothing was started.",
        hint="Use a new key to run the job once more.",
    )


def prune(session: Session, before: float) -> int:
    return session.execute(_PRUNE, (before,)).rowcount
