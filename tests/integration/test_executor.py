"""The executor on a real store, with a backend that ends attempts as ordered, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.backends.scripted import (
    Ending,
    Exit,
    Hang,
    Killed,
    Late,
    Refuse,
    Script,
    ScriptedBackend,
    Vanish,
)
from jobrunner.core.records import Abort, Attempt, Execution, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import AttemptState, ExecutionState, TaskState
from jobrunner.errors import Refused
from jobrunner.executor.executor import LEASE_SECONDS, Executor
from jobrunner.executor.launching import Launcher
from jobrunner.executor.limits import Limits
from jobrunner.executor.means import Means
from jobrunner.executor.observer import Observer
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Page, Store
from jobrunner.service import Service, make_service
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs
from jobrunner.store.secrets import FileSecrets
from tests.support.virtual import LoopClock, VirtualLoop, run_virtually

SCOPE = Scope()


class Stage:
    """One store, one backend, one virtual loop; as many runners as a test asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = VirtualLoop()
        self.clock = LoopClock(self.loop)
        self.store: Store = open_store("sqlite:///:memory:")
        self.logs = FileLogs(str(folder / "logs"))
        self.service: Service = make_service(
            self.store, self.logs, self.clock, CountedIds(), actor="me"
        )
        self.backend = self.play({})
        self.warnings: list[str] = []

    def play(self, script: Script) -> ScriptedBackend:
        self.backend = ScriptedBackend(script, clock=self.clock)
        return self.backend

    def open(
        self,
        tasks: int = 1,
        parallelism: int | None = None,
        *,
        retries: int = 0,
        timeout: float | None = 600.0,
        name: str = "job",
        **annotations: str,
    ) -> Execution:
        spec = JobSpec(
            template=ExecutionTemplate(
                task_count=tasks,
                parallelism=parallelism,
                annotations={
                    f"jobrunner.dev/{k.replace('_', '-')}": v for k, v in annotations.items()
                },
                template=TaskTemplate(
                    containers=(Container(command=("true",)),),
                    max_retries=retries,
                    timeout=timeout,
                ),
            )
        )
        self.service.jobs.apply(SCOPE, name, spec)
        return self.service.executions.run(SCOPE, name)

    def runner(self, owner: str = "one", *, slots: int = 64) -> Executor:
        stage = self

        class Listening(Observer):
            def warning(self, message: str) -> None:
                stage.warnings.append(message)

        return Executor(
            Means(
                store=self.store,
                backends=lambda name: self.backend,
                launcher=Launcher(
                    logs=self.logs, secrets=FileSecrets(str(self.folder)), environ={"HOME": "/"}
                ),
                clock=self.clock,
                machine=self.clock,
                owner=owner,
                limits=Limits(slots=slots),
                observer=Listening(),
            )
        )

    def drive(self, *executions: Execution, slots: int = 64) -> list[Execution]:
        async def work() -> None:
            await self.runner(slots=slots).run(*(e.uid for e in executions))

        run_virtually(work(), self.loop)
        assert self.warnings == []
        return [self.store.get_execution_by_uid(e.uid) for e in executions]

    def drive_one(self, execution: Execution) -> Execution:
        return self.drive(execution)[0]

    def attempts(self, execution: Execution) -> list[Attempt]:
        return list(self.store.list_attempts(execution.uid))

    def states(self, execution: Execution) -> Counter[AttemptState]:
        return Counter(attempt.state for attempt in self.attempts(execution))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.store.close()
    stage.loop.close()


def test_every_task_is_run_once_and_the_record_says_so(stage: Stage) -> None:
    ended = stage.drive_one(stage.open(20, 4))
    assert ended.state is ExecutionState.SUCCEEDED
    assert ended.counters.succeeded == 20
    assert [a.key[1:] for a in stage.attempts(ended)] == [(i, 0) for i in range(20)]
    assert stage.states(ended) == {AttemptState.SUCCEEDED: 20}
    assert ended.lease is None


def test_never_more_attempts_live_than_parallelism(stage: Stage) -> None:
    backend = stage.play({(i, 0): Exit(0, after=1.0) for i in range(30)})
    stage.drive(stage.open(30, 7))
    assert backend.peak == 7


def test_never_more_attempts_live_than_slots(stage: Stage) -> None:
    backend = stage.play({(i, 0): Exit(0, after=1.0) for i in range(30)})
    stage.drive(stage.open(30), slots=5)
    assert backend.peak == 5


def test_a_big_execution_does_not_starve_a_small_one(stage: Stage) -> None:
    stage.play(lambda index, attempt: Exit(0, after=10.0))
    big = stage.open(1_000, name="big")
    small = stage.open(3, name="small")
    _, ended = stage.drive(big, small, slots=8)
    assert ended.completed_at is not None
    assert ended.completed_at - ended.created_at < 21


def test_every_end_is_on_record_before_its_remains_are_discarded(stage: Stage) -> None:
    execution = stage.open(10)
    stage.drive(execution)
    assert len(stage.backend.discards) == 10


