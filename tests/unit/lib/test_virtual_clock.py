"""Alarms of a clock that is moved by hand."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.lib import clockfile
from jobrunner.lib.clock import VirtualClock, pause


def test_alarms_ring_in_order_and_once() -> None:
    clock, rung = VirtualClock(100), list[str]()
    for at, name in ((103, "c"), (101, "a"), (102, "b"), (101, "a too")):
        clock.wake(at, lambda name=name: rung.append(name))  # type: ignore[misc]
    assert clock.next_at() == 101
    clock.move(102)
    assert rung == ["a", "a too", "b"]
    clock.move(110)
    assert rung == ["a", "a too", "b", "c"]
    assert clock.next_at() is None


def test_a_higher_rank_rings_when_the_clock_is_moved_once_more() -> None:
    clock, rung = VirtualClock(100), list[str]()
    for at, rank, name in ((101, 2, "begins"), (101, 0, "ends"), (101, 1, "sends"), (102, 0, "z")):
        clock.wake(at, lambda name=name: rung.append(name), rank=rank)  # type: ignore[misc]
    for wanted in (["ends"], ["ends", "sends"], ["ends", "sends", "begins"]):
        assert clock.next_at() == 101
        clock.move(101)
        assert rung == wanted
    assert clock.next_at() == 102


def test_an_alarm_that_was_taken_back_does_not_ring() -> None:
    clock, rung = VirtualClock(100), list[str]()
    silence = clock.wake(101, lambda: rung.append("no"))
    clock.wake(102, lambda: rung.append("yes"))
    silence()
    silence()
    assert clock.next_at() == 102
    clock.move(200)
    assert rung == ["yes"]


def test_what_is_past_rings_at_once() -> None:
    async def work() -> bool:
        clock, rung = VirtualClock(100), asyncio.Event()
        clock.wake(99, rung.set)
        async with asyncio.timeout(5):
            await rung.wait()
        return True

    assert asyncio.run(work())


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="go back"):
        VirtualClock(100).move(99)


def test_a_pause_lasts_until_the_clock_is_moved() -> None:
    async def work() -> float:
        clock = VirtualClock(100)
        pausing = asyncio.ensure_future(pause(clock, 5))
        await asyncio.sleep(0)
        assert not pausing.done()
        clock.move(clock.next_at() or 0)
        await pausing
        return clock.now()

    assert asyncio.run(work()) == 105


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=5))
def test_what_is_kept_is_read_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, instants: list[float]
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    assert clockfile.read(home) is None
    keeper = clockfile.Keeper(home)
    for now in instants:
        keeper.write(now)
        assert clockfile.read(home) == now
    keeper.close()
    clockfile.remove(home)
    assert clockfile.read(home) is None


def test_a_file_that_holds_no_instant_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text('{"then": 1}')
    with pytest.raises(ValueError, match="instant"):
        clockfile.read(str(tmp_path))
