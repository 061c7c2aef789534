"""The executor when store or backend fail under it: it carries on or says so; it never hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobrunner.backends.scripted import Ending, Exit, Hang, Late, Refuse, ScriptedBackend
from jobrunner.core.records import Abort, AttemptKey, Execution, ExitStatus
from jobrunner.core.states import AttemptState, ExecutionState
from jobrunner.errors import BackendFault, StoreFault
from jobrunner.executor.executor import Executor
from jobrunner.ports import Launched, LaunchSpec
from tests.integration.test_executor import SCOPE, Stage
from tests.support.virtual import run_virtually

LONG = 3_600.0


class ShakyStore:
    """A real store; what ``before`` and ``after`` hold is called around the methods they name."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.before and name not in self.after:
            return method

        def shaken(*args: Any, **named: Any) -> Any:
            self.before.get(name, lambda: None)()
            result = method(*args, **named)
            self.after.get(name, lambda: None)()
            return result

        return shaken


class Shaken(Stage):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shaky: Any = ShakyStore(self.store)
        self.store = self.shaky


class ShakyBackend(ScriptedBackend):
    """What ``trouble`` holds is called before the methods it names."""

    trouble: dict[str, Callable[[], None]]

    async def launch(self, spec: LaunchSpec) -> Launched:
        self.trouble.get("launch", lambda: None)()
        return await super().launch(spec)

    async def wait(self, handle: str) -> ExitStatus:
        self.trouble.get("wait", lambda: None)()
        return await super().wait(handle)

    async def stop(self, handle: str, *, grace: float) -> None:
        self.trouble.get("stop", lambda: None)()
        await super().stop(handle, grace=grace)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Shaken]:
    stage = Shaken(tmp_path)
    yield stage
    stage.store.close()
    stage.loop.close()


def between(stage: Shaken, first: float, last: float, error: Exception) -> Callable[[], None]:
    """Raises ``error`` in this span of the virtual time."""

    def look() -> None:
        if first <= stage.loop.time() < last:
            raise error

    return look


def shaky(
    stage: Shaken, script: Callable[[int, int], Ending], **trouble: Callable[[], None]
) -> Any:
    backend = ShakyBackend(script, clock=stage.clock)
    backend.trouble = trouble
    stage.backend = backend
    return backend


def drive(stage: Shaken, execution: Execution, meanwhile: Any = None) -> Executor:
    """Drives to the end; a run that hangs fails the test after an hour of virtual time."""
    runner = stage.runner()

    async def work() -> None:
        running = asyncio.ensure_future(runner.run(execution.uid))
        if meanwhile is not None:
            await meanwhile(runner)
        await asyncio.wait_for(running, LONG)

    run_virtually(work(), stage.loop)
    return runner


def ended(stage: Shaken, execution: Execution) -> Execution:
    return stage.store.get_execution_by_uid(execution.uid)


AWAY = StoreFault("the database is away")
DEAF = BackendFault("the engine does not answer")


# ------------------------------------------------------------------------------- the store


@pytest.mark.parametrize("method", ["aborts_for", "heartbeat"])
def test_a_store_that_fails_a_heartbeat_costs_neither_the_lease_nor_the_run(
    stage: Shaken, method: str
) -> None:
    stage.play(lambda i, n: Exit(0, after=100.0))
    execution = stage.open(1)
    stage.shaky.before[method] = between(stage, 3.0, 8.0, AWAY)
    held: list[bool] = []

    async def look(runner: Executor) -> None:
        await asyncio.sleep(60)
        lease = ended(stage, execution).lease
        held.append(lease is not None and lease.until > stage.clock.now())

    drive(stage, execution, look)
    assert held == [True]
    assert ended(stage, execution).state is ExecutionState.SUCCEEDED
    assert len(stage.warnings) == 1
    assert "the database is away" in stage.warnings[0]


def test_a_store_that_is_away_for_a_moment_is_waited_for(stage: Shaken) -> None:
    stage.play(lambda i, n: Exit(0, after=5.0))
    execution = stage.open(6, 2)
    stage.shaky.before["record"] = between(stage, 4.0, 12.0, AWAY)
    drive(stage, execution)
    assert ended(stage, execution).state is ExecutionState.SUCCEEDED
    assert stage.states(execution) == {AttemptState.SUCCEEDED: 6}
    assert {launch.again for launch in stage.backend.launches} == {False}
    assert len(stage.warnings) == 1


