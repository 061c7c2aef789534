"""Shows an execution while it is driven: hears of each turn in the executor's thread, where it only
takes notes, and reads, writes and redraws in a thread of its own, ten times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from jobrunner.app import Observer
from jobrunner.cli.live.board import Board, block_line, board_of, opening_line, plain_line
from jobrunner.cli.live.screen import Screen
from jobrunner.cli.live.sinks import Sink
from jobrunner.cli.live.summary import task_end_line
from jobrunner.core.indices import format_indices
from jobrunner.core.records import AbortKind, Attempt, AttemptKey, Execution, Task
from jobrunner.core.states import ENDED, ENDED_TASKS, SETTLED_EXECUTIONS, TaskState
from jobrunner.errors import RunnerFault
from jobrunner.service.logs import Output, Reader

TICK = 0.1
EAGER_TICK = 0.01
EAGER_BYTES = 64 * 1024
"""After so many bytes in one tick the next one follows soon: a loud task must not run away."""

PLAIN_EVERY = 1.0
FEW_TASKS = 20
"""Up to so many tasks, plain talk has a line per end of a task instead of one per second."""


class Watch(Observer):
    """``talk`` off: no progress, only warnings. ``second`` says what a second Ctrl-C does. Use as a
    context manager around the drive."""

    def __init__(
        self,
        logs: Output,
        sink: Sink,
        screen: Screen,
        *,
        talk: bool,
        second: str = "at once",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logs = logs
        self._sink = sink
        self._screen = screen
        self._talk = talk
        self._second = second
        self._clock = clock
        self._notes: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._readers: dict[AttemptKey, Reader | None] = {}
        self._board: Board | None = None
        self._execution: Execution | None = None
        self._note = ""
        self._stopping = False
        self._began = clock()
        self._said_at = float("-inf")
        self._said = ""
        self._bytes = 0
        self._fault: Exception | None = None
        self._given: dict[AttemptKey, int] = {}
        self._short: list[int] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    def check(self) -> None:
        """Raises RunnerFault if output could not be written where it was wanted, or could not be
        kept long enough to be passed on."""
        if self._fault is not None and not isinstance(self._fault, OSError):
            raise self._fault
        if self._fault is not None:
            where = f" to {self._fault.filename}" if self._fault.filename else ""
            raise RunnerFault(
                f"The output of tasks could not be written{where}: {self._fault.strerror}.",
                hint="The logs of the execution still hold it: jobrunner executions logs NAME",
            )
        if self._short:
            tasks = format_indices(sorted(set(self._short)))
            raise RunnerFault(
                f"Output is missing: what task {tasks} wrote could not be stored, so it could not "
                "be passed on.",
                hint="Is the disk of JOBRUNNER_HOME full? See: jobrunner doctor",
            )

    def wants_attempts(self) -> bool:
        """Whether it is of use to tell of attempts: their output is shown."""
        return not self._sink.silent

    def wants_tasks(self, execution: Execution) -> bool:
        """Whether it is of use to tell of tasks: the end of each has a line."""
        return self._talk and not self._screen.look.live and execution.task_count <= FEW_TASKS

    # ------------------------------------------------------------ heard in the executor's thread

    def preparing(self, execution: Execution, message: str) -> None:
        self._notes.append(lambda: self._on_note(execution, message))

    def warning(self, message: str) -> None:
        self._notes.append(lambda: self._screen.say(f"Warning: {message}"))

    def turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None:
        self._notes.append(lambda: self._on_turn(execution, opened, changed, tasks))

    def settled(self, execution: Execution) -> None:
        self._notes.append(lambda: self._on_turn(execution, (), (), ()))
        self._wake.set()

    # ------------------------------------------------------------ done in the watch's thread

    def _work(self) -> None:
        try:
            while not self._closing:
                self._wake.wait(EAGER_TICK if self._bytes >= EAGER_BYTES else TICK)
                self._wake.clear()
                self._tick()
            self._tick()
            self._screen.show("")
        except Exception as error:
            # The run goes on without an audience; ``check`` tells afterwards.
            self._fault = error

    def _tick(self) -> None:
        self._bytes = 0
        while self._notes:
            self._notes.popleft()()
        if self._sink.live:
            self._logs.expect(list(self._readers))
            for key in list(self._readers):
                self._read(key)
        self._redraw()
        self._screen.flush()

    def _on_note(self, execution: Execution, message: str) -> None:
        self._note = message
        self._board = board_of(execution, self._began, message)
        if self._talk and not self._screen.look.live and message != self._said:
            self._said = message
            self._screen.say(f"{execution.name}: {message}")

    def _on_turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None:
        if self._execution is None:
            self._began = self._clock()
            self._note = ""
            if self._talk and not self._screen.look.live:
                self._screen.say(opening_line(execution))
        self._execution = execution
        if execution.abort is not None and not self._stopping:
            self._stopping = True
            self._note = "stopping"
            if execution.abort.kind == AbortKind.CANCEL:
                self._note = f"stopping, Ctrl-C again: {self._second}"
            ended = execution.state in SETTLED_EXECUTIONS
            if self._talk and not self._screen.look.live and not ended:
                self._screen.say(f"{execution.name}: {self._note}")
        if not self._sink.silent:
            self._logs.expect([attempt.key for attempt in changed if attempt.state in ENDED])
            for attempt in opened:
                self._readers[attempt.key] = None
            for attempt in changed:
                if attempt.state in ENDED:
                    self._finish(attempt)
                else:
                    self._readers.setdefault(attempt.key, None)
        if self.wants_tasks(execution):
            for task in tasks:
                if task.state in ENDED_TASKS and task.state is not TaskState.ABANDONED:
                    self._screen.say(task_end_line(execution, task))

    def _finish(self, attempt: Attempt) -> None:
        key = attempt.key
        if attempt.output != 0:
            self._read(key)
        self._readers.pop(key, None)
        if self._given.pop(key, 0) < (attempt.output or 0):
            self._short.append(attempt.index)
        self._sink.end(attempt)

    def _read(self, key: AttemptKey) -> None:
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = self._logs.reader(key)
        for chunk in reader.read():
            self._bytes += len(chunk.data)
            self._given[key] = self._given.get(key, 0) + len(chunk.data) + chunk.dropped
            self._sink.chunk(key, chunk)

    def _redraw(self) -> None:
        if not self._talk:
            return
        now = self._clock()
        if self._execution is not None:
            self._board = board_of(self._execution, self._began, self._note)
        board = self._board
        if board is None:
            return
        look = self._screen.look
        if look.live:
            width = self._screen.width()
            self._screen.show(
                block_line(board, now, width=width, colour=look.colour, unicode=look.unicode)
            )
        elif (
            self._execution is not None
            and self._execution.task_count > FEW_TASKS
            and now - self._said_at >= PLAIN_EVERY
            and 0 < board.done < board.total
        ):
            self._said_at = now
            self._screen.say(plain_line(board, now))
