"""The hot path: all writes of one turn of the executor's loop, guarded, in constant statements."""

from __future__ import annotations

from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import LIVE, SETTLED_EXECUTIONS, TaskState
from jobrunner.errors import StaleWrite
from jobrunner.lib.database import Session
from jobrunner.ports import Move, Turn
from jobrunner.store import feed
from jobrunner.store.rows import abort_row, clean

# The lease's end only moves forward and the first abort wish stays, whatever this writer knew.
# A settled execution is final.
_EXECUTION = (
    "UPDATE executions SET state = ?, running = ?, succeeded = ?, failed = ?, cancelled = ?,"
    " retried = ?, started_at = ?, completed_at = ?, reason = ?, message = ?, failed_index = ?,"
    " image_digest = ?,"
    " abort_kind = COALESCE(abort_kind, ?), abort_at = COALESCE(abort_at, ?),"
    " abort_message = COALESCE(abort_message, ?),"
    " lease_until = CASE WHEN lease_until < ? THEN ? ELSE lease_until END,"
    " resource_version = resource_version + 1, change_count = change_count + ?"
    " WHERE uid = ? AND lease_owner = ? AND lease_epoch = ? AND completed_at IS NULL"
)
_OPEN = (
    "INSERT INTO attempts (execution, idx, number, state, handle, stop_reason, claimed_at,"
    " launched_at, stopping_at, ended_at, exit_code, signal, oom, reason, message, usage_user,"
    " usage_system, usage_max_rss, output)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (execution, idx, number) DO NOTHING"
)
_MOVE = (
    "UPDATE attempts SET state = ?, handle = ?, stop_reason = ?, claimed_at = ?,"
    " launched_at = ?, stopping_at = ?, ended_at = ?, exit_code = ?, signal = ?, oom = ?,"
    " reason = ?, message = ?, usage_user = ?, usage_system = ?, usage_max_rss = ?, output = ?"
    " WHERE execution = ? AND idx = ? AND number = ? AND state = ?"
)
_TASK = (
    "UPDATE tasks SET state = ?, attempts = ?, counted = ?, lost = ?, not_before = ?,"
    " started_at = ?, completed_at = ?, reason = ?, message = ?, exit_code = ?, signal = ?"
    " WHERE execution = ? AND idx = ?"
)
_LIVE = ", ".join(f"'{state.value}'" for state in sorted(LIVE))
_ABANDON = (
    f"UPDATE tasks SET state = ?, completed_at = ?"
    f" WHERE execution = ? AND state = '{TaskState.PENDING.value}' AND idx NOT IN"
    f" (SELECT idx FROM attempts WHERE execution = ? AND state IN ({_LIVE}))"
)
_CHANGE_COUNT = "SELECT change_count FROM executions WHERE uid = ?"


def record(session: Session, turn: Turn) -> None:
    execution = turn.execution
    settled = execution.state in SETTLED_EXECUTIONS
    if settled is not (execution.completed_at is not None):
        raise ValueError(f"{execution.state} and completed_at={execution.completed_at} disagree")
    _guard(session, execution, len(turn.changes))
    if turn.opened:
        opened = session.executemany(_OPEN, [_opened(attempt) for attempt in turn.opened])
        if opened != len(turn.opened):
            raise StaleWrite(f"an attempt of {execution.name!r} was opened by somebody else")
    if turn.moved:
        moved = session.executemany(_MOVE, [_moved(move) for move in turn.moved])
        if moved != len(turn.moved):
            raise StaleWrite(_which(session, turn))
    if turn.tasks:
        written = session.executemany(_TASK, [_task(task) for task in turn.tasks])
        if written != len(turn.tasks):
            raise StaleWrite(f"a task of {execution.name!r} does not exist")
    if turn.abandoned is not None:
        uid = execution.uid
        session.execute(_ABANDON, (turn.abandoned.value, turn.at, uid, uid))
    if turn.changes:
        [(last,)] = session.execute(_CHANGE_COUNT, (execution.uid,)).fetchall()
        feed.append(session, execution.uid, last, turn.at, turn.changes)


def _guard(session: Session, execution: Execution, changes: int) -> None:
    lease, counters = execution.lease, execution.counters
    if lease is None:
        raise StaleWrite(f"{execution.name!r} was written without a lease")
    written = session.execute(
        _EXECUTION,
        (
            execution.state.value,
            counters.running,
            counters.succeeded,
            counters.failed,
            counters.cancelled,
            counters.retried,
            execution.started_at,
            execution.completed_at,
            execution.reason,
            clean(execution.message),
            execution.failed_index,
            execution.image_digest,
            *abort_row(execution.abort),
            lease.until,
            lease.until,
            changes,
            execution.uid,
            lease.owner,
            lease.epoch,
        ),
    ).rowcount
    if written != 1:
        raise StaleWrite(
            f"the lease {lease.epoch} of {lease.owner} on {execution.name!r} is gone: somebody"
            " else drives it now, or it has ended or was deleted"
        )


def _opened(attempt: Attempt) -> tuple[object, ...]:
    usage = attempt.usage
    return (
        attempt.execution,
        attempt.index,
        attempt.number,
        attempt.state.value,
        attempt.handle,
        attempt.stop_reason,
        attempt.claimed_at,
        attempt.launched_at,
        attempt.stopping_at,
        attempt.ended_at,
        attempt.exit_code,
        attempt.signal,
        attempt.oom,
        attempt.reason,
        clean(attempt.message),
        usage.user,
        usage.system,
        usage.max_rss,
        attempt.output,
    )


def _moved(move: Move) -> tuple[object, ...]:
    attempt = move.attempt
    usage = attempt.usage
    return (
        attempt.state.value,
        attempt.handle,
        attempt.stop_reason,
        attempt.claimed_at,
        attempt.launched_at,
        attempt.stopping_at,
        attempt.ended_at,
        attempt.exit_code,
        attempt.signal,
        attempt.oom,
        attempt.reason,
        clean(attempt.message),
        usage.user,
        usage.system,
        usage.max_rss,
        attempt.output,
        attempt.execution,
        attempt.index,
        attempt.number,
        move.expect.value,
    )


def _task(task: Task) -> tuple[object, ...]:
    return (
        task.state.value,
        task.attempts,
        task.counted,
        task.lost,
        task.not_before,
        task.started_at,
        task.completed_at,
        task.reason,
        clean(task.message),
        task.exit_code,
        task.signal,
        task.execution,
        task.index,
    )


_STATE = "SELECT state FROM attempts WHERE execution = ? AND idx = ? AND number = ?"


def _which(session: Session, turn: Turn) -> str:
    """Says which move went wrong; called before the transaction is rolled back."""
    for move in turn.moved:
        row = session.execute(_STATE, move.attempt.key).fetchone()
        # What this turn moved stands in its new state already.
        if row is None or row[0] != move.attempt.state.value:
            found = "does not exist" if row is None else f"is {row[0]}"
            return f"the attempt {move.attempt.key} {found}, expected {move.expect.value}"
    return f"an attempt of {turn.execution.name!r} was not in the expected state"