def test_a_store_that_stays_away_ends_the_run_while_its_tasks_go_on(stage: Shaken) -> None:
    stage.play(lambda i, n: Hang() if i else Exit(0, after=5.0))
    execution = stage.open(2)
    stage.shaky.before["record"] = between(stage, 4.0, LONG, AWAY)
    with pytest.raises(StoreFault, match="away"):
        drive(stage, execution)
    assert stage.loop.time() < 120
    assert len(stage.backend.running()) == 1
    assert stage.backend.stops == []


def test_an_answer_that_was_lost_after_the_commit_is_not_taken_for_another_runner(
    stage: Shaken,
) -> None:
    stage.play(lambda i, n: Exit(0, after=5.0))
    execution = stage.open(6, 2)
    stage.shaky.after["record"] = between(stage, 4.0, 12.0, AWAY)
    runner = drive(stage, execution)
    assert runner.lost_to_others == {}
    assert ended(stage, execution).state is ExecutionState.SUCCEEDED
    assert {launch.again for launch in stage.backend.launches} == {False}


def test_who_lost_the_lease_leaves_at_once(stage: Shaken) -> None:
    stage.play(lambda i, n: Hang() if i else Exit(0, after=20.0))
    execution = stage.open(2)

    async def take_over(runner: Executor) -> None:
        await asyncio.sleep(10)
        stage.store.release(execution.uid, "one")
        stage.store.claim(execution.uid, "two", now=stage.clock.now(), ttl=LONG)

    runner = drive(stage, execution, take_over)
    assert list(runner.lost_to_others) == [execution.uid]
    assert stage.loop.time() < 16
    assert len(stage.backend.running()) == 2
    assert stage.backend.stops == []


# ----------------------------------------------------------------------------- the backend


def test_a_backend_that_cannot_be_asked_for_a_moment_is_asked_again(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Exit(0, after=5.0), wait=between(stage, 0.0, 8.0, DEAF))
    execution = stage.open(2, timeout=None)
    drive(stage, execution)
    assert stage.states(execution) == {AttemptState.SUCCEEDED: 2}
    assert stage.warnings
    assert "does not answer" in stage.warnings[0]


def test_a_backend_that_cannot_launch_for_a_moment_costs_no_attempt(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Exit(0, after=5.0), launch=between(stage, 0.0, 8.0, DEAF))
    execution = stage.open(2)
    drive(stage, execution)
    assert stage.states(execution) == {AttemptState.SUCCEEDED: 2}


def test_a_backend_that_can_launch_nothing_ends_the_run_and_no_task_has_failed(
    stage: Shaken,
) -> None:
    shaky(stage, lambda i, n: Exit(0, after=5.0), launch=between(stage, 3.0, LONG, DEAF))
    execution = stage.open(100, 2)
    with pytest.raises(BackendFault, match="does not answer"):
        drive(stage, execution)
    assert stage.loop.time() < 120
    assert stage.states(execution) == {AttemptState.SUCCEEDED: 2, AttemptState.STARTING: 2}


def test_what_is_cancelled_while_it_cannot_be_launched_is_not_launched_later(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Exit(0), launch=between(stage, 0.0, 8.0, DEAF))
    execution = stage.open(1)

    async def cancel(runner: Executor) -> None:
        await asyncio.sleep(5)
        runner.abort(Abort("cancel", stage.clock.now(), "Cancelled by user."))

    drive(stage, execution, cancel)
    assert ended(stage, execution).state is ExecutionState.CANCELLED
    assert stage.backend.launches == []


def test_a_backend_that_stays_deaf_ends_the_run_and_nothing_is_made_up(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Exit(0, after=5.0), wait=between(stage, 0.0, LONG, DEAF))
    execution = stage.open(2)
    with pytest.raises(BackendFault, match="does not answer"):
        drive(stage, execution)
    assert stage.loop.time() < 120
    assert stage.states(execution) == {AttemptState.RUNNING: 2}


def test_a_bug_below_ends_the_run_instead_of_leaving_it_waiting(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Exit(0), wait=between(stage, 0.0, LONG, KeyError("State")))
    with pytest.raises(KeyError):
        drive(stage, stage.open(1))


