"""The hot path: all writes of one turn of the executor's loop, guarded, in constant statements."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import LIVE, SETTLED_EXECUTIONS, AttemptState, TaskState
from jobrunner.errors import StaleWrite
from jobrunner.lib.database import Session
from jobrunner.ports import Move, Turn
from jobrunner.store import feed
from jobrunner.store.rows import abort_row, clean

# The lease's end only moves forward and the first abort wish stays, whatever this writer knew.
# A settled execution is final.
_GO_ON = (
    "UPDATE executions SET state = ?, running = ?, succeeded = ?, failed = ?, cancelled = ?,"
    " retried = ?, started_at = ?, reason = ?, message = ?, failed_index = ?, image_digest = ?,"
    " abort_kind = COALESCE(abort_kind, ?), abort_at = COALESCE(abort_at, ?),"
    " abort_message = COALESCE(abort_message, ?), abort_reason = COALESCE(abort_reason, ?),"
    " lease_until = CASE WHEN lease_until < ? THEN ? ELSE lease_until END,"
    " resource_version = resource_version + 1, change_count = change_count + ?"
    " WHERE uid = ? AND lease_owner = ? AND lease_epoch = ? AND completed_at IS NULL"
)
# Naming completed_at makes SQLite write four indexes anew, so only the last turn does.
_SETTLE = _GO_ON.replace("started_at = ?,", "started_at = ?, completed_at = ?,")
# The driver of SQLite takes ten times as long to bind None as to bind a number (it looks for an
# adapter first), so what is not known yet is not bound in the two statements that run most.
_OPEN = (
    "INSERT INTO attempts (execution, idx, number, state, claimed_at, oom, reason, message)"
    " VALUES (?, ?, ?, ?, ?, FALSE, '', '') ON CONFLICT (execution, idx, number) DO NOTHING"
)
_LAUNCH = (
    "UPDATE attempts SET state = ?, handle = ?, launched_at = ?"
    " WHERE execution = ? AND idx = ? AND number = ? AND state = ?"
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
    _guard(session, execution, settled, len(turn.changes))
    if turn.opened:
        opened = session.executemany(_OPEN, [_opened(attempt) for attempt in turn.opened])
        if opened != len(turn.opened):
            raise StaleWrite(f"An attempt of {execution.name!r} was opened by somebody else.")
    if turn.moved and _move(session, turn.moved) != len(turn.moved):
        raise StaleWrite(_which(session, turn))
    if turn.tasks:
        written = session.executemany(_TASK, [_task(task) for task in turn.tasks])
        if written != len(turn.tasks):
            raise StaleWrite(f"A task of {execution.name!r} does not exist.")
    if turn.abandoned is not None:
        uid = execution.uid
        session.execute(_ABANDON, (turn.abandoned.value, turn.at, uid, uid))
    if turn.changes:
        [(last,)] = session.execute(_CHANGE_COUNT, (execution.uid,)).fetchall()
        feed.append(session, execution.uid, last, turn.at, turn.changes)


def _guard(session: Session, execution: Execution, settled: bool, changes: int) -> None:
    lease, counters = execution.lease, execution.counters
    if lease is None:
        raise StaleWrite(f"Execution {execution.name!r} was written without a lease.")
    written = session.execute(
        _SETTLE if settled else _GO_ON,
        (
            execution.state.value,
            counters.running,
            counters.succeeded,
            counters.failed,
            counters.cancelled,
            counters.retried,
            execution.started_at,
            *((execution.completed_at,) if settled else ()),
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
            f"The lease {lease.epoch} of {lease.owner} on {execution.name!r} is gone: somebody"
            " else drives it now, or it has ended or was deleted."
        )


def _opened(attempt: Attempt) -> tuple[object, ...]:
    if attempt.state is not AttemptState.STARTING or attempt.handle is not None:
        raise ValueError(f"{attempt.key} is opened as {attempt.state}, not as a bare intent")
    return (
        attempt.execution,
        attempt.index,
        attempt.number,
        attempt.state.value,
        attempt.claimed_at,
    )


def _move(session: Session, moves: Sequence[Move]) -> int:
    launched = [_launched(move) for move in moves if _only_launched(move.attempt)]
    count = session.executemany(_LAUNCH, launched) if launched else 0
    if len(launched) < len(moves):
        others = [_moved(move) for move in moves if not _only_launched(move.attempt)]
        count += session.executemany(_MOVE, others)
    return count


def _only_launched(attempt: Attempt) -> bool:
    return attempt.state is AttemptState.RUNNING and attempt.stopping_at is None


def _launched(move: Move) -> tuple[object, ...]:
    attempt = move.attempt
    return (
        attempt.state.value,
        attempt.handle,
        attempt.launched_at,
        attempt.execution,
        attempt.index,
        attempt.number,
        move.expect.value,
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
            return f"The attempt {move.attempt.key} {found}, expected {move.expect.value}."
    return f"An attempt of {turn.execution.name!r} was not in the expected state."
