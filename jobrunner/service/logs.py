"""Reading output back: cut into lines, filtered, merged over tasks by time, followed as it grows.

Memory stays flat: the merge opens an attempt's log when the merged time reaches the attempt's start
and lets go of it at its end, so no more logs are open than attempts were alive at one time.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobrunner.core.logentry import MAX_LINE, cut_line
from jobrunner.core.records import Attempt, AttemptKey, Execution
from jobrunner.core.states import ENDED, SETTLED_EXECUTIONS
from jobrunner.errors import Interrupted
from jobrunner.ports import LogChunk

POLL = 0.1
SHARE = 10
"""Of the time that asking takes so many are left between two questions: a list of 10,000 attempts
must not be all that anybody does."""
LONGEST_POLL = 2.0
"""Asking may have taken as long as a server was away, or as whoever reads lines stood still; ten
times that is a picture that stands."""
CLAIM_SECONDS = 5.0
"""So long after its creation an execution without a lease is not yet called interrupted."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output without its line end; ``at`` is when its end was read (Unix seconds).
    A very long line comes in pieces, as the contract cuts its entries.

    ``stream`` is 1 (standard output) or 2 (standard error). ``dropped`` > 0 says that so many bytes
    are missing right before it (``data`` is then empty). ``ended`` is false for a last line that
    had no line end.
    """

    index: int
    attempt: int
    stream: int
    at: float
    data: bytes
    dropped: int = 0
    ended: bool = True

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """``None`` lets everything pass. ``since`` and ``until`` are Unix seconds."""

    indices: frozenset[int] | None = None
    attempt: int | None = None
    stream: int | None = None
    since: float | None = None
    until: float | None = None

    def wants(self, attempt: Attempt) -> bool:
        """Whether an attempt can hold a line that passes."""
        if self.indices is not None and attempt.index not in self.indices:
            return False
        if self.attempt is not None and attempt.number != self.attempt:
            return False
        if self.until is not None and attempt.claimed_at > self.until:
            return False
        ended_before = (
            self.since is not None
            and attempt.ended_at is not None
            and attempt.ended_at < self.since - 1.0
        )
        return not ended_before and attempt.output != 0

    def passes(self, line: LogLine) -> bool:
        return (
            (self.stream is None or line.stream == self.stream or line.dropped > 0)
            and (self.since is None or line.at >= self.since)
            and (self.until is None or line.at < self.until)
        )


class LineCutter:
    """Cuts chunks of the two streams of one attempt into whole lines."""

    def __init__(self, index: int, attempt: int) -> None:
        self._index = index
        self._attempt = attempt
        self._rest: dict[int, bytes] = {}
        self._at = 0.0

    def feed(self, chunk: LogChunk) -> Iterator[LogLine]:
        """The lines that this chunk completes."""
        self._at = chunk.at
        if chunk.dropped:
            # What comes after a gap does not continue the line from before it.
            yield from self.finish()
            yield LogLine(
                self._index, self._attempt, chunk.stream, chunk.at, b"", dropped=chunk.dropped
            )
        if not chunk.data:
            return
        *whole, rest = (self._rest.get(chunk.stream, b"") + chunk.data).split(b"\n")
        for data in whole:
            yield from self._line(chunk.stream, data)
        if len(rest) > MAX_LINE:
            *pieces, rest = cut_line(rest)
            for data in pieces:
                yield self._piece(chunk.stream, data)
        self._rest[chunk.stream] = rest

    def _line(self, stream: int, data: bytes) -> Iterator[LogLine]:
        for piece in cut_line(data):
            yield self._piece(stream, piece)

    def _piece(self, stream: int, data: bytes, *, ended: bool = True) -> LogLine:
        return LogLine(self._index, self._attempt, stream, self._at, data, ended=ended)

    def finish(self) -> Iterator[LogLine]:
        """The last lines, where they had no line end."""
        rest, self._rest = self._rest, {}
        for stream, data in sorted(rest.items()):
            if data:
                yield self._piece(stream, data, ended=False)


class _Cursor:
    """Where the reading of one attempt stands."""

    __slots__ = ("_cutter", "_reader", "key", "started")

    def __init__(self, key: AttemptKey, started: float, reader: Reader) -> None:
        self.key = key
        self.started = started
        self._reader = reader
        self._cutter = LineCutter(key.index, key.number)

    def lines(self, *, complete: bool) -> Iterator[LogLine]:
        """What came since the last call; ``complete`` says that nothing more will come."""
        for chunk in self._reader.read():
            yield from self._cutter.feed(chunk)
        if complete:
            yield from self._cutter.finish()


class Records(Protocol):
    """As much of a store as the reading of output needs."""

    def get_execution_by_uid(self, uid: str) -> Execution: ...

    def list_attempts(self, execution: str, *, index: int | None = None) -> Sequence[Attempt]: ...


class Output(Protocol):
    """As much of a log store."""

    def reader(self, key: AttemptKey) -> Reader: ...

    def expect(self, keys: Sequence[AttemptKey]) -> None: ...


class Reader(Protocol):
    """As much of a log reader."""

    def read(self) -> Iterator[LogChunk]: ...


class Logs:
    """Reads the output of executions."""

    def __init__(
        self,
        store: Records,
        logs: Output,
        *,
        is_driven: Callable[[Execution], bool],
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._logs = logs
        self._is_driven = is_driven
        self._sleep = sleep
        self._now = now
        self._monotonic = monotonic

    def lines(self, execution: Execution, wanted: LogFilter) -> Iterator[LogLine]:
        """Everything that is there now, over all wanted attempts, by time."""
        attempts = self._attempts(execution, wanted)
        self._logs.expect([attempt.key for attempt in attempts])
        cursors = ((self._cursor(attempt), True) for attempt in attempts)
        return filter(wanted.passes, _merge(cursors))

    def follow(
        self, execution: Execution, wanted: LogFilter, *, tail: int | None = None
    ) -> Iterator[LogLine]:
        """As :meth:`lines`, and then what comes, until the execution has ended and all is read.

        ``tail`` leaves all but so many lines out of what is there at first. Raises Interrupted when
        nobody drives the execution any more.
        """
        done: set[AttemptKey] = set()
        live: dict[AttemptKey, _Cursor] = {}
        while True:
            began = self._monotonic()
            # The state first: what is listed after a settled state was read is final.
            now = self._store.get_execution_by_uid(execution.uid)
            attempts = [a for a in self._attempts(now, wanted) if a.key not in done]
            ended = {a.key for a in attempts if a.state in ENDED}
            self._logs.expect([a.key for a in attempts])
            cursors = [live[a.key] if a.key in live else self._cursor(a) for a in attempts]
            lines = filter(wanted.passes, _merge([(c, c.key in ended) for c in cursors]))
            yield from lines if tail is None else deque(lines, maxlen=tail)
            tail = None
            done |= ended
            live = {c.key: c for c in cursors if c.key not in ended}
            if now.state in SETTLED_EXECUTIONS:
                return
            if is_interrupted(now, self._now(), driven=self._is_driven(now)):
                raise Interrupted(
                    f"Execution '{now.name}' was interrupted: nobody drives it any more.",
                    hint=f"Continue with: jobrunner executions continue {now.name}",
                )
            self._sleep(rest(POLL, self._monotonic() - began))

    def _attempts(self, execution: Execution, wanted: LogFilter) -> Sequence[Attempt]:
        one = next(iter(wanted.indices)) if wanted.indices and len(wanted.indices) == 1 else None
        attempts = self._store.list_attempts(execution.uid, index=one)
        return sorted(
            filter(wanted.wants, attempts), key=lambda a: (a.claimed_at, a.index, a.number)
        )

    def _cursor(self, attempt: Attempt) -> _Cursor:
        return _Cursor(attempt.key, attempt.claimed_at, self._logs.reader(attempt.key))


def rest(least: float, took: float) -> float:
    """Seconds until the next question, where the last one took so long."""
    return max(least, min(LONGEST_POLL, SHARE * took))


def is_interrupted(execution: Execution, now: float, *, driven: bool) -> bool:
    """Whether an execution has not ended and its runner has let go of it or has died. ``driven``
    says whether a living runner holds its lease."""
    if driven or execution.state in SETTLED_EXECUTIONS:
        return False
    # Between its creation and the first claim an execution has no runner yet.
    return execution.lease is not None or now - execution.created_at > CLAIM_SECONDS


def _merge(cursors: Iterable[tuple[_Cursor, bool]]) -> Iterator[LogLine]:
    """Lines by time. ``cursors`` come by start; each is opened when the time has come."""
    heap: list[tuple[float, int, LogLine, Iterator[LogLine]]] = []
    source = iter(cursors)
    waiting = next(source, None)
    order = 0
    while heap or waiting is not None:
        while waiting is not None and (not heap or waiting[0].started <= heap[0][0]):
            cursor, complete = waiting
            lines = cursor.lines(complete=complete)
            first = next(lines, None)
            if first is not None:
                heapq.heappush(heap, (first.at, order, first, lines))
                order += 1
            waiting = next(source, None)
        if not heap:
            continue
        _, number, line, lines = heap[0]
        yield line
        following = next(lines, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.at, number, following, lines))
