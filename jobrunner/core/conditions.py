"""How things stand, in the contract's words: conditions of jobs, executions and tasks.

The values fit both versions of the API: v1 writes them nearly as they are, v2 translates status,
reason and severity to its enums. The page for people is ``docs/reference/conditions.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobrunner.core.elapsed import elapsed_text
from jobrunner.core.names import execution_name
from jobrunner.core.outcome import (
    CANCEL_MESSAGE,
    CANCEL_REASON,
    EXIT_MESSAGE,
    EXIT_REASON,
    TIMEOUT_MESSAGE,
)
from jobrunner.core.records import AbortKind, Execution, Job, Task
from jobrunner.core.states import ENDED_TASKS, SETTLED_EXECUTIONS, ExecutionState, TaskState


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Severity(StrEnum):
    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


@dataclass(frozen=True, slots=True)
class Condition:
    """``at`` is the Unix time of the last change of ``status``. ``reason`` is a CamelCase word.
    No severity means Error."""

    type: str
    status: Status
    at: float
    reason: str = ""
    message: str = ""
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class LastResult:
    """How the last attempt of a task ended. At most one of ``exit_code`` (never 0) and ``signal``
    is set; ``code`` is a status code of Google's APIs, 0 for success."""

    exit_code: int | None = None
    signal: int | None = None
    code: int = 0
    message: str = ""


OK, CANCELLED_CODE, DEADLINE_CODE, ABORTED_CODE = 0, 1, 4, 10

WAITING = "Waiting for execution to complete."
STARTING = "Waiting for execution to start."
CANCELLING = "Waiting for execution to be cancelled."
PROVISIONING = "Provisioning imported containers."
PROVISIONED = "Provisioned imported containers."
IMPORTING = "Importing container image."
IMPORTED = "Imported container image."
NO_IMAGE = "No container image is needed."

_COMPLETION = {
    ExecutionState.PENDING: "EXECUTION_PENDING",
    ExecutionState.RUNNING: "EXECUTION_RUNNING",
    ExecutionState.STOPPING: "EXECUTION_RUNNING",
    ExecutionState.SUCCEEDED: "EXECUTION_SUCCEEDED",
    ExecutionState.FAILED: "EXECUTION_FAILED",
    ExecutionState.CANCELLED: "EXECUTION_CANCELLED",
}


def completion_status(state: ExecutionState) -> str:
    """The word of ``latestCreatedExecution.completionStatus``."""
    return _COMPLETION[state]


def job_conditions(job: Job) -> tuple[Condition, ...]:
    """A stored job is ready; how its executions end does not change that, but for the one that its
    token has opened: until that has started (start token) or has ended well (run token) the job is
    not ready."""
    return (_ready(job),)


def _ready(job: Job) -> Condition:
    ready = Condition("Ready", Status.TRUE, job.updated_at)
    start, run = job.spec.start_execution_token, job.spec.run_execution_token
    latest = job.latest_execution
    if latest is None or latest.name != execution_name(job.name, start or run):
        return ready
    if start:
        if latest.state is ExecutionState.PENDING:
            return Condition("Ready", Status.UNKNOWN, latest.created_at, message=STARTING)
        return ready
    if latest.state not in SETTLED_EXECUTIONS:
        return Condition("Ready", Status.UNKNOWN, latest.created_at, message=WAITING)
    at = latest.created_at if latest.completed_at is None else latest.completed_at
    if latest.state is ExecutionState.SUCCEEDED:
        return Condition("Ready", Status.TRUE, at)
    if latest.state is ExecutionState.CANCELLED:
        return Condition("Ready", Status.FALSE, at, CANCEL_REASON, CANCEL_MESSAGE)
    text = f"Execution {latest.name} has failed to complete."
    return Condition("Ready", Status.FALSE, at, EXIT_REASON, text)


def execution_conditions(execution: Execution) -> tuple[Condition, ...]:
    """Completed, ResourcesAvailable, Started and ContainerReady, in this order.

    Once an execution is settled, Completed and Started are True or False, never Unknown: clients
    wait for either.
    """
    return (
        _completed(execution),
        _resources(execution),
        _started(execution),
        _container(execution),
    )


