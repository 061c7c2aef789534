"""A bell is heard by the one that waits, once it rings and not long after its time."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.lib.bell import PATIENT_SECONDS, Bell, end_of, patient_end_of, stroke


async def test_a_bell_that_was_rung_before_is_heard_at_once() -> None:
    bell = Bell()
    bell.ring()
    assert bell.rung
    assert await bell.heard(3600.0)


async def test_one_that_waits_hears_it_ring() -> None:
    bell = Bell()
    waiting = asyncio.ensure_future(bell.heard(3600.0))
    await asyncio.sleep(0)
    bell.ring()
    bell.ring()
    assert await waiting


async def test_silence_comes_to_its_end() -> None:
    bell = Bell()
    bell.ring()
    bell.silence()
    assert not await bell.heard(0.001)


async def test_one_that_no_longer_waits_is_not_in_the_way() -> None:
    bell = Bell()
    gone = asyncio.ensure_future(bell.heard(3600.0))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    bell.ring()
    assert await bell.heard(3600.0)


@given(now=st.floats(0.0, 1e7), other=st.floats(0.0, 1.9))
def test_long_waits_end_at_the_same_strokes_and_are_never_longer(now: float, other: float) -> None:
    end = end_of(now, 2.0)
    assert now <= end <= now + 2.0
    assert end % 2.0 == 0.0
    if now + other < end - 1e-3:
        assert end_of(now + other, 2.0) == end


def test_short_waits_are_as_long_as_they_say() -> None:
    assert end_of(7.9, 0.2) == 7.9 + 0.2


def test_one_that_acts_by_a_moved_clock_looks_by_itself_only_when_it_was_forgotten() -> None:
    assert patient_end_of(7.9, 2.0) == 7.9 + PATIENT_SECONDS
    assert patient_end_of(7.9, 0.02) == 7.9 + 0.02


async def test_an_apart_bell_is_heard_when_it_rings() -> None:
    bell = Bell(apart=True)
    waiting = asyncio.ensure_future(bell.heard(2.0))
    await asyncio.sleep(0)
    bell.ring()
    assert await waiting


async def test_a_stroke_comes() -> None:
    await stroke(0.001)
