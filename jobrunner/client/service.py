"""The use cases that commands call, with the names and parameters of :mod:`jobrunner.service`;
each is one operation of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobrunner.client.wire import Wire
from jobrunner.core.records import Attempt, Execution, Job, Lease, Scope, Task
from jobrunner.core.spec import JobSpec, Overrides
from jobrunner.core.states import TaskState
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Page
from jobrunner.service.calls import Desk


class RemoteJobs:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, scope: Scope, name: str, spec: JobSpec) -> Job:
        return self._wire.call(Desk.create_job, scope, name, spec)

    def replace(
        self, scope: Scope, name: str, spec: JobSpec, *, expect_version: int | None = None
    ) -> Job:
        return self._wire.call(Desk.replace_job, scope, name, spec, expect_version=expect_version)

    def apply(self, scope: Scope, name: str, spec: JobSpec) -> tuple[Job, str]:
        return self._wire.call(Desk.apply_job, scope, name, spec)

    def find(self, scope: Scope, name: str) -> Job | None:
        return self._wire.call(Desk.find_job, scope, name)

    def get(self, scope: Scope, name: str) -> Job:
        return self._wire.call(Desk.get_job, scope, name)

    def list(
        self, scope: Scope | None, *, hidden: bool = False, page: Page | None = None
    ) -> Sequence[Job]:
        return self._wire.call(Desk.list_jobs, scope, hidden=hidden, page=page)


class RemoteExecutions:
    """What is opened here is driven by the server: a lease has no meaning, and is left out."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def run(
        self,
        scope: Scope,
        job_name: str,
        overrides: Overrides | None = None,
        *,
        backend: str | None = None,
        idempotency_key: str | None = None,
        lease: Lease | None = None,
    ) -> Execution:
        key = idempotency_key or fresh_key()
        return self._wire.call(Desk.run, scope, job_name, key, overrides, backend)

    def rerun(
        self,
        scope: Scope,
        name: str,
        *,
        indices: Sequence[int] | None = None,
        lease: Lease | None = None,
    ) -> Execution:
        return self._wire.call(Desk.rerun, scope, name, fresh_key(), indices)

    def children(self, execution: Execution) -> Sequence[Execution]:
        return self._wire.call(Desk.children, execution.uid)

    def get(self, scope: Scope, name: str) -> Execution:
        return self._wire.call(Desk.get_execution, scope, name)

    def list(
        self,
        scope: Scope | None,
        *,
        job: str | None = None,
        hidden: bool = False,
        page: Page | None = None,
    ) -> Sequence[Execution]:
        return self._wire.call(Desk.list_executions, scope, job=job, hidden=hidden, page=page)

    def tasks(
        self,
        execution: Execution,
        *,
        states: Sequence[TaskState] | None = None,
        page: Page | None = None,
    ) -> Sequence[Task]:
        return self._wire.call(Desk.list_tasks, execution.uid, states=states, page=page)

    def task(self, execution: Execution, index: int) -> Task:
        return self._wire.call(Desk.get_task, execution.uid, index)

    def attempts(self, execution: Execution, *, index: int | None = None) -> Sequence[Attempt]:
        return self._wire.call(Desk.list_attempts, execution.uid, index=index)

    def cancel(self, scope: Scope, name: str) -> Execution:
        return self._wire.call(Desk.cancel, scope, name)

    def delete(self, scope: Scope, name: str) -> Execution:
        return self._wire.call(Desk.delete_execution, scope, name)

    def delete_job(self, scope: Scope, name: str) -> Job:
        return self._wire.call(Desk.delete_job, scope, name)


def fresh_key() -> str:
    """A key for one call: repeated on a lost connection, it still opens one execution."""
    return f"jobrunner-cli-{RandomIds().uid()}"


@dataclass(frozen=True, slots=True)
class RemoteService:
    """As :class:`jobrunner.service.Service`."""

    jobs: RemoteJobs
    executions: RemoteExecutions


class RemoteStore:
    """The reads that the following of output needs, with patience, and the facts."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get_execution_by_uid(self, uid: str) -> Execution:
        with self._wire.patient():
            return self._wire.call(Desk.get_execution_by_uid, uid)

    def list_attempts(self, execution: str, *, index: int | None = None) -> Sequence[Attempt]:
        with self._wire.patient():
            return self._wire.call(Desk.list_attempts, execution, index=index)

    def facts(self) -> dict[str, Any]:
        return dict(self._wire.call(Desk.facts))
