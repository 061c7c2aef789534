"""What the command line asks of a server: one method of :class:`Desk` per operation.

The table :data:`OPERATIONS` is made from the methods themselves: their parameters and answers are
what travels, in domain values. The server calls them on a Desk of its own; the client names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jobrunner.calls import Role
from jobrunner.core.indices import parse_indices
from jobrunner.core.records import Attempt, AttemptKey, Execution, Job, Scope, Task
from jobrunner.core.spec import JobSpec, Overrides
from jobrunner.core.states import ENDED_TASKS, SETTLED_EXECUTIONS, TaskState
from jobrunner.errors import UsageError
from jobrunner.lib.clock import SystemClock
from jobrunner.ports import LogChunk, Page, Retention
from jobrunner.service import Service
from jobrunner.service.retention import HouseKeeping

PROTOCOL = 1
"""Raised when an operation changes its meaning, not when one is added or gains a parameter with a
default: what the other side does not know it ignores."""

PATH = "/jobrunner/v1/call/"
LEAST_SHARE = 16 * 1024
MOST_BYTES = 4 * 1024 * 1024
MOST_LOGS = 256
MOST_DIGITS = 9
"""Bounds of one answer about output: bytes, about, and attempts."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """``does`` is the method of Desk. ``grouped`` ones write, in one transaction with others;
    ``repeatable`` ones may be asked again when no answer came. ``starts`` ones leave something for
    the runner to look at."""

    name: str
    does: Callable[..., Any]
    role: Role
    changes: bool = False
    grouped: bool = False
    repeatable: bool = True
    starts: bool = False


OPERATIONS: dict[str, Operation] = {}


def reads(does: F) -> F:
    OPERATIONS[does.__name__] = Operation(does.__name__, does, Role.VIEWER)
    return does


def writes(
    role: Role, *, grouped: bool = True, repeatable: bool = False, starts: bool = False
) -> Callable[[F], F]:
    def add(does: F) -> F:
        OPERATIONS[does.__name__] = Operation(
            does.__name__, does, role, True, grouped, repeatable, starts
        )
        return does

    return add


# ---------------------------------------------------------------- what only travels


@dataclass(frozen=True, slots=True)
class About:
    """Who serves. ``accepts`` says that new attempts are started (it does not drain)."""

    version: str
    protocol: int
    accepts: bool = True


@dataclass(frozen=True, slots=True)
class News:
    """An execution as it is now, and of what was asked for all that may have changed. ``trouble``
    is why it cannot be driven now."""

    execution: Execution
    tasks: Sequence[Task] = ()
    attempts: Sequence[Attempt] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class LogPlace:
    """One attempt's output, from ``place`` on (:meth:`jobrunner.ports.LogReader.place`)."""

    key: AttemptKey
    place: str = ""


@dataclass(frozen=True, slots=True)
class LogPart:
    """What came next, the place after it, and whether there is more at once."""

    chunks: Sequence[LogChunk]
    place: str
    more: bool = False


# ---------------------------------------------------------------- the operations


