"""Reasons and messages for how things ended, in the contract's words (jobs contract §2.2, §3.3)."""

from __future__ import annotations

from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import AttemptState

EXIT_MESSAGE = "The container exited with an error."
OOM_MESSAGE = "The container exceeded its memory limit and was killed."
TIMEOUT_MESSAGE = "The configured timeout was reached."
CANCEL_MESSAGE = "Cancelled by user."
LOST_MESSAGE = "The attempt was lost: the machine, the engine or the supervisor went away."

EXIT_REASON = "NonZeroExitCode"
CANCEL_REASON = "Cancelled"
LOST_REASON = "Lost"


def task_ending(attempt: Attempt) -> tuple[str, str]:
    """Reason and message of an ended attempt; two empty strings for success."""
    state = attempt.state
    if state is AttemptState.SUCCEEDED:
        return "", ""
    if state is AttemptState.TIMED_OUT:
        return EXIT_REASON, TIMEOUT_MESSAGE
    if state is AttemptState.CANCELLED:
        return CANCEL_REASON, CANCEL_MESSAGE
    if state is AttemptState.LOST:
        return LOST_REASON, LOST_MESSAGE
    return EXIT_REASON, OOM_MESSAGE if attempt.oom else EXIT_MESSAGE


def settled_message(execution: Execution, task: Task) -> str:
    """What the execution's ``Completed`` condition says because of this failed task."""
    name = f"Task {execution.name}-task{task.index} failed with"
    if task.signal is not None:
        return f"{name} signal: {task.signal} and message: {task.message}"
    if task.reason != EXIT_REASON and task.exit_code is None:
        return f"{name} message: {task.message}"
    return f"{name} exit code: {task.exit_code or 0} and message: {task.message}"
