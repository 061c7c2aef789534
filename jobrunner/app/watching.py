"""Runs as news, for whoever watches a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.app.reporting import LogObserver
from jobrunner.core.news import News, Tone
from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import AttemptState, ExecutionState

_TONES = {ExecutionState.SUCCEEDED: Tone.GOOD, ExecutionState.FAILED: Tone.BAD}
_LOST = (AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.LOST)


class NewsObserver(LogObserver):
    """Tells of each run that starts and ends, and of each attempt that fails."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None:
        if opened and execution.uid not in self._told:
            self._told.add(execution.uid)
            at = execution.started_at or opened[0].claimed_at
            self._tell(_run(execution, at, "started", _tasks(execution.task_count), Tone.BUSY))
        for attempt in changed:
            if attempt.state in _LOST:
                self._tell(_attempt(execution, attempt))

    def settled(self, execution: Execution) -> None:
        self._told.discard(execution.uid)
        state = execution.state
        took = ""
        if execution.completed_at is not None and execution.started_at is not None:
            took = f" in {execution.completed_at - execution.started_at:.1f}s"
        done = f"{execution.counters.succeeded}/{execution.task_count} tasks{took}"
        detail = done if state is ExecutionState.SUCCEEDED else f"{done}. {execution.message}"
        at = execution.completed_at or execution.created_at
        tone = _TONES.get(state, Tone.PLAIN)
        self._tell(_run(execution, at, state.value.lower(), detail, tone))


def _run(execution: Execution, at: float, state: str, detail: str, tone: Tone) -> News:
    counters = execution.counters
    fields = {
        "job": execution.job_name,
        "execution": execution.name,
        "uid": execution.uid,
        "tasks": execution.task_count,
        "succeeded": counters.succeeded,
        "failed": counters.failed,
    }
    return News(at, "run", execution.name, state, detail, tone, fields)


def _attempt(execution: Execution, attempt: Attempt) -> News:
    if attempt.signal is not None:
        ending = f"signal {attempt.signal}"
    elif attempt.exit_code is not None:
        ending = f"exit code {attempt.exit_code}"
    else:
        ending = attempt.state.value.lower()
    fields = {
        "job": execution.job_name,
        "execution": execution.name,
        "task": attempt.index,
        "attempt": attempt.number,
        "exitCode": attempt.exit_code,
        "signal": attempt.signal,
    }
    detail = f"task {attempt.index} attempt {attempt.number}: {ending}"
    at = attempt.ended_at or attempt.claimed_at
    return News(at, "attempt", execution.name, "failed", detail, Tone.BAD, fields)


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
