"""How far a virtual clock goes when it is told a time to the microsecond."""

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from jobrunner.lib.clock import SystemClock, VirtualClock
from jobrunner.service.moving import Moved, Mover

STARTS = st.floats(1.7e9, 4e9)


def advanced(clock: VirtualClock, target: float) -> Moved:
    mover = Mover(clock, SystemClock(), lambda at: None, lambda: 0)
    return asyncio.run(mover.advance(target))


@given(STARTS, st.floats(0.001, 1e7))
@example(1_795_315_071.998_008_3, 60.0)
def test_what_is_due_by_then_rings_however_the_instant_is_rounded(start: float, by: float) -> None:
    clock, rung = VirtualClock(start), []
    clock.wake(start + by, lambda: rung.append(clock.now()))
    moved = advanced(clock, round(start + by, 6))
    assert rung == [start + by]
    assert moved.arrived
    assert moved.now == clock.now() == max(start + by, moved.target)


@given(STARTS, st.integers(2, 10**9))
def test_what_is_due_some_microseconds_later_does_not_ring(start: float, micros: int) -> None:
    clock, rung = VirtualClock(start), []
    target = round(start + 60.0, 6)
    clock.wake(target + micros * 1e-6, lambda: rung.append(clock.now()))
    moved = advanced(clock, target)
    assert rung == []
    assert moved.now == clock.now() == target
