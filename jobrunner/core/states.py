"""The attempt's state machine. This file owns it, and it is a table.

An event that has no cell raises :class:`IllegalTransition` and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from jobrunner.errors import RunnerFault


class AttemptState(StrEnum):
    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


class AttemptEvent(StrEnum):
    CLAIMED = "claimed"
    LAUNCHED = "launched"
    LAUNCH_FAILED = "launch_failed"
    EXITED_ZERO = "exited_zero"
    EXITED_NONZERO = "exited_nonzero"
    DEADLINE = "deadline"
    CANCEL = "cancel"
    VANISHED = "vanished"


class StopReason(StrEnum):
    """Why an attempt is being stopped. The first one stored wins."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"


class TaskState(StrEnum):
    """Words of the contract's ``run.googleapis.com/runningState`` label."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    ABANDONED = "Abandoned"


class ExecutionState(StrEnum):
    """Kept for listing; derived from the tasks and the abort wish."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class IllegalTransition(RunnerFault):
    """The table has no cell for this state and event."""


_S, _E = AttemptState, AttemptEvent

LIVE = frozenset({_S.STARTING, _S.RUNNING, _S.STOPPING})
ENDED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED, _S.LOST})
SETTLED_EXECUTIONS = frozenset(
    {ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELLED}
)
ENDED_TASKS = frozenset(
    {TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.ABANDONED}
)

BY_REASON: dict[StopReason, AttemptState] = {
    StopReason.TIMEOUT: _S.TIMED_OUT,
    StopReason.CANCEL: _S.CANCELLED,
}

# ``None`` stands for "as the stored stop reason says" (BY_REASON).
TABLE: dict[tuple[AttemptState, AttemptEvent], AttemptState | None] = {
    (_S.PENDING, _E.CLAIMED): _S.STARTING,
    (_S.PENDING, _E.CANCEL): _S.CANCELLED,
    (_S.STARTING, _E.LAUNCHED): _S.RUNNING,
    (_S.STARTING, _E.LAUNCH_FAILED): _S.FAILED,
    (_S.STARTING, _E.DEADLINE): _S.STOPPING,
    (_S.STARTING, _E.CANCEL): _S.STOPPING,
    (_S.STARTING, _E.VANISHED): _S.LOST,
    (_S.RUNNING, _E.EXITED_ZERO): _S.SUCCEEDED,
    (_S.RUNNING, _E.EXITED_NONZERO): _S.FAILED,
    (_S.RUNNING, _E.DEADLINE): _S.STOPPING,
    (_S.RUNNING, _E.CANCEL): _S.STOPPING,
    (_S.RUNNING, _E.VANISHED): _S.LOST,
    (_S.STOPPING, _E.LAUNCHED): _S.STOPPING,
    (_S.STOPPING, _E.LAUNCH_FAILED): None,
    (_S.STOPPING, _E.EXITED_ZERO): None,
    (_S.STOPPING, _E.EXITED_NONZERO): None,
    (_S.STOPPING, _E.DEADLINE): _S.STOPPING,
    (_S.STOPPING, _E.CANCEL): _S.STOPPING,
    (_S.STOPPING, _E.VANISHED): None,
}


def step(
    state: AttemptState, event: AttemptEvent, stop_reason: StopReason | None = None
) -> AttemptState:
    """The state after ``event``. ``stop_reason`` is the stored one; needed only in STOPPING.

    Raises :class:`IllegalTransition` for an empty cell.
    """
    try:
        target = TABLE[state, event]
    except KeyError:
        raise IllegalTransition(f"an attempt that is {state} cannot take {event}") from None
    if target is not None:
        return target
    if stop_reason is None:
        raise IllegalTransition(f"an attempt that is {state} has no stored stop reason")
    return BY_REASON[stop_reason]