def task_conditions(task: Task, *, created_at: float) -> tuple[Condition, ...]:
    """Completed and Started. ``created_at`` is the creation time of the execution."""
    if task.state is TaskState.SUCCEEDED:
        completed = Condition("Completed", Status.TRUE, task.completed_at or created_at)
    elif task.state in ENDED_TASKS:
        stopped = task.state in (TaskState.CANCELLED, TaskState.ABANDONED)
        completed = Condition(
            "Completed",
            Status.FALSE,
            task.completed_at or created_at,
            CANCEL_REASON if stopped else task.reason,
            task.message,
        )
    else:
        completed = Condition("Completed", Status.UNKNOWN, created_at)
    if task.started_at is None:
        return completed, Condition("Started", Status.UNKNOWN, created_at)
    return completed, Condition("Started", Status.TRUE, task.started_at)


def last_result(task: Task) -> LastResult | None:
    """``None`` as long as no attempt of the task has ended."""
    if task.state is TaskState.SUCCEEDED:
        return LastResult()
    tried = task.exit_code is not None or task.signal is not None
    if task.state is TaskState.FAILED:
        if task.message == TIMEOUT_MESSAGE:
            return LastResult(code=DEADLINE_CODE, message=task.message)
        return LastResult(task.exit_code or None, task.signal, ABORTED_CODE, task.message)
    if task.state is TaskState.CANCELLED:
        return LastResult(code=CANCELLED_CODE, message=task.message)
    if tried and task.state is not TaskState.ABANDONED:
        return LastResult(task.exit_code or None, task.signal, ABORTED_CODE, EXIT_MESSAGE)
    return None


def _completed(execution: Execution) -> Condition:
    if execution.state not in SETTLED_EXECUTIONS:
        abort = execution.abort
        if abort is not None and abort.kind in (AbortKind.CANCEL, AbortKind.DELETE):
            return Condition(
                "Completed", Status.UNKNOWN, execution.created_at, "Cancelling", CANCELLING
            )
        return Condition("Completed", Status.UNKNOWN, execution.created_at, message=WAITING)
    at = _ended(execution)
    if execution.state is ExecutionState.SUCCEEDED:
        since = execution.created_at if execution.started_at is None else execution.started_at
        text = f"Execution completed successfully in {elapsed_text(at - since)}."
        return Condition("Completed", Status.TRUE, at, message=text)
    return Condition("Completed", Status.FALSE, at, execution.reason, execution.message)


def _resources(execution: Execution) -> Condition:
    name = "ResourcesAvailable"
    if _could_not_start(execution):
        return _as_completed(name, execution)
    if execution.started_at is not None:
        return Condition(name, Status.TRUE, execution.started_at, message=PROVISIONED)
    if execution.state in SETTLED_EXECUTIONS:
        return _as_completed(name, execution)
    return Condition(name, Status.UNKNOWN, execution.created_at, message=PROVISIONING)


def _started(execution: Execution) -> Condition:
    name = "Started"
    if _could_not_start(execution):
        return _as_completed(name, execution)
    if execution.started_at is not None:
        waited = elapsed_text(execution.started_at - execution.created_at)
        text = f"Started deployed execution in {waited}."
        return Condition(name, Status.TRUE, execution.started_at, message=text)
    if execution.state in SETTLED_EXECUTIONS:
        return _as_completed(name, execution)
    return Condition(name, Status.UNKNOWN, execution.created_at, message=WAITING)


def _container(execution: Execution) -> Condition:
    """Without a severity, as in production: gcloud leaves it out of its stages then, and prints a
    condition of severity Info as a warning."""
    name = "ContainerReady"
    if execution.backend == "process":
        return Condition(name, Status.TRUE, execution.created_at, message=NO_IMAGE)
    if execution.started_at is not None and not _could_not_start(execution):
        return Condition(name, Status.TRUE, execution.started_at, message=IMPORTED)
    if execution.state in SETTLED_EXECUTIONS:
        return _as_completed(name, execution)
    return Condition(name, Status.UNKNOWN, execution.created_at, message=IMPORTING)


def _could_not_start(execution: Execution) -> bool:
    """No image, no such command: the first launch failed in a way that every launch would."""
    abort = execution.abort
    return (
        execution.state is ExecutionState.FAILED
        and abort is not None
        and abort.kind == AbortKind.LAUNCH
        and execution.counters.succeeded == 0
    )


def _as_completed(name: str, execution: Execution) -> Condition:
    """False, for the reason that the execution ended for."""
    return Condition(name, Status.FALSE, _ended(execution), execution.reason, execution.message)


def _ended(execution: Execution) -> float:
    return execution.created_at if execution.completed_at is None else execution.completed_at