def test_a_failed_task_is_retried_and_its_attempts_are_all_kept(stage: Stage) -> None:
    stage.play({(1, 0): Exit(1), (1, 1): Killed(9)})
    ended = stage.drive_one(stage.open(3, retries=2))
    assert ended.state is ExecutionState.SUCCEEDED
    assert ended.counters.retried == 1
    second = [a for a in stage.attempts(ended) if a.index == 1]
    assert [(a.number, a.state, a.exit_code, a.signal) for a in second] == [
        (0, AttemptState.FAILED, 1, None),
        (1, AttemptState.FAILED, None, 9),
        (2, AttemptState.SUCCEEDED, 0, None),
    ]


def test_a_timeout_is_term_grace_kill_and_each_retry_gets_the_whole_time(stage: Stage) -> None:
    backend = stage.play({(0, 0): Hang(obeys=False), (0, 1): Exit(0, after=55.0)})
    ended = stage.drive_one(stage.open(1, retries=1, timeout=60.0, grace_period="5s"))
    assert ended.state is ExecutionState.SUCCEEDED
    first, second = stage.attempts(ended)
    assert first.state is AttemptState.TIMED_OUT
    assert first.launched_at is not None
    assert first.ended_at is not None
    assert 65 <= first.ended_at - first.launched_at < 66
    assert second.state is AttemptState.SUCCEEDED
    assert {stop.grace for stop in backend.stops} == {5.0}


def test_a_command_that_cannot_be_started_fails_the_execution_with_its_reason(
    stage: Stage,
) -> None:
    stage.play(lambda i, n: Refuse(permanent=True, message="there is no command 'x'"))
    ended = stage.drive_one(stage.open(100, 2, retries=3))
    assert ended.state is ExecutionState.FAILED
    assert "there is no command 'x'" in ended.message
    assert len(stage.attempts(ended)) <= 2
    assert ended.counters.cancelled >= 98


def test_a_vanished_attempt_is_tried_again_outside_the_budget(stage: Stage) -> None:
    stage.play({(0, 0): Vanish(after=1.0), (0, 1): Vanish(after=1.0)})
    ended = stage.drive_one(stage.open(1, retries=1))
    assert ended.state is ExecutionState.SUCCEEDED
    assert stage.states(ended) == {AttemptState.LOST: 2, AttemptState.SUCCEEDED: 1}


def test_a_wish_to_cancel_stored_by_somebody_else_is_carried_out(stage: Stage) -> None:
    stage.play(lambda i, n: Hang())
    execution = stage.open(10, 2)

    async def work() -> None:
        running = asyncio.ensure_future(stage.runner().run(execution.uid))
        await asyncio.sleep(30)
        stage.service.executions.cancel(SCOPE, execution.name)
        await running

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert (ended.state, ended.reason) == (ExecutionState.CANCELLED, "Cancelled")
    assert stage.states(ended) == {AttemptState.CANCELLED: 2}
    tasks = stage.store.list_tasks(ended.uid, page=Page(limit=100))
    assert Counter(t.state for t in tasks) == {TaskState.CANCELLED: 2, TaskState.ABANDONED: 8}


def test_hurry_kills_what_takes_its_time_to_stop(stage: Stage) -> None:
    stage.play(lambda i, n: Hang(obeys=False))
    execution = stage.open(2, grace_period="1h")

    async def work() -> None:
        runner = stage.runner()
        running = asyncio.ensure_future(runner.run(execution.uid))
        await asyncio.sleep(1)
        runner.abort(Abort("cancel", stage.clock.now(), "Cancelled by user."))
        await asyncio.sleep(1)
        runner.hurry()
        await running

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert ended.state is ExecutionState.CANCELLED
    assert ended.completed_at is not None
    assert ended.completed_at - ended.created_at < 5


async def die_after(stage: Stage, execution: Execution, seconds: float, owner: str) -> None:
    """A runner that is gone from one moment to the next; what it launched goes on."""
    runner = stage.runner(owner)
    running = asyncio.ensure_future(runner.run(execution.uid))
    await asyncio.sleep(seconds)
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_a_second_runner_carries_on_and_starts_nothing_twice(stage: Stage) -> None:
    backend = stage.play(lambda i, n: Exit(0, after=10.0 + i))
    execution = stage.open(12, 4)

    async def work() -> None:
        await die_after(stage, execution, 15.0, "one")
        await asyncio.sleep(LEASE_SECONDS + 5.0)
        await stage.runner("two").run(execution.uid)

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert ended.state is ExecutionState.SUCCEEDED
    assert stage.states(ended) == {AttemptState.SUCCEEDED: 12}
    started = Counter(launch.key for launch in backend.launches)
    assert set(started.values()) == {1}
    assert len(backend.discards) == 12


