"""Output of many executions as log entries, filtered, by time, a page at a time.

Only the page is held in memory: the best entries seen so far, and their worst says which executions
and attempts need no look, because they had ended by then (or had not begun). What an execution has
written is looked for between its creation and its end: an entry whose program says quite another
time may be missed.

Reading goes step by step (:meth:`Search.steps`), so that a loop can do other things in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobrunner.core.logentry import LogEntry, entry_as_json, parse_entry
from jobrunner.core.logfilter import Every, Filter, only, since, until
from jobrunner.core.records import Attempt, Execution, Scope
from jobrunner.core.states import ENDED
from jobrunner.errors import NotFound
from jobrunner.ports import LogStore, Page, Store
from jobrunner.service.logs import LineCutter, LogLine

RESOURCE = "cloud_run_job"
EXECUTION_NAME = "run.googleapis.com/execution_name"
TASK_INDEX = "run.googleapis.com/task_index"
TASK_ATTEMPT = "run.googleapis.com/task_attempt"
NOT_THE_USERS = ("client.knative.dev/", "run.googleapis.com/", "cloud.googleapis.com/")
STREAMS = {1: "stdout", 2: "stderr"}
SYSTEM = "varlog%2Fsystem"

SLACK = 1.0
"""Seconds that output may be read after the end of its attempt."""
STEP = 200
"""Lines between two pauses."""
BATCH = 100
MAX_BYTES = 8 * 1024**2
"""Of one page, as text; a page of very long lines is cut short."""


class Position(NamedTuple):
    """Where an entry stands among all. ``at`` is its timestamp; the rest tells apart what bears
    the same one."""

    at: float
    execution: str
    task: int
    attempt: int
    line: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """``newest_first`` or oldest first; ``after`` is the position of the page's predecessor."""

    projects: frozenset[str]
    filter: Filter = field(default_factory=Every)
    newest_first: bool = False
    limit: int = 50
    after: Position | None = None


class Found(NamedTuple):
    position: Position
    entry: Mapping[str, Any]
    size: int


