"""What every backend promises: one body of tests, played on each stage."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.core.records import ExitStatus
from jobrunner.core.states import StopReason
from jobrunner.errors import AttemptVanished, LaunchFailed
from jobrunner.ports import Backend, Found, Launched, LaunchSpec, Running, Vanished
from tests.support.awaiting import until
from tests.support.backends import (
    EXECUTION,
    READY,
    STAGES,
    DieBy,
    ExitWith,
    IgnoreTerm,
    LeaveDaemon,
    ObeyTerm,
    Print,
    Sleep,
    Stage,
    Unstartable,
    output,
)
from tests.support.waiting import PATIENCE

GRACE = 60.0
"""Of those that end by themselves: that it was not used up is seen from how they end."""


@pytest.fixture(params=sorted(STAGES))
def stage(request: pytest.FixtureRequest, home: Path) -> Iterator[Stage]:
    stage = STAGES[request.param](home)
    yield stage
    asyncio.run(stage.clear())


async def finish(backend: Backend, spec: LaunchSpec) -> ExitStatus:
    launched = await backend.launch(spec)
    return await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)


async def everything(backend: Backend) -> dict[str, Found]:
    return {str(found.key): found async for found in backend.discover()}


async def test_the_stage_is_healthy(stage: Stage) -> None:
    async with stage.open() as backend:
        health = await backend.probe()
        assert health.ok, health.detail
        assert health.detail


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_the_exit_code_is_what_the_main_process_returned(stage: Stage, code: int) -> None:
    async with stage.open() as backend:
        end = await finish(backend, stage.spec(ExitWith(code)))
    assert (end.code, end.signal, end.oom, end.stopped) == (code, None, False, None)
    assert end.ok == (code == 0)


@pytest.mark.parametrize("number", [9, 11])
async def test_death_by_a_signal_is_told_apart_from_an_exit_code(stage: Stage, number: int) -> None:
    async with stage.open() as backend:
        end = await finish(backend, stage.spec(DieBy(number)))
    assert (end.code, end.signal) == (None, number)


async def test_start_and_end_are_instants_around_the_run(stage: Stage) -> None:
    before = time.time()
    async with stage.open() as backend:
        launched = await backend.launch(stage.spec(Sleep(0.2)))
        running = time.time()
        end = await backend.wait(launched.handle)
    assert end.started_at is not None
    assert end.ended_at is not None
    for began in (end.started_at, launched.at):
        assert before - 0.1 <= began <= running + 0.1
    # An engine notes the start a moment after it, so the rest is counted from before.
    assert max(end.started_at, before + 0.15) <= end.ended_at <= time.time() + 0.1


async def test_output_is_complete_and_in_order_when_wait_returns(stage: Stage) -> None:
    out, err = "".join(f"line {n}\n" for n in range(500)), "oh\nno\n"
    spec = stage.spec(Print(out, err))
    async with stage.open() as backend:
        end = await finish(backend, spec)
    assert output(spec, 1) == out.encode()
    assert output(spec, 2) == err.encode()
    assert end.output == len(out) + len(err)


async def test_an_attempt_without_output_has_no_log_and_that_is_fine(stage: Stage) -> None:
    spec = stage.spec(ExitWith(0))
    async with stage.open() as backend:
        end = await finish(backend, spec)
    assert output(spec) == b""
    assert end.output == 0


async def test_what_cannot_start_is_refused_for_good_and_leaves_nothing(stage: Stage) -> None:
    async with stage.open() as backend:
        with pytest.raises(LaunchFailed) as caught:
            await backend.launch(stage.spec(Unstartable()))
        assert caught.value.permanent
        assert caught.value.reason
        assert await everything(backend) == {}


# ---------------------------------------------------------------- launch and wait


async def test_a_launch_asked_for_twice_happens_once(stage: Stage) -> None:
    spec = stage.spec(Print("once\n"))
    async with stage.open() as backend:
        first = await backend.launch(spec)
        again = await backend.launch(spec)
        assert again.handle == first.handle
        end = await asyncio.wait_for(backend.wait(first.handle), PATIENCE)
        after_the_end = await backend.launch(spec)
    assert after_the_end.handle == first.handle
    assert end.output == len("once\n")
    assert output(spec) == b"once\n"


async def test_two_launches_of_one_attempt_at_the_same_time_happen_once(stage: Stage) -> None:
    spec = stage.spec(Print("once\n"))
    async with stage.open() as backend:
        first, second = await asyncio.gather(backend.launch(spec), backend.launch(spec))
        assert first.handle == second.handle
        await asyncio.wait_for(backend.wait(first.handle), PATIENCE)
    assert output(spec) == b"once\n"


async def test_waiting_can_be_given_up_and_taken_up_again(stage: Stage) -> None:
    spec = stage.spec(ObeyTerm(3))
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(backend.wait(launched.handle), 0.05)
        await stage.ready(spec)
        waiting = [asyncio.ensure_future(backend.wait(launched.handle)) for _ in range(2)]
        await backend.stop(launched.handle, grace=GRACE)
        ends = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        assert [end.code for end in ends] == [3, 3]
        assert await backend.wait(launched.handle) == ends[0]


async def test_many_attempts_run_side_by_side(stage: Stage) -> None:
    async with stage.open() as backend:
        specs = [stage.spec(ExitWith(index % 5), index) for index in range(20)]
        ends = await asyncio.gather(*(finish(backend, spec) for spec in specs))
    assert [end.code for end in ends] == [index % 5 for index in range(20)]


async def test_attempts_of_one_task_are_apart(stage: Stage) -> None:
    async with stage.open() as backend:
        first = await backend.launch(stage.spec(ExitWith(1), 0, 0))
        second = await backend.launch(stage.spec(ExitWith(2), 0, 1))
        assert first.handle != second.handle
        assert (await backend.wait(first.handle)).code == 1
        assert (await backend.wait(second.handle)).code == 2


async def test_an_attempt_that_is_not_known_has_vanished(stage: Stage) -> None:
    async with stage.open() as backend:
        launched = await backend.launch(stage.spec(ExitWith(0)))
        await backend.wait(launched.handle)
        await backend.discard(launched.handle)
        with pytest.raises(AttemptVanished):
            await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
        assert isinstance(await backend.inspect(launched.handle), Vanished)
        await backend.stop(launched.handle, grace=0.0)


# ---------------------------------------------------------------- stopping


async def test_stop_lets_an_attempt_that_obeys_end_by_itself(stage: Stage) -> None:
    spec = stage.spec(ObeyTerm(4))
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        begun = time.monotonic()
        await backend.stop(launched.handle, grace=GRACE)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert end.code == 4
    assert end.stopped is None
    assert time.monotonic() - begun < GRACE


async def test_what_ignores_term_is_killed_after_the_grace_and_not_before(stage: Stage) -> None:
    spec = stage.spec(IgnoreTerm())
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        begun = time.monotonic()
        await backend.stop(launched.handle, grace=0.5)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert end.signal == 9
    assert time.monotonic() - begun >= 0.5


async def test_without_grace_an_attempt_is_killed_at_once(stage: Stage) -> None:
    spec = stage.spec(ObeyTerm(0))
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        await backend.stop(launched.handle, grace=0.0)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert end.signal == 9


async def test_a_second_stop_order_with_less_grace_wins(stage: Stage) -> None:
    spec = stage.spec(IgnoreTerm())
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        await backend.stop(launched.handle, grace=600.0)
        await backend.stop(launched.handle, grace=0.1)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert end.signal == 9


async def test_a_second_stop_order_with_more_grace_changes_nothing(stage: Stage) -> None:
    spec = stage.spec(IgnoreTerm())
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        await backend.stop(launched.handle, grace=0.1)
        await backend.stop(launched.handle, grace=600.0)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert end.signal == 9


async def test_stopping_what_has_ended_does_nothing(stage: Stage) -> None:
    async with stage.open() as backend:
        launched = await backend.launch(stage.spec(ExitWith(5)))
        end = await backend.wait(launched.handle)
        await backend.stop(launched.handle, grace=0.0)
        assert await backend.wait(launched.handle) == end


async def test_the_timeout_of_the_template_is_enforced_and_said(stage: Stage) -> None:
    async with stage.open() as backend:
        end = await finish(backend, stage.spec(Sleep(), timeout=0.4))
    assert end.signal == 15
    assert end.stopped is StopReason.TIMEOUT


async def test_after_the_timeout_comes_the_grace_of_the_template(stage: Stage) -> None:
    async with stage.open() as backend:
        # The shell needs a moment to begin ignoring. Where it was told to end before that, the
        # stage was not set, and is with a later deadline.
        for number, timeout in enumerate((0.8, 8.0, 60.0)):
            spec = stage.spec(IgnoreTerm(), 0, number, timeout=timeout, grace=0.3)
            end = await finish(backend, spec)
            if end.signal == 9 or READY in output(spec):
                break
    assert end.signal == 9
    assert end.stopped is StopReason.TIMEOUT
    assert end.started_at is not None
    assert end.ended_at is not None
    assert end.ended_at - end.started_at >= 1.0


async def test_a_timeout_that_is_not_reached_leaves_no_trace(stage: Stage) -> None:
    async with stage.open() as backend:
        end = await finish(backend, stage.spec(ExitWith(3), timeout=60.0))
    assert (end.code, end.stopped) == (3, None)


# ---------------------------------------------------------------- finding again


async def test_inspect_says_running_then_how_it_ended(stage: Stage) -> None:
    spec = stage.spec(ObeyTerm(6))
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        assert isinstance(await backend.inspect(launched.handle), Running)
        await backend.stop(launched.handle, grace=GRACE)
        end = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
        assert await backend.inspect(launched.handle) == end


async def test_another_runner_waits_for_what_the_first_one_started(stage: Stage) -> None:
    running, ended = stage.spec(ObeyTerm(8), 0), stage.spec(ExitWith(9), 1)
    async with stage.open() as first:
        handles = [(await first.launch(running)).handle, (await first.launch(ended)).handle]
        await stage.ready(running)
        await first.wait(handles[1])
    async with stage.open() as second:
        found = await everything(second)
        assert isinstance(found[str(running.key)].sighting, Running)
        sighting = found[str(ended.key)].sighting
        assert isinstance(sighting, ExitStatus)
        assert sighting.code == 9
        assert [found[str(s.key)].handle for s in (running, ended)] == handles
        waiting = asyncio.ensure_future(second.wait(handles[0]))
        await second.stop(handles[0], grace=GRACE)
        assert (await asyncio.wait_for(waiting, PATIENCE)).code == 8


async def test_what_ends_while_nobody_looks_is_read_later(stage: Stage) -> None:
    spec = stage.spec(Sleep(0.3))
    async with stage.open() as first:
        handle = (await first.launch(spec)).handle
    await asyncio.sleep(0.6)
    looked = time.time()
    async with stage.open() as second:
        sighting = await second.inspect(handle)
        end = await asyncio.wait_for(second.wait(handle), PATIENCE)
    assert end.code == 0
    assert end.ended_at is not None
    assert end.started_at is not None
    assert end.started_at <= end.ended_at
    # On a machine that is busy enough it may still have run.
    assert end.ended_at < looked or isinstance(sighting, Running)


async def test_another_runner_that_launches_the_same_attempt_gets_the_same_handle(
    stage: Stage,
) -> None:
    spec = stage.spec(Sleep())
    async with stage.open() as first:
        launched = await first.launch(spec)
        async with stage.open() as second:
            again = await second.launch(spec)
            assert again.handle == launched.handle
            assert len(await everything(second)) == 1


async def test_a_discarded_attempt_is_found_no_more(stage: Stage) -> None:
    async with stage.open() as backend:
        launched = await backend.launch(stage.spec(ExitWith(0)))
        await backend.wait(launched.handle)
        assert len(await everything(backend)) == 1
        await backend.discard(launched.handle)
        await backend.discard(launched.handle)
        assert await everything(backend) == {}


async def test_a_discarded_attempt_is_found_no_more_by_the_next_runner(stage: Stage) -> None:
    async with stage.open() as first:
        kept = await first.launch(stage.spec(ExitWith(0), 0))
        gone = await first.launch(stage.spec(ExitWith(0), 1))
        await asyncio.gather(first.wait(kept.handle), first.wait(gone.handle))
        await first.discard(gone.handle)
    async with stage.open() as second:
        assert [found.handle for found in (await everything(second)).values()] == [kept.handle]


# ---------------------------------------------------------------- leases


async def test_a_launch_under_an_older_lease_is_refused(stage: Stage) -> None:
    async with stage.open() as backend:
        await backend.launch(stage.spec(ExitWith(0), 0, lease=3))
        with pytest.raises(LaunchFailed) as caught:
            await backend.launch(stage.spec(ExitWith(0), 1, lease=2))
        assert not caught.value.permanent
        assert caught.value.reason == "StaleLease"
        await backend.launch(stage.spec(ExitWith(0), 2, lease=3))
        await backend.launch(stage.spec(ExitWith(0), 3, lease=4))


async def test_a_fence_refuses_older_leases_of_that_execution_only(stage: Stage) -> None:
    async with stage.open() as backend:
        await backend.launch(stage.spec(ExitWith(0), 0, lease=1))
        await backend.fence(EXECUTION, 2)
        with pytest.raises(LaunchFailed):
            await backend.launch(stage.spec(ExitWith(0), 1, lease=1))
        await backend.launch(stage.spec(ExitWith(0), 2, lease=2))
        await backend.launch(stage.spec(ExitWith(0), 3, execution="other", lease=1))


async def test_a_runner_that_was_overtaken_starts_nothing_more(stage: Stage) -> None:
    async with stage.open() as overtaken, stage.open() as other:
        await overtaken.launch(stage.spec(ExitWith(0), 0, lease=1))
        await other.fence(EXECUTION, 2)
        with pytest.raises(LaunchFailed):
            await overtaken.launch(stage.spec(ExitWith(0), 1, lease=1))


async def test_a_runner_that_slept_through_the_fence_before_its_first_launch_starts_nothing(
    stage: Stage,
) -> None:
    async with stage.open() as sleeper, stage.open() as other:
        await other.fence(EXECUTION, 2)
        with pytest.raises(LaunchFailed):
            await sleeper.launch(stage.spec(ExitWith(0), 0, lease=1))


# ---------------------------------------------------------------- trees


def growth(spec: LaunchSpec) -> int:
    return output(spec).count(b"alive")


async def test_a_daemonised_grandchild_ends_with_its_main_process(stage: Stage) -> None:
    stage.needs("tree")
    spec = stage.spec(LeaveDaemon(stay=False))
    async with stage.open() as backend:
        end = await finish(backend, spec)
        assert end.code == 0
        said = growth(spec)
        assert said > 0
        await asyncio.sleep(0.4)
        assert growth(spec) == said


async def test_a_daemonised_grandchild_that_ignores_term_ends_with_a_stop(stage: Stage) -> None:
    stage.needs("tree")
    spec = stage.spec(LeaveDaemon(stay=True))
    async with stage.open() as backend:
        launched: Launched = await backend.launch(spec)
        await stage.ready(spec)
        await backend.stop(launched.handle, grace=0.3)
        await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
        said = growth(spec)
        await asyncio.sleep(0.4)
        assert growth(spec) == said


async def test_a_daemonised_grandchild_lives_as_long_as_its_main_process(stage: Stage) -> None:
    stage.needs("tree")
    spec = stage.spec(LeaveDaemon(stay=True))
    async with stage.open() as backend:
        launched = await backend.launch(spec)
        await stage.ready(spec)
        said = growth(spec)
        await until(lambda: growth(spec) > said + 2, "the grandchild goes on")
        with contextlib.suppress(AttemptVanished):
            await backend.stop(launched.handle, grace=0.0)
            await backend.wait(launched.handle)
