"""Follows an execution that a server drives: turns what is read again and again into the news that
an audience of the executor would hear, each change once."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from jobrunner.client.wire import Wire
from jobrunner.core.indices import format_indices
from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import SETTLED_EXECUTIONS, AttemptState
from jobrunner.errors import Refused
from jobrunner.service.calls import Desk, News
from jobrunner.service.logs import rest

POLL_SECONDS = 0.1
FIRST_POLL_SECONDS = 0.02
"""Many jobs take no longer than a few of these."""
ECHO_SECONDS = 0.1
"""``timeout`` and some shells send one signal twice: to the process and to its group."""


class Audience(Protocol):
    """As much of the executor's observer as can be told from outside, and what it wants to hear:
    attempts are for those who show output, tasks for those who have a line for each end."""

    def warning(self, message: str) -> None: ...

    def wants_attempts(self) -> bool: ...

    def wants_tasks(self, execution: Execution) -> bool: ...

    def turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None: ...

    def settled(self, execution: Execution) -> None: ...


class Changes:
    """What is new in each :class:`News`, compared with those before."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, int], AttemptState] = {}
        self._done: set[int] = set()
        self._told: set[int] = set()

    @property
    def done(self) -> str:
        """Indices of whose attempts nothing more can come: one has succeeded."""
        return format_indices(self._done)

    def of(self, news: News) -> tuple[list[Attempt], list[Attempt], list[Task]]:
        """Attempts that are new, attempts in a new state, tasks that have ended since."""
        opened, changed = [], []
        for attempt in news.attempts:
            place = (attempt.index, attempt.number)
            before = self._states.get(place)
            if before is attempt.state:
                continue
            self._states[place] = attempt.state
            if before is None:
                opened.append(attempt)
            if before is not None or attempt.state is not AttemptState.STARTING:
                changed.append(attempt)
            if attempt.state is AttemptState.SUCCEEDED:
                self._done.add(attempt.index)
        changed.sort(key=lambda a: (a.ended_at is not None, a.ended_at or 0.0))
        ended = [task for task in news.tasks if task.index not in self._told]
        self._told.update(task.index for task in ended)
        ended.sort(key=lambda task: task.completed_at or 0.0)
        return opened, changed, ended


def follow(
    wire: Wire,
    execution: Execution,
    audience: Audience,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Execution:
    """Returns the execution once it has ended. Once ``interrupted`` says so it is cancelled, and
    followed further."""
    cancel = Cancelling(wire, execution)
    try:
        with wire.patient(notice=audience.warning):
            return _follow(wire, execution, audience, cancel, interrupted, sleep)
    except KeyboardInterrupt:
        # Two signals at once: the wish comes first, and nobody waits.
        cancel.when(interrupted())
        raise


def _follow(
    wire: Wire,
    execution: Execution,
    audience: Audience,
    cancel: Cancelling,
    interrupted: Callable[[], bool],
    sleep: Callable[[float], None],
) -> Execution:
    changes = Changes()
    told: set[str] = set()
    version = -1
    pause = FIRST_POLL_SECONDS
    while True:
        began = time.monotonic()
        cancel.when(interrupted())
        news = wire.call(
            Desk.news,
            execution.uid,
            version,
            tasks=audience.wants_tasks(execution),
            attempts=audience.wants_attempts(),
            done=changes.done,
        )
        if news is not None:
            if news.trouble and news.trouble not in told:
                told.add(news.trouble)
                audience.warning(f"{news.trouble} The server tries again by itself.")
            version = news.execution.resource_version
            opened, changed, tasks = changes.of(news)
            # Before the first start there is nothing to tell.
            if news.execution.started_at is not None or news.execution.abort is not None:
                audience.turn(news.execution, opened, changed, tasks)
            if news.execution.state in SETTLED_EXECUTIONS:
                audience.settled(news.execution)
                return news.execution
        sleep(rest(pause, time.monotonic() - began))
        pause = min(POLL_SECONDS, pause * 1.5)


class Cancelling:
    """The wish that an execution ends, told to the server once."""

    def __init__(self, wire: Wire, execution: Execution) -> None:
        self._wire = wire
        self._execution = execution
        self._told = False

    def when(self, wanted: bool) -> None:
        if not wanted or self._told:
            return
        # Refused: it has ended this moment.
        with contextlib.suppress(Refused):
            self._wire.call(Desk.cancel, self._execution.scope, self._execution.name)
        self._told = True


@contextmanager
def noting_signals(note: Callable[[], None], *, enabled: bool) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP: the first calls ``note``, a second one raises KeyboardInterrupt
    wherever the command stands. Handlers are put back at the end."""
    if not enabled:
        yield
        return
    first: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            note()
        elif time.monotonic() - first > ECHO_SECONDS:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Who starts us with a signal ignored (nohup) wants it ignored.
    wanted = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
