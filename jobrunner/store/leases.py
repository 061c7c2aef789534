"""Statements about leases: who drives an execution, and until when.

Each change is one conditional UPDATE, so of two runners that try at once one finds no row.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Abort, Execution
from jobrunner.errors import Refused
from jobrunner.lib.database import Session
from jobrunner.store import executions

_CLAIM = (
    "UPDATE executions SET"
    " lease_epoch = CASE WHEN lease_owner = ? THEN lease_epoch ELSE lease_epoch + 1 END,"
    " lease_owner = ?, lease_until = ?"
    " WHERE uid = ? AND completed_at IS NULL"
    " AND (lease_owner IS NULL OR lease_owner = ? OR lease_until <= ?)"
)
_CLAIMABLE = (
    "SELECT uid FROM executions WHERE completed_at IS NULL AND NOT hidden"
    " AND (lease_owner IS NULL OR lease_until <= ?) ORDER BY created_at LIMIT ?"
)
_WISHED = (
    "SELECT uid FROM executions WHERE completed_at IS NULL AND abort_kind IS NOT NULL"
    " AND (lease_owner IS NULL OR lease_until <= ?) ORDER BY created_at LIMIT ?"
)
_HEARTBEAT = (
    "UPDATE executions SET lease_until = CASE WHEN lease_until < ? THEN ? ELSE lease_until END"
    " WHERE lease_owner = ? AND completed_at IS NULL"
)
_RELEASE = (
    "UPDATE executions SET lease_owner = NULL, lease_until = NULL WHERE uid = ? AND lease_owner = ?"
)
_ABORTS = (
    "SELECT uid, abort_kind, abort_at, abort_message, abort_reason FROM executions"
    " WHERE lease_owner = ? AND completed_at IS NULL AND abort_kind IS NOT NULL"
)


def claim(session: Session, uid: str, owner: str, now: float, ttl: float) -> Execution:
    changed = session.execute(_CLAIM, (owner, owner, now + ttl, uid, owner, now)).rowcount
    execution = executions.by_uid(session, uid)
    if changed:
        return execution
    if execution.completed_at is not None:
        raise Refused(f"Execution {execution.name!r} has ended already ({execution.state.value}).")
    holder = execution.lease
    assert holder is not None
    raise Refused(
        f"Execution {execution.name!r} is driven by {holder.owner},"
        f" whose lease runs for another {holder.until - now:.0f} s."
    )


def claimable(session: Session, now: float, limit: int) -> Sequence[str]:
    return [row[0] for row in session.execute(_CLAIMABLE, (now, limit))]


def wished(session: Session, now: float, limit: int) -> Sequence[str]:
    return [row[0] for row in session.execute(_WISHED, (now, limit))]


def heartbeat(session: Session, owner: str, now: float, ttl: float) -> int:
    until = now + ttl
    return session.execute(_HEARTBEAT, (until, until, owner)).rowcount


def release(session: Session, uid: str, owner: str) -> None:
    session.execute(_RELEASE, (uid, owner))


def aborts_for(session: Session, owner: str) -> Sequence[tuple[str, Abort]]:
    return [(row[0], Abort(*row[1:])) for row in session.execute(_ABORTS, (owner,))]
