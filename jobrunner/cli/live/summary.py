"""What is said when tasks and executions end. Pure: values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobrunner.cli.words import duration_text, plural, signal_text
from jobrunner.core.records import AbortKind, Attempt, Execution, Task
from jobrunner.core.states import AttemptState, ExecutionState, TaskState

SHOWN_TASKS = 5
SHOWN_LINES = 5
TAIL_BYTES = 4096
MAX_COLUMNS = 200
NEVER_STARTS = "a task cannot be started at all, so no further task was tried"


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that did not succeed, its last attempt if there was one, and the end of its output."""

    task: Task
    last: Attempt | None
    tail: bytes = b""


def ending_text(attempt: Attempt) -> str:
    """How an attempt ended, in words."""
    if attempt.oom:
        return "killed: out of memory"
    if attempt.state is AttemptState.TIMED_OUT:
        return "timed out"
    if attempt.state is AttemptState.LOST:
        return "lost (nobody can say how it ended)"
    if attempt.state is AttemptState.CANCELLED:
        return "cancelled"
    if attempt.signal is not None:
        return f"killed by {signal_text(attempt.signal)}"
    if attempt.exit_code is not None:
        return f"exit code {attempt.exit_code}"
    return attempt.message.rstrip(".") or attempt.reason or attempt.state.value.lower()


def task_text(task: Task) -> str:
    """How a task ended, from its own record."""
    if task.signal is not None:
        return f"killed by {signal_text(task.signal)}"
    if task.exit_code:
        return f"exit code {task.exit_code}"
    return task.message.rstrip(".") or task.reason or task.state.value.lower()


def task_end_line(execution: Execution, task: Task) -> str:
    """``run-x: task 3 failed: exit code 7, 3 attempts``."""
    time = ""
    if task.started_at is not None and task.completed_at is not None:
        time = duration_text(task.completed_at - task.started_at)
    took = f" in {time}" if time else ""
    retries = f", {plural(task.attempts, 'attempt')}" if task.attempts > 1 else ""
    line = f"{execution.name}: task {task.index} {task.state.value.lower()}"
    if task.state is TaskState.SUCCEEDED:
        return f"{line}{took}{retries}"
    if task.state is TaskState.FAILED:
        if task.signal is None and not task.exit_code and time:
            # A sentence; "… does not exist in 5ms" would be another one.
            took = f" (after {time})"
        return f"{line}: {task_text(task)}{took}{retries}"
    return f"{line}{took}"


def headline(execution: Execution) -> str:
    """The counts and the time: the one line that everybody reads."""
    c = execution.counters
    parts = [f"{c.succeeded} succeeded"]
    if c.failed:
        parts.append(f"{c.failed} failed")
    if c.cancelled:
        parts.append(f"{c.cancelled} cancelled")
    if c.retried:
        parts.append(f"{c.retried} retried")
    took = ""
    if execution.completed_at is not None:
        began = execution.started_at or execution.created_at
        took = f" in {duration_text(execution.completed_at - began)}"
    tasks = plural(execution.task_count, "task")
    return f"{execution.name}: {tasks}: {', '.join(parts)}{took}"


def summary_lines(
    execution: Execution, failed: Sequence[FailedTask], failed_count: int
) -> list[str]:
    """The headline and, for tasks that failed, what went wrong and the command that shows more."""
    lines = [headline(execution)]
    abort = execution.abort
    # What stopped it is then said with the task below.
    told = bool(failed) and abort is not None and abort.kind == AbortKind.LAUNCH
    if abort is not None and abort.message and not told:
        lines.append(f"  stopped early: {abort.message}")
    elif told and execution.counters.cancelled:
        lines.append(f"  stopped early: {NEVER_STARTS}")
    elif execution.state is ExecutionState.FAILED and not failed and execution.message:
        lines.append(f"  {execution.message}")
    for entry in failed[:SHOWN_TASKS]:
        lines += _failed_lines(execution, entry)
    hidden = failed_count - min(len(failed), SHOWN_TASKS)
    if hidden > 0:
        lines.append(
            f"  and {hidden:,} more: "
            f"jobrunner tasks list --execution {execution.name} --state failed"
        )
    if failed:
        lines.append(f"  try them again: jobrunner executions rerun {execution.name} --failed")
    return lines


def _failed_lines(execution: Execution, entry: FailedTask) -> list[str]:
    task = entry.task
    ending = ending_text(entry.last) if entry.last is not None else task_text(task)
    lines = [f"  task {task.index} failed: {ending}, {plural(task.attempts, 'attempt')}"]
    lines += [f"    | {line}" for line in last_lines(entry.tail)]
    started = entry.last is not None and entry.last.launched_at is not None
    if entry.tail or started or task.attempts > 1:
        more = f"executions logs {execution.name} --index {task.index}"
    else:
        # What was never started has said nothing.
        more = f"tasks describe {task.index} --execution {execution.name}"
    lines.append(f"    more: jobrunner {more}")
    return lines


def last_lines(tail: bytes) -> list[str]:
    """The last few lines that say something, fit for a terminal: no control characters."""
    text = tail.decode("utf-8", "replace").replace("\r\n", "\n")
    found = [line.rstrip() for line in text.split("\n") if line.strip()]
    return [_clean(line) for line in found[-SHOWN_LINES:]]


def _clean(line: str) -> str:
    line = line.expandtabs(4)
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return shown if len(shown) <= MAX_COLUMNS else shown[: MAX_COLUMNS - 1] + "…"