class Search:
    """One page. Run :meth:`steps` to its end, then read ``page`` and ``more``."""

    def __init__(self, store: Store, logs: LogStore, wanted: Wanted) -> None:
        self._store = store
        self._logs = logs
        self._wanted = wanted
        self._best = _Best(wanted.limit, newest_first=wanted.newest_first)
        labels = ("resource", "labels")
        self._jobs = only(wanted.filter, *labels, "job_name")
        self._regions = only(wanted.filter, *labels, "location")
        self._names = only(wanted.filter, "labels", EXECUTION_NAME)
        self._indices = only(wanted.filter, "labels", TASK_INDEX)
        self._since, self._until = _window(wanted)

    @property
    def page(self) -> Sequence[Mapping[str, Any]]:
        return [found.entry for found in self._best.page()]

    @property
    def more(self) -> Position | None:
        """The position to go on after; ``None`` if this was all."""
        return self._best.last()

    def steps(self) -> Iterator[None]:
        """Yields now and then."""
        kinds = only(self._wanted.filter, "resource", "type")
        if kinds is not None and RESOURCE not in kinds:
            return
        if frozenset() in (self._jobs, self._regions, self._names, self._indices):
            return
        for execution in self._executions():
            if execution is None:
                yield
            elif self._may_hold(execution):
                yield from self._read(execution)

    # ------------------------------------------------------------------------------ executions

    def _executions(self) -> Iterator[Execution | None]:
        """In the order in which pages fill early; ``None`` now and then."""
        if self._wanted.newest_first:
            for project in sorted(self._wanted.projects):
                yield from self._newest_first(project)
            return
        # Their places only: there may be very many.
        begun: list[tuple[float, str]] = []
        for project in sorted(self._wanted.projects):
            for one in self._newest_first(project):
                if one is None:
                    yield None
                else:
                    begun.append((one.created_at, one.uid))
        begun.sort()
        for created_at, uid in begun:
            worst = self._best.worst()
            if worst is not None and created_at - SLACK > worst:
                return
            try:
                yield self._store.get_execution_by_uid(uid)
            except NotFound:
                continue

    def _newest_first(self, project: str) -> Iterator[Execution | None]:
        if self._names is not None and self._regions is not None:
            for region in sorted(self._regions):
                for name in sorted(self._names):
                    try:
                        yield self._store.get_execution(Scope(project, region), name)
                    except NotFound:
                        yield None
            return
        home = _one(self._regions)
        scope = None if home is None else Scope(project, home)
        after = None
        while True:
            # What runs as a command of its own is shown to those who name it.
            rows = self._store.list_executions(
                scope,
                job=_one(self._jobs),
                hidden=self._jobs is not None or self._names is not None,
                ended_after=self._from(),
                page=Page(BATCH, after),
            )
            yield from (one for one in rows if one.project == project and self._named(one))
            yield None
            if len(rows) < BATCH:
                return
            after = rows[-1].uid

    def _from(self) -> float | None:
        """What had ended by then cannot be on the page."""
        worst = self._best.worst() if self._wanted.newest_first else None
        bounds = [bound for bound in (self._since, worst) if bound is not None]
        return max(bounds) - SLACK if bounds else None

    def _named(self, execution: Execution) -> bool:
        return (
            (self._jobs is None or execution.job_name in self._jobs)
            and (self._names is None or execution.name in self._names)
            and (self._regions is None or execution.region in self._regions)
        )

    def _may_hold(self, execution: Execution) -> bool:
        return self._overlaps(execution.created_at, execution.completed_at)

    def _overlaps(self, begun: float, ended: float | None) -> bool:
        worst = self._best.worst()
        newest = self._wanted.newest_first
        earliest = self._from() if newest else None if self._since is None else self._since - SLACK
        latest = self._until
        if not newest and worst is not None:
            latest = worst if latest is None else min(latest, worst)
        return (ended is None or earliest is None or ended >= earliest) and (
            latest is None or begun - SLACK <= latest
        )

    # --------------------------------------------------------------------------------- attempts

    def _read(self, execution: Execution) -> Iterator[None]:
        labels = entry_labels(execution)
        attempts = [
            one
            for one in self._store.list_attempts(execution.uid)
            if one.output != 0 and (self._indices is None or str(one.index) in self._indices)
        ]
        if self._wanted.newest_first:
            attempts.sort(key=lambda one: (one.ended_at is None, one.ended_at or 0.0), reverse=True)
        else:
            attempts.sort(key=lambda one: one.claimed_at)
        for attempt in attempts:
            if self._overlaps(attempt.claimed_at, attempt.ended_at):
                yield from self._read_attempt(execution, attempt, labels)
        yield

    def _read_attempt(
        self, execution: Execution, attempt: Attempt, labels: Mapping[str, str]
    ) -> Iterator[None]:
        frame = _Frame(execution, attempt, labels)
        for number, line in enumerate(self._lines(attempt)):
            self._consider(frame, number, line)
            if number % STEP == STEP - 1:
                yield

    def _lines(self, attempt: Attempt) -> Iterator[LogLine]:
        cutter = LineCutter(attempt.index, attempt.number)
        for chunk in self._logs.chunks(attempt.key):
            yield from cutter.feed(chunk)
        if attempt.state in ENDED:
            yield from cutter.finish()

    def _consider(self, frame: _Frame, number: int, line: LogLine) -> None:
        parsed = frame.parsed(line)
        place = Position(parsed.timestamp, frame.execution, line.index, line.attempt, number)
        if self._wanted.after is not None:
            newest = self._wanted.newest_first
            before = place < self._wanted.after if newest else place > self._wanted.after
            if not before:
                return
        if not self._best.wants(place):
            return
        entry = frame.entry(parsed, line, number)
        if self._wanted.filter.holds(entry):
            self._best.add(Found(place, entry, len(line.data) + 500))


