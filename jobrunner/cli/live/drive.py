"""Drives an execution on this command line: the audience around it, and the exit code after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobrunner.cli.live.screen import Screen, look_at
from jobrunner.cli.live.sinks import Sink
from jobrunner.cli.live.summary import SHOWN_TASKS, TAIL_BYTES, FailedTask, summary_lines
from jobrunner.cli.live.watch import Watch
from jobrunner.core.records import AttemptKey, Execution
from jobrunner.core.states import ExecutionState, TaskState
from jobrunner.errors import RunnerFault
from jobrunner.ports import Page

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened

OK, FAILED, INTERRUPTED = 0, 1, 130


def standard_screen() -> Screen:
    """The process's own streams, as bytes."""
    sys.stdout.flush()
    return Screen(sys.stdout.buffer, sys.stderr.buffer, look_at(os.environ))


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that has ended, and what went wrong with the showing of its output. Whoever
    shows the execution does that first, and then raises the ``fault``."""

    execution: Execution
    fault: RunnerFault | None = None

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


def watched(
    app: Opened,
    execution: Execution,
    drive: Callable[[Watch], Execution],
    *,
    sink: Sink,
    screen: Screen,
    talk: bool,
) -> Ended:
    """Runs ``drive`` with an audience; returns the settled ``execution``. Raises what ``drive``
    raises."""
    second = "leave it to the server" if app.through_server else "at once"
    watch = Watch(app.logs, sink, screen, talk=talk, second=second)
    try:
        with watch:
            ended = drive(watch)
    except RunnerFault as fault:
        # Nothing is lost: the execution is stored, and waits for somebody to take it up.
        fault.hint = with_way_on(fault.hint, execution.name)
        raise
    try:
        watch.check()
    except RunnerFault as fault:
        return Ended(ended, fault)
    return Ended(ended)


def with_way_on(hint: str | None, execution: str) -> str:
    """``hint``, and after it the command that goes on with ``execution``."""
    then = f"Then go on with: jobrunner executions continue {execution}"
    return f"{hint.rstrip('.')}. {then}" if hint else then


def say_summary(app: Opened, execution: Execution, screen: Screen) -> None:
    """The summary on standard error."""
    entries: list[FailedTask] = []
    if execution.counters.failed:
        tasks = app.service.executions.tasks(
            execution, states=[TaskState.FAILED], page=Page(limit=SHOWN_TASKS)
        )
        for task in tasks:
            attempts = app.service.executions.attempts(execution, index=task.index)
            last = attempts[-1] if attempts else None
            key = AttemptKey(execution.uid, task.index, max(task.attempts - 1, 0))
            tail = app.logs.tail(key, TAIL_BYTES)[-TAIL_BYTES:]
            entries.append(FailedTask(task, last, tail))
    for line in summary_lines(execution, entries, execution.counters.failed):
        screen.say(line)
    screen.flush()


def exit_code(execution: Execution, *, interrupted: bool = False) -> int:
    """0 only if every task succeeded."""
    if interrupted:
        return INTERRUPTED
    return OK if execution.state is ExecutionState.SUCCEEDED else FAILED
