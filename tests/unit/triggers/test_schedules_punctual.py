"""What is due together is written a moment before, and is there at its instant: never sooner."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.lib.clock import FakeClock
from tests.support.schedules import START, WHERE, IdleRunner, World
from triggers.core.states import OccurrenceState as O
from triggers.service.schedules_punctual import BUSY, MOST_LEAD_SECONDS
from triggers.service.schedules_turns import Turns

T = TypeVar("T")
DUE = START + 60
SECOND = 1.0


class Clockwork:
    """Turns whose pauses move the clocks, unless a test has other ideas of the wall clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine = FakeClock(START)
        self.paused: list[float] = []
        self.moved: Callable[[float], None] = world.clock.advance
        self.told = 0
        self.turns = Turns(
            world.service, self.commit, IdleRunner(), world.clock, self.tell,
            machine=self.machine, pause=self.pause,
        )  # fmt: skip

    async def commit(self, work: Callable[[], T]) -> T:
        return self.world.commit(work)

    def tell(self) -> None:
        self.told += 1

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.machine.advance(seconds)
        self.moved(seconds)

    def tick(self) -> float:
        at = asyncio.run(self._tick())
        assert at is not None
        return at

    async def _tick(self) -> float | None:
        return await self.turns.tick()

    def until(self, at: float) -> None:
        self.world.clock.advance(at - self.world.clock.now())


def busy(count: int = BUSY) -> World:
    world = World()
    for number in range(count):
        world.create(f"s{number}")
    return world


def prepared(world: World) -> tuple[Clockwork, float]:
    """When it wants to look again, shortly before."""
    clockwork = Clockwork(world)
    clockwork.until(DUE - SECOND)
    return clockwork, clockwork.tick()


def opened(world: World) -> set[float | None]:
    return {row.opened_at for number in range(BUSY) for row in world.rows(f"s{number}")}


def test_it_is_written_before_it_is_due_and_committed_when_it_is() -> None:
    world = busy()
    clockwork, early = prepared(world)
    assert DUE - MOST_LEAD_SECONDS <= early < DUE
    clockwork.until(early)
    assert clockwork.tick() > DUE
    assert clockwork.paused, "it has waited for the instant"
    assert world.clock.now() >= DUE
    assert opened(world) == {DUE}
    assert {one.not_before for one in world.sent()} == {DUE}
    assert len(world.sent()) == BUSY
    assert clockwork.told == 1


def test_few_are_left_until_they_are_due() -> None:
    clockwork, next_at = prepared(busy(BUSY - 1))
    assert next_at == DUE
    assert not clockwork.paused


def test_a_clock_that_is_set_back_meanwhile_leaves_nothing_written() -> None:
    world = busy()
    clockwork, early = prepared(world)
    clockwork.until(early)
    clockwork.moved = lambda seconds: None
    clockwork.tick()
    assert sum(clockwork.paused) <= MOST_LEAD_SECONDS * 2, "it does not wait for ever"
    assert not world.sent()
    clockwork.until(DUE)
    clockwork.tick()
    assert len(world.sent()) == BUSY


def test_one_that_was_paused_since_it_was_prepared_is_not_opened() -> None:
    world = busy(BUSY + 1)
    clockwork, early = prepared(world)
    world.commit(lambda: world.service.pause(WHERE, f"s{BUSY}"))
    clockwork.until(early)
    clockwork.tick()
    assert world.states(f"s{BUSY}") == []
    assert len(world.sent()) == BUSY


def test_who_comes_too_late_to_be_early_opens_them_all_the_same() -> None:
    world = busy()
    clockwork, _ = prepared(world)
    clockwork.until(DUE + 0.5)
    clockwork.tick()
    assert not clockwork.paused
    assert opened(world) == {DUE + 0.5}


def test_what_a_store_refuses_is_opened_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    world = busy()
    clockwork, early = prepared(world)
    clockwork.until(early)

    def broken(*_: object) -> int:
        raise ValueError("no")

    monkeypatch.setattr(world.service.together, "fire_prepared", broken)
    clockwork.tick()
    assert not world.sent()
    clockwork.until(DUE)
    clockwork.tick()
    assert len(world.sent()) == BUSY


@settings(max_examples=30)
@given(
    steps=st.lists(st.floats(0.001, 40.0), min_size=1, max_size=12),
    sets=st.lists(st.sampled_from([0.0, 1.0, 3.0, -0.5]), min_size=1, max_size=6),
)
def test_whoever_fires_when_nothing_is_opened_twice_or_before_its_time(
    steps: list[float], sets: list[float]
) -> None:
    world = busy()
    one, other = Clockwork(world), Clockwork(world)
    for turn, (worker, rate) in enumerate((w, r) for r in sets for w in (one, other)):
        worker.moved = lambda seconds, rate=rate: world.clock.advance(seconds * rate)  # type: ignore[misc]
        clockwork_at = worker.tick()
        step = steps[turn % len(steps)]
        world.clock.advance(max(0.0, min(step, clockwork_at - world.clock.now())))
    for number in range(0, BUSY, 16):
        rows = [row for row in world.rows(f"s{number}") if row.state is O.OPEN]
        assert len({row.key for row in rows}) == len(rows)
        assert all(row.opened_at is not None and row.opened_at >= row.due_at for row in rows)
    keys = [(one.source_name, one.key) for one in world.sent()]
    assert len(set(keys)) == len(keys)