class _Frame:
    """What all entries of an attempt have in common."""

    def __init__(self, execution: Execution, attempt: Attempt, labels: Mapping[str, str]) -> None:
        self.execution = execution.uid
        mark = hashlib.sha256(str(attempt.key).encode()).hexdigest()
        self._mark = mark[:12]
        self._log = f"projects/{execution.project}/logs/run.googleapis.com%2F"
        self._resource = {
            "type": RESOURCE,
            "labels": {
                "project_id": execution.project,
                "location": execution.region,
                "job_name": execution.job_name,
            },
        }
        self._labels = {
            **labels,
            EXECUTION_NAME: execution.name,
            TASK_INDEX: str(attempt.index),
            TASK_ATTEMPT: str(attempt.number),
            "instanceId": mark,
        }

    @staticmethod
    def parsed(line: LogLine) -> LogEntry:
        if line.dropped:
            text = f"{line.dropped} bytes of output are not kept here."
            return LogEntry(line.at, line.at, line.stream, severity="WARNING", text=text)
        return parse_entry(line.data, line.stream, line.at)

    def entry(self, parsed: LogEntry, line: LogLine, number: int) -> dict[str, Any]:
        stream = SYSTEM if line.dropped else STREAMS[line.stream]
        entry = entry_as_json(parsed)
        entry.setdefault("insertId", f"{self._mark}{number:08x}")
        entry["logName"] = self._log + stream
        entry["resource"] = self._resource
        entry["labels"] = {**self._labels, **parsed.labels}
        return entry


class _Best:
    """The first ``limit`` of what was added, in order. Holds at most twice as many, and no more
    than twice :data:`MAX_BYTES` of text."""

    def __init__(self, limit: int, *, newest_first: bool) -> None:
        self._limit = limit
        self._newest_first = newest_first
        self._held: list[Found] = []
        self._bytes = 0
        self._worst: Position | None = None

    def wants(self, place: Position) -> bool:
        if self._worst is None:
            return True
        return place > self._worst if self._newest_first else place < self._worst

    def worst(self) -> float | None:
        """The time of the last one, once the page is full."""
        return None if self._worst is None else self._worst.at

    def last(self) -> Position | None:
        """The last one of a full page: there may be more, or not."""
        self._tidy()
        return self._worst

    def page(self) -> Sequence[Found]:
        self._tidy()
        return self._held

    def add(self, found: Found) -> None:
        self._held.append(found)
        self._bytes += found.size
        if len(self._held) >= 2 * self._limit or self._bytes > 2 * MAX_BYTES:
            self._tidy()

    def _tidy(self) -> None:
        self._held.sort(key=lambda found: found.position, reverse=self._newest_first)
        kept = total = 0
        for found in self._held[: self._limit]:
            total += found.size
            if kept and total > MAX_BYTES:
                break
            kept += 1
        full = kept == self._limit or kept < len(self._held)
        del self._held[kept:]
        self._bytes = sum(found.size for found in self._held)
        if full:
            # From now on the page ends here, also where its size has cut it short.
            self._worst = self._held[-1].position


def entry_labels(execution: Execution) -> dict[str, str]:
    """The user's labels, without those that tools and the server put beside them."""
    return {
        key: value for key, value in execution.labels.items() if not key.startswith(NOT_THE_USERS)
    }


def _window(wanted: Wanted) -> tuple[float | None, float | None]:
    """Between which timestamps entries of this page can be."""
    earliest, latest = since(wanted.filter), until(wanted.filter)
    if wanted.after is not None:
        at = wanted.after.at
        if wanted.newest_first:
            latest = at if latest is None else min(latest, at)
        else:
            earliest = at if earliest is None else max(earliest, at)
    return earliest, latest


def _one(values: frozenset[str] | None) -> str | None:
    return next(iter(values)) if values is not None and len(values) == 1 else None