def test_a_stop_that_could_not_be_ordered_is_ordered_again(stage: Shaken) -> None:
    shaky(stage, lambda i, n: Hang(), stop=between(stage, 0.0, 15.0, DEAF))
    execution = stage.open(1)

    async def cancel(runner: Executor) -> None:
        await asyncio.sleep(5)
        runner.abort(Abort("cancel", stage.clock.now(), "Cancelled by user."))

    drive(stage, execution, cancel)
    assert ended(stage, execution).state is ExecutionState.CANCELLED
    assert stage.loop.time() < 30


def test_what_outlives_its_killing_is_told(stage: Shaken) -> None:
    stage.play(lambda i, n: Late(Hang(), report=300.0))
    execution = stage.open(1)

    async def cancel(runner: Executor) -> None:
        await asyncio.sleep(5)
        runner.abort(Abort("cancel", stage.clock.now(), "Cancelled by user."))

    drive(stage, execution, cancel)
    assert ended(stage, execution).state is ExecutionState.CANCELLED
    assert len(stage.warnings) == 1
    assert "task 0" in stage.warnings[0].lower()


# ------------------------------------------------------------------------------- launching


def test_an_attempt_whose_log_cannot_be_made_fails_with_the_reason(
    stage: Shaken, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: AttemptKey) -> str:
        raise OSError(28, "No space left on device", "/home/logs")

    monkeypatch.setattr(stage.logs, "path_for", full)
    execution = stage.open(2)
    drive(stage, execution)
    assert ended(stage, execution).state is ExecutionState.FAILED
    assert "No space left on device" in ended(stage, execution).message
    assert stage.backend.launches == []


def test_a_wish_that_comes_before_the_execution_is_taken_up_is_heard(stage: Shaken) -> None:
    stage.play(lambda i, n: Exit(0, after=50.0))
    execution = stage.open(3, 1)
    runner = stage.runner()

    async def work() -> None:
        wish = Abort("cancel", stage.clock.now(), "Cancelled by user.", "Cancelled")
        asyncio.get_running_loop().call_soon(runner.abort, wish)
        await asyncio.wait_for(runner.run(execution.uid), LONG)

    run_virtually(work(), stage.loop)
    assert ended(stage, execution).state is ExecutionState.CANCELLED
    assert stage.backend.launches == []


def test_a_second_wish_before_the_execution_is_taken_up_changes_nothing(stage: Shaken) -> None:
    execution = stage.open(3, 1)
    stage.service.executions.cancel(SCOPE, execution.name)
    runner = stage.runner()

    async def work() -> None:
        wish = Abort("cancel", stage.clock.now(), "Cancelled by user.", "Cancelled")
        asyncio.get_running_loop().call_soon(runner.abort, wish)
        await asyncio.wait_for(runner.run(execution.uid), LONG)

    run_virtually(work(), stage.loop)
    assert ended(stage, execution).state is ExecutionState.CANCELLED


def test_a_wish_that_the_store_cannot_take_now_is_carried_out_and_stored_with_the_turn(
    stage: Shaken,
) -> None:
    stage.play(lambda i, n: Hang())
    execution = stage.open(3, 1)
    stage.shaky.before["request_abort"] = between(stage, 0.0, LONG, AWAY)

    async def cancel(runner: Executor) -> None:
        await asyncio.sleep(5)
        runner.abort(Abort("cancel", stage.clock.now(), "Cancelled by user.", "Cancelled"))

    drive(stage, execution, cancel)
    over = ended(stage, execution)
    assert over.state is ExecutionState.CANCELLED
    assert over.abort is not None
    assert over.abort.kind == "cancel"


def test_a_launch_that_fails_while_it_is_being_cancelled_is_cancelled_by_the_user(
    stage: Shaken,
) -> None:
    stage.play(lambda i, n: Late(Refuse(message="no such luck"), answer=20.0))
    execution = stage.open(1)

    async def cancel(runner: Executor) -> None:
        await asyncio.sleep(5)
        stage.service.executions.cancel(SCOPE, execution.name)

    drive(stage, execution, cancel)
    [task] = stage.store.list_tasks(execution.uid)
    assert (task.reason, task.message) == ("Cancelled", "Cancelled by user.")
    [attempt] = stage.attempts(execution)
    assert attempt.state is AttemptState.CANCELLED
