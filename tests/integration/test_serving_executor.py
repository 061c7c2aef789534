"""The executor of a server on a real store, with a scripted backend, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from jobrunner.backends.scripted import Exit, Hang, ScriptedBackend
from jobrunner.core.records import Execution
from jobrunner.core.states import AttemptState, ExecutionState
from jobrunner.errors import BackendFault, StoreFault
from jobrunner.executor.executor import LEASE_SECONDS
from jobrunner.executor.launching import Launcher
from jobrunner.executor.limits import Limits
from jobrunner.executor.means import Means
from jobrunner.executor.observer import Observer
from jobrunner.executor.serving import CLAIM_SECONDS, ServingExecutor
from jobrunner.ports import Backend, Progress, Turn
from jobrunner.service import AdHoc
from jobrunner.store.secrets import FileSecrets
from tests.integration.test_executor import SCOPE, Stage
from tests.integration.test_executor_in_trouble import ShakyStore
from tests.support.virtual import run_virtually

DEAF = BackendFault("the engine does not answer")


class Served(Stage):
    """``backends`` by name; a name that is missing is the stage's own backend."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.backends: dict[str, Backend] = {}

    def server(self, owner: str = "one", *, slots: int = 64) -> ServingExecutor:
        stage = self

        class Listening(Observer):
            def warning(self, message: str) -> None:
                stage.warnings.append(message)

        return ServingExecutor(
            Means(
                store=self.store,
                backends=lambda name: self.backends.get(name, self.backend),
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

    def serve(self, work: Callable[[ServingExecutor], Awaitable[None]], *, slots: int = 64) -> None:
        async def whole() -> None:
            server = self.server(slots=slots)
            server.start()
            try:
                await work(server)
            finally:
                await server.drain(4.0)

        run_virtually(whole(), self.loop)

    def ended(self, execution: Execution) -> Execution:
        return self.store.get_execution_by_uid(execution.uid)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Served]:
    stage = Served(tmp_path)
    yield stage
    stage.store.close()
    stage.loop.close()


def test_what_is_opened_while_the_server_runs_is_driven_at_once(stage: Served) -> None:
    async def work(server: ServingExecutor) -> None:
        await asyncio.sleep(10.5)
        execution = stage.open(5)
        server.look()
        ended = await server.settled(execution.uid, within=60)
        assert ended.state is ExecutionState.SUCCEEDED
        assert ended.completed_at is not None
        assert ended.completed_at - ended.created_at < 0.1

    stage.serve(work)


def test_what_nobody_told_of_is_found_after_a_moment(stage: Served) -> None:
    async def work(server: ServingExecutor) -> None:
        await asyncio.sleep(10.5)
        execution = stage.open(5)
        ended = await server.settled(execution.uid, within=60)
        assert ended.completed_at is not None
        assert ended.completed_at - ended.created_at < CLAIM_SECONDS + 0.1

    stage.serve(work)


def test_a_wish_that_is_told_of_is_carried_out_at_once(stage: Served) -> None:
    stage.play(lambda i, n: Hang())

    async def work(server: ServingExecutor) -> None:
        execution = stage.open(3)
        server.look()
        await asyncio.sleep(5)
        stage.service.executions.cancel(SCOPE, execution.name)
        began = stage.clock.now()
        server.look()
        ended = await server.settled(execution.uid, within=60)
        assert ended.state is ExecutionState.CANCELLED
        assert stage.clock.now() - began < 0.1

    stage.serve(work)


def test_whoever_waits_too_short_sees_it_as_it_is(stage: Served) -> None:
    stage.play(lambda i, n: Hang())

    async def work(server: ServingExecutor) -> None:
        execution = stage.open(3)
        server.look()
        seen = await server.settled(execution.uid, within=7.0)
        assert seen.state is ExecutionState.RUNNING

    stage.serve(work)


def test_slots_are_shared_fairly_by_all_executions(stage: Served) -> None:
    backend = stage.play(lambda i, n: Exit(0, after=10.0))

    async def work(server: ServingExecutor) -> None:
        stage.open(1_000, name="big")
        server.look()
        await asyncio.sleep(3)
        small = stage.open(3, name="small")
        server.look()
        ended = await server.settled(small.uid, within=600)
        assert ended.completed_at is not None
        assert ended.completed_at - ended.created_at < 31

    stage.serve(work, slots=8)
    assert backend.peak == 8


def test_more_executions_than_the_server_holds_at_once_are_all_run_once(stage: Served) -> None:
    backend = stage.play(lambda i, n: Exit(0, after=1.0))

    async def work(server: ServingExecutor) -> None:
        server.room = 10
        opened = [stage.open(2, name="many") for _ in range(50)]
        server.look()
        for execution in opened:
            ended = await server.settled(execution.uid, within=600)
            assert ended.state is ExecutionState.SUCCEEDED

    stage.serve(work, slots=8)
    assert set(Counter(launch.key for launch in backend.launches).values()) == {1}
    assert len(backend.launches) == 100


class Pulling(ScriptedBackend):
    """``away`` until it is told otherwise; an image takes ``pull`` seconds."""

    name = "docker"
    away = False
    pull = 0.0

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        if self.away:
            raise DEAF
        await asyncio.sleep(self.pull)
        return image


def on_docker(stage: Served, name: str = "image") -> Execution:
    from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate

    container = Container(image="example.com/it")
    spec = JobSpec(
        template=ExecutionTemplate(task_count=1, template=TaskTemplate(containers=(container,)))
    )
    stage.service.jobs.apply(SCOPE, name, spec)
    return stage.service.executions.run(SCOPE, name)


def test_a_long_pull_holds_nobody_up(stage: Served) -> None:
    docker = Pulling({}, clock=stage.clock)
    docker.pull = 300.0
    stage.backends["docker"] = docker

    async def work(server: ServingExecutor) -> None:
        slow = on_docker(stage)
        server.look()
        await asyncio.sleep(1)
        quick = stage.open(3)
        server.look()
        ended = await server.settled(quick.uid, within=5)
        assert ended.state is ExecutionState.SUCCEEDED
        assert (await server.settled(slow.uid, within=1)).state is ExecutionState.PENDING
        assert (await server.settled(slow.uid, within=600)).state is ExecutionState.SUCCEEDED

    stage.serve(work)


def test_a_cancelled_pull_is_broken_off(stage: Served) -> None:
    docker = Pulling({}, clock=stage.clock)
    docker.pull = 3_000.0
    stage.backends["docker"] = docker

    async def work(server: ServingExecutor) -> None:
        slow = on_docker(stage)
        server.look()
        await asyncio.sleep(1)
        stage.service.executions.cancel(SCOPE, slow.name)
        server.look()
        ended = await server.settled(slow.uid, within=5)
        assert ended.state is ExecutionState.CANCELLED

    stage.serve(work)


def test_an_engine_that_is_away_stops_what_needs_it_and_nothing_else(stage: Served) -> None:
    docker = Pulling({}, clock=stage.clock)
    docker.away = True
    stage.backends["docker"] = docker

    async def work(server: ServingExecutor) -> None:
        stuck = on_docker(stage)
        quick = stage.open(3)
        server.look()
        assert (await server.settled(quick.uid, within=5)).state is ExecutionState.SUCCEEDED
        await asyncio.sleep(100)
        assert stage.ended(stuck).state is ExecutionState.PENDING
        assert "does not answer" in server.facts()[f"trouble/{stuck.uid}"]
        docker.away = False
        ended = await server.settled(stuck.uid, within=60)
        assert ended.state is ExecutionState.SUCCEEDED
        assert server.facts()["troubles"] == "0"

    stage.serve(work)


def test_what_waits_for_an_engine_that_is_away_can_be_cancelled(stage: Served) -> None:
    docker = Pulling({}, clock=stage.clock)
    docker.away = True
    stage.backends["docker"] = docker

    async def work(server: ServingExecutor) -> None:
        stuck = on_docker(stage)
        server.look()
        await asyncio.sleep(100)
        stage.service.executions.cancel(SCOPE, stuck.name)
        server.look()
        ended = await server.settled(stuck.uid, within=3)
        assert ended.state is ExecutionState.CANCELLED

    stage.serve(work)


def test_a_bug_in_a_backend_concerns_one_execution_only(stage: Served) -> None:
    class Broken(Pulling):
        async def wait(self, handle: str):  # type: ignore[no-untyped-def]
            raise KeyError("State")

    stage.backends["docker"] = Broken({}, clock=stage.clock)

    async def work(server: ServingExecutor) -> None:
        broken = on_docker(stage)
        server.look()
        await asyncio.sleep(5)
        quick = stage.open(3)
        server.look()
        assert (await server.settled(quick.uid, within=5)).state is ExecutionState.SUCCEEDED
        assert "KeyError" in server.facts()[f"trouble/{broken.uid}"]

    stage.serve(work)


def test_a_store_that_goes_and_comes_back_is_said_to_have_done_both(
    stage: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shaky = ShakyStore(stage.store)
    stage.store = cast(Any, shaky)

    def away() -> None:
        raise StoreFault("The database is away.")

    async def work(server: ServingExecutor) -> None:
        await asyncio.sleep(5)
        shaky.before["aborts_for"] = shaky.before["claimable"] = away
        await asyncio.sleep(10)
        assert server.facts()["store"] == "The database is away."
        assert len(stage.warnings) == 1
        shaky.before.clear()
        await asyncio.sleep(10)
        assert "store" not in server.facts()

    stage.serve(work)
    assert caplog.messages.count("The database can be used again.") == 1


def test_a_server_that_drains_starts_nothing_and_gives_its_leases_up(stage: Served) -> None:
    backend = stage.play(lambda i, n: Exit(0, after=100.0))
    execution = stage.open(10, 4)

    async def work(server: ServingExecutor) -> None:
        server.look()
        await asyncio.sleep(5)
        assert server.accepts()
        waiting = asyncio.ensure_future(server.settled(execution.uid, within=None))
        await asyncio.sleep(0.1)
        await server.drain(4.0)
        assert not server.accepts()
        assert (await waiting).state is ExecutionState.RUNNING

    stage.serve(work)
    assert stage.ended(execution).lease is None
    assert len(backend.running()) == 4
    assert backend.stops == []

    async def next_one(server: ServingExecutor) -> None:
        ended = await server.settled(execution.uid, within=1_000)
        assert ended.state is ExecutionState.SUCCEEDED

    stage.serve(next_one)
    assert set(Counter(launch.key for launch in backend.launches).values()) == {1}
    assert len(backend.launches) == 10
    kinds = [c.kind for c in stage.store.changes(0) if c.execution == execution.uid]
    assert "resumed" in kinds


def test_two_servers_never_drive_one_execution(stage: Served) -> None:
    backend = stage.play(lambda i, n: Exit(0, after=10.0))
    opened = [stage.open(4, 2, name=f"job-{i}") for i in range(20)]

    async def work(server: ServingExecutor) -> None:
        other = stage.server("two")
        other.start()
        for execution in opened:
            ended = await server.settled(execution.uid, within=1_000)
            assert ended.state is ExecutionState.SUCCEEDED
        await other.drain(4.0)

    stage.serve(work)
    assert set(Counter(launch.key for launch in backend.launches).values()) == {1}


def test_a_server_that_lost_a_lease_lets_go_of_the_execution(stage: Served) -> None:
    stage.play(lambda i, n: Exit(0, after=100.0))
    execution = stage.open(2)

    async def work(server: ServingExecutor) -> None:
        await asyncio.sleep(3)
        stage.store.release(execution.uid, "one")
        stage.store.claim(execution.uid, "two", now=stage.clock.now(), ttl=3_600.0)
        await asyncio.sleep(LEASE_SECONDS)
        assert server.facts()["executions"] == "0"

    stage.serve(work)
    lease = stage.ended(execution).lease
    assert lease is not None
    assert lease.owner == "two"
    assert stage.states(execution) == {AttemptState.RUNNING: 2}


def test_what_waits_for_a_slot_can_be_cancelled_at_once(stage: Served) -> None:
    stage.play(lambda i, n: Hang())

    async def work(server: ServingExecutor) -> None:
        server.room = 4
        opened = [stage.open(2, name="many") for _ in range(20)]
        server.look()
        await asyncio.sleep(5)
        last = opened[-1]
        assert stage.ended(last).lease is None
        stage.service.executions.cancel(SCOPE, last.name)
        server.look()
        ended = await server.settled(last.uid, within=3)
        assert ended.state is ExecutionState.CANCELLED

    stage.serve(work, slots=2)


def test_a_hidden_execution_is_left_alone_until_somebody_wants_it_ended(stage: Served) -> None:
    backend = stage.play(lambda i, n: Hang())
    hidden = stage.service.executions.run_ad_hoc(SCOPE, AdHoc(("true",), tasks=2))

    async def work(server: ServingExecutor) -> None:
        await asyncio.sleep(20)
        assert stage.ended(hidden).lease is None
        stage.service.executions.cancel(SCOPE, hidden.name)
        server.look()
        ended = await server.settled(hidden.uid, within=3)
        assert ended.state is ExecutionState.CANCELLED

    stage.serve(work)
    assert backend.launches == []


@pytest.mark.parametrize("over", [False, True], ids=["it-goes-on", "it-is-over"])
def test_a_runner_that_stood_still_since_its_claim_leaves_the_run_to_whoever_took_it(
    stage: Served, caplog: pytest.LogCaptureFixture, over: bool
) -> None:
    """Loaded then, the execution bears the lease of the other runner, or none."""
    shaky = ShakyStore(stage.store)
    store, stage.store = stage.store, cast(Any, shaky)
    execution = stage.open(3)

    def taken() -> None:
        shaky.before.clear()
        far = stage.clock.now() + 2 * LEASE_SECONDS
        other = store.claim(execution.uid, "other", now=far, ttl=LEASE_SECONDS)
        if over:
            ended = replace(other, state=ExecutionState.SUCCEEDED, completed_at=far)
            store.record(Turn(ended, at=far))
            store.release(execution.uid, "other")

    async def work(server: ServingExecutor) -> None:
        shaky.before["load"] = taken
        server.look()
        await asyncio.sleep(LEASE_SECONDS)

    stage.serve(work)
    assert stage.backend.running() == []
    found = store.load(execution.uid)
    assert not found.live
    assert (found.execution.completed_at is not None) is over
    lease = found.execution.lease
    assert (lease and lease.owner) == (None if over else "other")
    assert "Another runner has taken execution" in caplog.text
    assert "a bug" not in caplog.text