class Desk:
    """On behalf of the actor of ``service``. Names and errors are those of the use cases."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # jobs

    @reads
    def find_job(self, scope: Scope, name: str) -> Job | None:
        return self._service.jobs.find(scope, name)

    @reads
    def get_job(self, scope: Scope, name: str) -> Job:
        return self._service.jobs.get(scope, name)

    @reads
    def list_jobs(
        self, scope: Scope | None, hidden: bool = False, page: Page | None = None
    ) -> Sequence[Job]:
        return self._service.jobs.list(scope, hidden=hidden, page=page)

    @writes(Role.ADMIN, starts=True)
    def create_job(self, scope: Scope, name: str, spec: JobSpec) -> Job:
        return self._service.jobs.create(scope, name, spec)

    @writes(Role.ADMIN, starts=True)
    def replace_job(
        self, scope: Scope, name: str, spec: JobSpec, expect_version: int | None = None
    ) -> Job:
        return self._service.jobs.replace(scope, name, spec, expect_version=expect_version)

    @writes(Role.ADMIN, repeatable=True, starts=True)
    def apply_job(self, scope: Scope, name: str, spec: JobSpec) -> tuple[Job, str]:
        return self._service.jobs.apply(scope, name, spec)

    @writes(Role.ADMIN)
    def delete_job(self, scope: Scope, name: str) -> Job:
        return self._service.executions.delete_job(scope, name)

    # executions

    @writes(Role.INVOKER, repeatable=True, starts=True)
    def run(
        self,
        scope: Scope,
        job_name: str,
        key: str,
        overrides: Overrides | None = None,
        backend: str | None = None,
    ) -> Execution:
        """Once per ``key``, however often it is asked."""
        return self._service.executions.run(
            scope, job_name, overrides, backend=backend, idempotency_key=key
        )

    @writes(Role.INVOKER, repeatable=True, starts=True)
    def rerun(
        self, scope: Scope, name: str, key: str, indices: Sequence[int] | None = None
    ) -> Execution:
        """Once per ``key``, however often it is asked."""
        return self._service.executions.rerun(scope, name, indices=indices, idempotency_key=key)

    @writes(Role.INVOKER, repeatable=True, starts=True)
    def cancel(self, scope: Scope, name: str) -> Execution:
        return self._service.executions.cancel(scope, name)

    @writes(Role.ADMIN)
    def delete_execution(self, scope: Scope, name: str) -> Execution:
        return self._service.executions.delete(scope, name)

    @reads
    def get_execution(self, scope: Scope, name: str) -> Execution:
        return self._service.executions.get(scope, name)

    @reads
    def get_execution_by_uid(self, uid: str) -> Execution:
        return self._service.store.get_execution_by_uid(uid)

    @reads
    def list_executions(
        self,
        scope: Scope | None,
        job: str | None = None,
        hidden: bool = False,
        page: Page | None = None,
    ) -> Sequence[Execution]:
        return self._service.executions.list(scope, job=job, hidden=hidden, page=page)

    @reads
    def children(self, uid: str) -> Sequence[Execution]:
        execution = self._service.store.get_execution_by_uid(uid)
        return self._service.executions.children(execution)

    @reads
    def list_tasks(
        self, uid: str, states: Sequence[TaskState] | None = None, page: Page | None = None
    ) -> Sequence[Task]:
        if page is not None and page.after is not None:
            _check_index(page.after)
        return self._service.store.list_tasks(uid, states=states, page=page)

    @reads
    def get_task(self, uid: str, index: int) -> Task:
        _check_index(str(index))
        execution = self._service.store.get_execution_by_uid(uid)
        return self._service.executions.task(execution, index)

    @reads
    def list_attempts(self, uid: str, index: int | None = None) -> Sequence[Attempt]:
        if index is not None:
            _check_index(str(index))
        return self._service.store.list_attempts(uid, index=index)

    # following

    @reads
    def settled(self, uid: str, within: float) -> Execution:
        """The execution once it has ended, or as it is after ``within`` seconds. The waiting is the
        server's part: this is the last look."""
        return self._service.store.get_execution_by_uid(uid)

    @reads
    def news(
        self,
        uid: str,
        after: int = -1,
        tasks: bool = False,
        attempts: bool = False,
        done: str = "",
    ) -> News | None:
        """``None`` while nothing has changed since the resource version ``after``. ``tasks`` asks
        for those that have ended, ``attempts`` for all but those of the indices in ``done``."""
        store = self._service.store
        # The execution first: what is read after a settled state is final.
        execution = store.get_execution_by_uid(uid)
        if execution.resource_version == after and execution.state not in SETTLED_EXECUTIONS:
            return None
        every = Page(limit=max(execution.task_count, 1))
        left_out = frozenset(_indices(done)) if done else frozenset()
        return News(
            execution,
            store.list_tasks(uid, states=ENDED_TASKS, page=every) if tasks else (),
            [a for a in store.list_attempts(uid) if a.index not in left_out] if attempts else (),
        )

    # output

    @reads
    def read_logs(self, wanted: Sequence[LogPlace], size: int) -> Sequence[LogPart]:
        """About ``size`` bytes of output in all, a fair share of each."""
        if len(wanted) > MOST_LOGS:
            raise UsageError(f"{len(wanted)} logs at once are too many; allowed: {MOST_LOGS}")
        share = max(min(size, MOST_BYTES) // max(len(wanted), 1), LEAST_SHARE)
        return [self._part(want, share) for want in wanted]

    def _part(self, want: LogPlace, share: int) -> LogPart:
        _check_uid(want.key.execution)
        try:
            reader = self._service.logs.reader(want.key, want.place)
        except ValueError as error:
            raise UsageError(str(error)) from None
        chunks: list[LogChunk] = []
        for chunk in reader.read():
            chunks.append(chunk)
            share -= len(chunk.data)
            if share <= 0:
                return LogPart(chunks, reader.place(), more=True)
        return LogPart(chunks, reader.place())

    @reads
    def tail_log(self, key: AttemptKey, size: int) -> bytes:
        _check_uid(key.execution)
        return self._service.logs.tail(key, max(1, min(size, MOST_BYTES)))

    @reads
    def size_of_logs(self) -> int:
        return self._service.logs.total_size()

    # the house

    @reads
    def facts(self) -> Mapping[str, str]:
        return self._service.store.facts()

    @writes(Role.ADMIN, grouped=False)
    def prune(self, retention: Retention, dry_run: bool = False) -> Sequence[Execution]:
        service = self._service
        house = HouseKeeping(
            service.store, service.logs, service.clock, retention, machine=SystemClock()
        )
        return house.prune(dry_run=dry_run)


def _indices(text: str) -> tuple[int, ...]:
    try:
        return parse_indices(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_index(text: str) -> None:
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise UsageError(f"'{text[:60]}' is not the index of a task")


def _check_uid(uid: str) -> None:
    """What names a directory of logs must be nothing but a name."""
    if not uid.replace("-", "").isalnum():
        raise UsageError(f"'{uid}' is not the uid of an execution")
