"""The scripted backend of a server: scripts in the environment, and what outlives a server."""

import asyncio
from pathlib import Path

import pytest

from jobrunner.backends.scripted import Exit, Hang, Killed, OutOfMemory, Refuse, Vanish
from jobrunner.backends.scripted_served import ServedScripted, parse_script
from jobrunner.core.records import AttemptKey
from jobrunner.errors import LaunchFailed
from jobrunner.lib.clock import Paced, VirtualClock
from jobrunner.ports import LaunchSpec, LaunchTemplate

KEY = AttemptKey("e-uid", 0, 0)


def spec(script: str, number: int = 0, timeout: float | None = None) -> LaunchSpec:
    template = LaunchTemplate(
        "e-uid", "e", "j", "p", "r", env={"JOBRUNNER_SCRIPT": script}, timeout=timeout
    )
    return LaunchSpec(AttemptKey("e-uid", 0, number), template, 1)


def backend(home: Path, clock: VirtualClock) -> ServedScripted:
    paced = Paced(clock)
    return ServedScripted(str(home), clock=paced, sleep=paced.sleep)


def test_each_attempt_has_its_ending() -> None:
    assert parse_script("exit 1 after 2s; killed;oom after 1m ; hang; vanish after 500ms") == (
        Exit(1, 2.0),
        Killed(),
        OutOfMemory(60.0),
        Hang(),
        Vanish(0.5),
    )
    assert parse_script("refuse") == (Refuse(),)


@pytest.mark.parametrize(
    "text",
    ["", ";", "exit", "exit 256", "exit -1", "exit one", "hang after 1s", "exit 0 after"],
)
def test_what_is_no_script_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="JOBRUNNER_SCRIPT"):
        parse_script(text)


def test_a_script_that_cannot_be_read_is_an_attempt_that_cannot_be_started(tmp_path: Path) -> None:
    there = backend(tmp_path, VirtualClock(1e9))
    with pytest.raises(LaunchFailed, match="is no script") as refused:
        asyncio.run(there.launch(spec("sleep 5")))
    assert refused.value.permanent


def test_the_last_ending_is_for_all_attempts_that_follow(tmp_path: Path) -> None:
    async def codes() -> list[int | None]:
        there = backend(tmp_path, VirtualClock(1e9))
        found = []
        for number in range(4):
            launched = await there.launch(spec("exit 1; exit 2", number))
            found.append((await there.wait(launched.handle)).code)
        return found

    assert asyncio.run(codes()) == [1, 2, 2, 2]


def test_what_runs_is_found_by_the_next_server_and_ends_at_its_time(tmp_path: Path) -> None:
    async def first() -> str:
        return (await backend(tmp_path, VirtualClock(1e9)).launch(spec("exit 7 after 10m"))).handle

    async def second(handle: str) -> tuple[bool, bool, int | None, float | None]:
        clock = VirtualClock(1e9 + 60)
        there = backend(tmp_path, clock)
        assert [found.key async for found in there.discover()] == [KEY]
        before = there.waits(handle)
        ending = asyncio.ensure_future(there.wait(handle))
        for _ in range(5):
            await asyncio.sleep(0)
        assert clock.next_at() == 1e9 + 600
        clock.move(1e9 + 600)
        status = await ending
        after = there.waits(handle)
        await there.discard(handle)
        return before, after, status.code, status.ended_at

    handle = asyncio.run(first())
    assert asyncio.run(second(handle)) == (True, False, 7, 1e9 + 600)
    assert not list((tmp_path / "scripted").iterdir())


def test_a_timeout_and_a_stop_are_kept_too(tmp_path: Path) -> None:
    async def whole() -> list[float | None]:
        clock = VirtualClock(1e9)
        there = backend(tmp_path, clock)
        one = await there.launch(spec("hang", 0, timeout=30.0))
        two = await there.launch(spec("exit 0 after 1h", 1))
        await there.stop(two.handle, grace=5.0)
        again = backend(tmp_path, clock)
        clock.move(1e9 + 3600)
        return [(await again.wait(each.handle)).ended_at for each in (one, two)]

    assert asyncio.run(whole()) == [1e9 + 30, 1e9]
