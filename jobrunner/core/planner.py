"""What to do next about one execution. Pure: the same snapshot and instant give the same steps, and
once they are carried out a second look adds nothing."""

from __future__ import annotations

from jobrunner.core.outcome import CANCEL_MESSAGE, CANCEL_REASON, EXIT_REASON, settled_message
from jobrunner.core.records import AbortKind
from jobrunner.core.snapshot import Snapshot
from jobrunner.core.states import ExecutionState, StopReason
from jobrunner.core.steps import (
    AbandonRest,
    AbortExecution,
    SettleExecution,
    StartAttempt,
    Step,
    StopAttempt,
)

DEADLINE_REASON = "DeadlineExceeded"


def plan(snapshot: Snapshot, now: float, slots: int) -> list[Step]:
    """The steps that are due at ``now`` (Unix seconds), with ``slots`` free for new attempts."""
    if snapshot.settled:
        return []
    late = snapshot.deadline is not None and now >= snapshot.deadline
    if late and not snapshot.aborting and snapshot.open_tasks:
        return [AbortExecution(AbortKind.DEADLINE, "The deadline of the execution was reached.")]
    if snapshot.aborting:
        return plan_abort(snapshot, now)
    steps: list[Step] = [StopAttempt(key, StopReason.TIMEOUT) for key in snapshot.overdue(now)]
    count = min(slots, snapshot.wanted(now))
    steps += [StartAttempt(index) for index in snapshot.next_ready(now, count)]
    if not steps and snapshot.open_tasks == 0:
        steps.append(settlement(snapshot))
    return steps


def plan_abort(snapshot: Snapshot, now: float) -> list[Step]:
    abort = snapshot.execution.abort
    steps: list[Step]
    if abort is not None and abort.kind == AbortKind.LAUNCH:
        # Nothing more can be started; what was started before runs to its own end.
        steps = [StopAttempt(key, StopReason.TIMEOUT) for key in snapshot.overdue(now)]
    else:
        steps = [
            StopAttempt(snapshot.live[index].key, StopReason.CANCEL) for index in snapshot.unstopped
        ]
    if snapshot.open_tasks > len(snapshot.live):
        steps.append(AbandonRest())
    if not steps and snapshot.open_tasks == 0:
        steps.append(settlement(snapshot))
    return steps


def settlement(snapshot: Snapshot) -> SettleExecution:
    """The verdict on an execution whose tasks have all ended."""
    abort = snapshot.execution.abort
    failed = snapshot.first_failed()
    counters = snapshot.counters()
    if counters.failed == 0 and counters.cancelled == 0:
        return SettleExecution(ExecutionState.SUCCEEDED, "", "")
    if abort is not None and abort.kind in (AbortKind.CANCEL, AbortKind.DELETE):
        return SettleExecution(ExecutionState.CANCELLED, CANCEL_REASON, CANCEL_MESSAGE)
    if failed is not None:
        message = settled_message(snapshot.execution, failed)
        return SettleExecution(ExecutionState.FAILED, failed.reason or EXIT_REASON, message)
    if abort is not None and abort.kind == AbortKind.DEADLINE:
        return SettleExecution(ExecutionState.FAILED, DEADLINE_REASON, abort.message)
    reason = abort.reason if abort is not None and abort.reason else EXIT_REASON
    return SettleExecution(ExecutionState.FAILED, reason, abort.message if abort else "")
