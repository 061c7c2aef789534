"""The whole trigger layer and a server's executor in this process, on a clock of either kind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from jobrunner.app.making import Backends, make_backend, make_means
from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, EnvVar, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.executor.observer import Observer
from jobrunner.executor.serving import ServingExecutor
from jobrunner.lib.clock import SystemClock, VirtualClock
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Clock, Page
from jobrunner.service import Service, make_service
from jobrunner.service.commit import GroupCommit
from jobrunner.service.moving import Moved, Mover
from jobrunner.service.parts import Ground, Parts
from jobrunner.settings import from_environment
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs
from jobrunner.store.sql import SqlStore
from triggers import app as layer
from triggers.core.records import Schedule

WHERE = Scope("local", "us-central1")


@dataclass
class Home:
    """``mover`` moves a virtual clock."""

    clock: Clock
    service: Service
    layer: Any
    commit: GroupCommit
    store: SqlStore
    mover: Mover | None

    async def job(self, name: str, script: str, **template: Any) -> None:
        container = Container(command=("true",), env=(EnvVar("JOBRUNNER_SCRIPT", script),))
        spec = JobSpec(
            template=ExecutionTemplate(template=TaskTemplate(containers=(container,), **template))
        )
        await self.commit(lambda: self.service.jobs.create(WHERE, name, spec))

    async def schedule(self, name: str, expression: str, target: Any, **fields: Any) -> None:
        schedule = Schedule("", *WHERE, name, expression, target, **fields)
        await self.commit(lambda: self.layer.schedules.create(schedule))
        self.layer.ticker.look()

    async def advance(self, target: float, **options: Any) -> Moved:
        assert self.mover is not None
        return await self.mover.advance(target, **options)

    # ------------------------------------------------------------ what has happened

    def occurrences(self) -> list[tuple[Any, ...]]:
        """Of every schedule, oldest first; without ids, and without the instants at which they were
        dealt with."""
        found: list[tuple[Any, ...]] = []
        for armed in self.layer.schedules.store.listing(None):
            rows = self.layer.schedules.store.history(armed.schedule.uid)
            found += [
                (armed.schedule.name, row.key.nominal, row.state, row.origin, row.reason)
                for row in reversed(rows)
            ]
        return found

    def deliveries(self) -> list[tuple[Any, ...]]:
        """In the order of their keys, with their attempts."""
        found = []
        for one in self.layer.store.listing(layer_filter(), page=Page(10_000)):
            attempts = tuple(
                # What a run says of itself holds its name.
                (a.number, a.status, a.ruling, *(() if a.execution else (a.excerpt, a.error)))
                for a in self.layer.store.attempts(one.uid)
            )
            found.append((one.source_name, one.queued_at, one.state, one.attempts, attempts))
        return sorted(found, key=lambda row: (row[0], row[1]))

    def executions(self) -> list[tuple[Any, ...]]:
        """By job, and of each the oldest first, with their tasks and attempts. Which of two jobs
        begins first that are due at one instant is nobody's promise."""
        found = []
        for one in reversed(self.store.list_executions(WHERE, page=Page(10_000))):
            tasks = tuple(
                (task.index, task.state, task.attempts, task.counted, task.exit_code)
                for task in self.store.list_tasks(one.uid)
            )
            attempts = tuple(
                (a.index, a.number, a.state, a.exit_code) for a in self.store.list_attempts(one.uid)
            )
            found.append((one.job_name, one.state, one.counters, tasks, attempts))
        return sorted(found, key=lambda row: row[0])

    def record(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            "occurrences": self.occurrences(),
            "deliveries": self.deliveries(),
            "executions": self.executions(),
        }


def layer_filter() -> Any:
    from triggers.ports import DeliveryFilter

    return DeliveryFilter()


@asynccontextmanager
async def home(folder: str, clock: Clock) -> AsyncIterator[Home]:
    """Everything runs within, on the scripted backend."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    settings = from_environment({"JOBRUNNER_HOME": folder, "HOME": folder})
    opened = open_store("sqlite:///:memory:")
    assert isinstance(opened, SqlStore)
    logs, ids, machine = FileLogs(settings.logs_dir), RandomIds(), SystemClock()
    executor = ServingExecutor(
        make_means(
            settings,
            store=opened,
            logs=logs,
            backends=Backends(lambda name: make_backend(settings, name, clock)),
            clock=clock,
            machine=machine,
            owner="me",
            observer=Observer(),
            environ={},
        )
    )
    service = make_service(opened, logs, clock, ids, actor="me").served("scripted")
    commit = GroupCommit(opened)
    parts = Parts(service, commit, executor, clock, ids, WHERE, machine)
    ground = Ground(parts, opened.database, "me", folder, "http://127.0.0.1:1")
    mover = None
    if isinstance(clock, VirtualClock):
        clock.join(executor, told=True)
        database: Any = opened.database
        mover = Mover(clock, machine, lambda now: None, lambda: database.changes)
    made = layer.layer_of(ground)
    executor.start()
    loops = [asyncio.ensure_future(loop(ground)) for loop in (layer.tick, layer.dispatch)]
    try:
        yield Home(clock, service, made, commit, opened, mover)
    finally:
        await executor.drain(1.0)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        opened.close()


def names(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [row[0] for row in rows]