def test_a_second_runner_is_refused_while_the_first_one_lives(stage: Stage) -> None:
    stage.play(lambda i, n: Exit(0, after=100.0))
    execution = stage.open(1)

    async def work() -> None:
        running = asyncio.ensure_future(stage.runner("one").run(execution.uid))
        await asyncio.sleep(40)
        with pytest.raises(Refused, match="one"):
            await stage.runner("two").run(execution.uid)
        await running

    run_virtually(work(), stage.loop)


def test_an_attempt_stored_but_not_launched_is_launched_under_the_same_key(stage: Stage) -> None:
    execution = stage.open(1)
    claimed = stage.store.claim(execution.uid, "dead", now=stage.clock.now(), ttl=0.001)
    from jobrunner.executor.driver import Driver
    from jobrunner.executor.snapshots import make_snapshot

    driver = Driver(make_snapshot(stage.store.load(claimed.uid))[0], order=0.0)
    draft = driver.take_facts(stage.clock.now())
    driver.plan_turn(draft, stage.clock.now(), 1)
    turn = driver.finish_turn(draft, stage.clock.now())
    assert turn is not None
    stage.store.record(turn)

    async def work() -> None:
        await asyncio.sleep(1)
        await stage.runner("two").run(execution.uid)

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert [a.key for a in stage.attempts(ended)] == [stage.backend.launches[0].key]
    assert len(stage.backend.launches) == 1


def test_what_ended_in_time_while_nobody_looked_has_not_timed_out(stage: Stage) -> None:
    stage.play(lambda i, n: Exit(0, after=50.0))
    execution = stage.open(1, timeout=60.0)

    async def work() -> None:
        await die_after(stage, execution, 10.0, "one")
        await asyncio.sleep(3_600)
        await stage.runner("two").run(execution.uid)

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert stage.states(ended) == {AttemptState.SUCCEEDED: 1}


def test_a_runner_that_lost_its_lease_writes_nothing_more(stage: Stage) -> None:
    stage.play(lambda i, n: Exit(0, after=30.0))
    execution = stage.open(4, 1)

    async def work() -> None:
        first = stage.runner("one")
        running = asyncio.ensure_future(first.run(execution.uid))
        await asyncio.sleep(10)
        stage.store.release(execution.uid, "one")
        await stage.runner("two").run(execution.uid)
        await running
        assert list(first.lost_to_others) == [execution.uid]

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert ended.state is ExecutionState.SUCCEEDED
    assert stage.states(ended) == {AttemptState.SUCCEEDED: 4}


def test_an_attempt_cancelled_during_its_launch_is_stopped_after_it(stage: Stage) -> None:
    backend = stage.play(lambda i, n: Late(Hang(), answer=20.0))
    execution = stage.open(1)

    async def work() -> None:
        running = asyncio.ensure_future(stage.runner().run(execution.uid))
        await asyncio.sleep(5)
        stage.service.executions.cancel(SCOPE, execution.name)
        await running

    run_virtually(work(), stage.loop)
    ended = stage.store.get_execution_by_uid(execution.uid)
    assert ended.state is ExecutionState.CANCELLED
    assert len(backend.stops) == 1


def test_a_secret_that_is_missing_fails_the_execution_and_names_it(stage: Stage) -> None:
    from jobrunner.core.spec import EnvVar, SecretRef

    execution = stage.open(5)
    container = Container(command=("true",), env=(EnvVar("K", secret=SecretRef("api")),))
    spec = JobSpec(
        template=ExecutionTemplate(task_count=5, template=TaskTemplate(containers=(container,)))
    )
    stage.service.jobs.apply(SCOPE, "job", spec)
    execution = stage.service.executions.run(SCOPE, "job")
    ended = stage.drive_one(execution)
    assert ended.state is ExecutionState.FAILED
    assert "Secret 'api' has no version" in ended.message
    assert stage.backend.launches == []


def test_a_re_run_of_what_failed_runs_exactly_those_indices(stage: Stage) -> None:
    def script(index: int, attempt: int) -> Ending:
        return Exit(1 if index in (3, 7, 8) else 0)

    stage.play(script)
    parent = stage.drive_one(stage.open(10))
    assert parent.state is ExecutionState.FAILED
    stage.play({})
    child = stage.service.executions.rerun(SCOPE, parent.name)
    ended = stage.drive_one(child)
    assert ended.state is ExecutionState.SUCCEEDED
    assert [a.index for a in stage.attempts(ended)] == [3, 7, 8]
    assert (ended.task_count, ended.env_task_count, ended.parent) == (3, 10, parent.name)
    assert [e.name for e in stage.service.executions.children(parent)] == [ended.name]


def test_life_cycle_changes_are_appended_to_the_feed(stage: Stage) -> None:
    execution = stage.open(2)
    stage.drive(execution)
    changes = [c for c in stage.store.changes(0) if c.execution == execution.uid]
    assert [(c.sequence, c.kind) for c in changes] == [
        (1, "created"),
        (2, "started"),
        (3, "succeeded"),
    ]
