"""The Store over one connection: each method opens one transaction and says what runs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TypeVar

from jobrunner.core.records import (
    DEFAULT_PROJECT,
    DEFAULT_PROJECT_NUMBER,
    Abort,
    Attempt,
    AuditEntry,
    Execution,
    ExecutionChange,
    Job,
    Operation,
    Policy,
    Scope,
    Task,
    Token,
)
from jobrunner.core.states import TaskState
from jobrunner.lib.database import Database, DatabaseError, Session
from jobrunner.ports import Joined, Loaded, Page, Retention, Turn
from jobrunner.store import (
    audit,
    executions,
    feed,
    jobs,
    keeping,
    leases,
    operations,
    policies,
    reads,
    runkeys,
    tokens,
    turns,
)
from jobrunner.store.recall import Recall
from jobrunner.store.revisions import HEAD
from jobrunner.transactions import Transactions, fault

T = TypeVar("T")


class SqlStore(Transactions):
    """See :class:`jobrunner.ports.Store`. May be used from several threads; they take turns."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        database.before_commit = feed.write
        self._recall = Recall()
        self._in_group = False

    @property
    def database(self) -> Database:
        """For tables of others in the same database."""
        return self._database

    # jobs

    def create_job(self, job: Job) -> None:
        self._write(lambda s: jobs.create(s, job))

    def replace_job(self, job: Job, *, expect_version: int) -> None:
        self._write(lambda s: jobs.replace(s, job, expect_version))

    def get_job(self, scope: Scope, name: str) -> Job:
        return self._read(lambda s: jobs.get(s, scope, name, self._recall))

    def list_jobs(
        self, scope: Scope | None, *, hidden: bool = False, page: Page | None = None
    ) -> Sequence[Job]:
        return self._read(lambda s: jobs.listing(s, scope, hidden, page, self._recall))

    def regions(self, project: str) -> Sequence[str]:
        return self._read(lambda s: jobs.regions(s, project))

    def job_names(self, scope: Scope, *, near: str | None = None) -> Sequence[str]:
        return self._read(lambda s: jobs.names(s, scope, near))

    def delete_job(self, scope: Scope, name: str) -> Job:
        return self._write(lambda s: jobs.delete(s, scope, name))

    # executions

    def create_execution(self, execution: Execution) -> Execution:
        try:
            return self._write(lambda s: executions.create(s, execution))
        except executions.OpenedBefore as earlier:
            return earlier.execution

    def get_execution(self, scope: Scope, name: str) -> Execution:
        return self._read(lambda s: executions.by_name(s, scope, name))

    def get_execution_by_uid(self, uid: str) -> Execution:
        return self._read(lambda s: executions.by_uid(s, uid))

    def list_executions(
        self,
        scope: Scope | None,
        *,
        job: str | None = None,
        parent: str | None = None,
        hidden: bool = False,
        ended_after: float | None = None,
        page: Page | None = None,
    ) -> Sequence[Execution]:
        def work(session: Session) -> Sequence[Execution]:
            recall = None if self._in_group else self._recall
            return executions.listing(
                session, scope, job, parent, hidden, ended_after, page, recall
            )

        return self._read(work)

    def execution_names(self, scope: Scope, *, near: str | None = None) -> Sequence[str]:
        return self._read(lambda s: executions.names(s, scope, near))

    def delete_execution(self, uid: str) -> None:
        self._write(lambda s: executions.delete(s, uid))

    def request_abort(self, uid: str, abort: Abort) -> Execution:
        return self._write(lambda s: executions.request_abort(s, uid, abort))

    def aborts_for(self, owner: str) -> Sequence[tuple[str, Abort]]:
        return self._read(lambda s: leases.aborts_for(s, owner))

    # driving

    def claim(self, uid: str, owner: str, *, now: float, ttl: float) -> Execution:
        return self._write(lambda s: leases.claim(s, uid, owner, now, ttl))

    def claimable(self, *, now: float, limit: int = 100) -> Sequence[str]:
        return self._read(lambda s: leases.claimable(s, now, limit))

    def wished(self, *, now: float, limit: int = 100) -> Sequence[str]:
        return self._read(lambda s: leases.wished(s, now, limit))

    def heartbeat(self, owner: str, *, now: float, ttl: float) -> int:
        return self._write(lambda s: leases.heartbeat(s, owner, now, ttl))

    def release(self, uid: str, owner: str) -> None:
        self._write(lambda s: leases.release(s, uid, owner))

    def load(self, uid: str) -> Loaded:
        return self._read(lambda s: reads.load(s, uid))

    def record(self, turn: Turn) -> None:
        self._write(lambda s: turns.record(s, turn))

    # reads

    def list_tasks(
        self,
        execution: str,
        *,
        states: Iterable[TaskState] | None = None,
        page: Page | None = None,
    ) -> Sequence[Task]:
        wanted = None if states is None else frozenset(states)
        return self._read(lambda s: reads.tasks(s, execution, wanted, page))

    def get_task(self, execution: str, index: int) -> Task:
        return self._read(lambda s: reads.task(s, execution, index))

    def list_attempts(self, execution: str, *, index: int | None = None) -> Sequence[Attempt]:
        return self._read(lambda s: reads.attempts(s, execution, index))

    def changes(self, after: int, *, limit: int = 1000) -> Sequence[ExecutionChange]:
        return self._read(lambda s: feed.read(s, after, limit))

    def last_change(self) -> int:
        return self._read(feed.last)

    def change(self, execution: str, sequence: int) -> ExecutionChange | None:
        return self._read(lambda s: feed.one(s, execution, sequence))

    def project_number(self, project: str) -> int:
        if project == DEFAULT_PROJECT:
            return DEFAULT_PROJECT_NUMBER
        known = self._read(lambda s: keeping.project_number(s, project))
        if known is not None:
            return known
        return self._write(lambda s: keeping.new_project_number(s, project))

    def project_of(self, number: int) -> str:
        if number == DEFAULT_PROJECT_NUMBER:
            return DEFAULT_PROJECT
        return self._read(lambda s: keeping.project_of(s, number))

    # operations

    def put_operation(self, operation: Operation) -> None:
        self._write(lambda s: operations.put(s, operation))

    def get_operation(self, scope: Scope, id: str) -> Operation:
        return self._read(lambda s: operations.get(s, scope, id))

    def list_operations(self, scope: Scope, *, page: Page | None = None) -> Sequence[Operation]:
        return self._read(lambda s: operations.listing(s, scope, page))

    def delete_operation(self, scope: Scope, id: str) -> None:
        self._write(lambda s: operations.delete(s, scope, id))

    def prune_operations(self, before: float) -> int:
        return self._write(lambda s: operations.prune(s, before))

    # policies

    def get_policy(self, scope: Scope, resource: str) -> Policy | None:
        return self._read(lambda s: policies.get(s, scope, resource))

    def set_policy(
        self, scope: Scope, resource: str, policy: Policy, *, expect_etag: str | None
    ) -> Policy:
        return self._write(lambda s: policies.put(s, scope, resource, policy, expect_etag))

    # tokens

    def create_token(self, token: Token) -> None:
        self._write(lambda s: tokens.create(s, token))

    def list_tokens(self) -> Sequence[Token]:
        return self._read(tokens.listing)

    def find_token(self, hash: str) -> Token | None:
        return self._read(lambda s: tokens.by_hash(s, hash))

    def revoke_token(self, name: str, *, at: float) -> Token:
        return self._write(lambda s: tokens.revoke(s, name, at))

    def touch_token(self, id: str, *, at: float) -> None:
        self._write(lambda s: tokens.touch(s, id, at))

    # audit log

    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        self._write(lambda s: audit.append(s, entries))

    def list_audit(self, *, page: Page | None = None) -> Sequence[AuditEntry]:
        return self._read(lambda s: audit.listing(s, page))

    def audit_after(self, after: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        return self._read(lambda s: audit.following(s, after, limit))

    def last_audit(self) -> int:
        return self._read(audit.last)

    def prune_audit(self, before: float) -> int:
        return self._write(lambda s: audit.prune(s, before))

    # keeping house

    def prune_run_keys(self, before: float) -> int:
        return self._write(lambda s: runkeys.prune(s, before))

    def prune_changes(self, before: float) -> int:
        return self._write(lambda s: feed.prune(s, before))

    def expired(self, retention: Retention, *, now: float) -> Sequence[Execution]:
        return self._read(lambda s: keeping.expired(s, retention, now))

    def settled_oldest_first(self, *, limit: int) -> Sequence[Execution]:
        return self._read(lambda s: keeping.oldest_first(s, limit))

    def facts(self) -> Mapping[str, str]:
        try:
            return {**self._database.facts(), "schema": HEAD}
        except DatabaseError as error:
            raise fault(error) from error

    def group(self, works: Sequence[Callable[[], object]]) -> Sequence[object]:
        return self._write(lambda session: self._together(session, works))

    def begin_group(
        self, works: Sequence[Callable[[], object]]
    ) -> tuple[Sequence[object], Callable[[], None] | None]:
        try:
            begun = self._database.begin(lambda session: self._together(session, works))
        except DatabaseError as error:
            raise fault(error) from error
        answers, commit = begun

        def finish(commit: Callable[[], None]) -> None:
            try:
                commit()
            except DatabaseError as error:
                raise fault(error) from error

        return answers, None if commit is None else partial(finish, commit)

    def _together(
        self, session: Session, works: Sequence[Callable[[], object]]
    ) -> Sequence[object]:
        def attempt(work: Callable[[], object]) -> object:
            try:
                return self._database.nested(work)
            except Exception as error:
                return error

        if len(works) > 1:
            session.in_turn()

        def attempts(run: Sequence[Callable[[], object]]) -> Iterable[object]:
            first = run[0]
            if len(run) > 1 and isinstance(first, Joined):
                items = [work.item for work in run if isinstance(work, Joined)]
                # Whose fault it is if that breaks is found out one by one.
                with suppress(Exception):
                    return self._database.nested(lambda: _answers(first.each, items))
            return [attempt(work) for work in run]

        before, self._in_group = self._in_group, True
        try:
            runs = (list(run) for _, run in groupby(works, _kind))
            return [answer for run in runs for answer in attempts(run)]
        finally:
            self._in_group = before

    def close(self) -> None:
        self._database.close()


def _kind(work: Callable[[], object]) -> object:
    """The same for works that may be done together."""
    return work.each if isinstance(work, Joined) else None


def _answers(
    each: Callable[[Sequence[object]], Sequence[object]], items: Sequence[object]
) -> Sequence[object]:
    answers = each(items)
    if len(answers) != len(items):
        raise ValueError(f"{len(items)} items were given {len(answers)} answers")
    return answers
