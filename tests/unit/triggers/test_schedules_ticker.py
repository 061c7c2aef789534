"""The ticker: one alarm, woken often or late, and nothing lost or opened twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.errors import StoreFault
from tests.support.awaiting import until
from tests.support.schedules import START, WHERE, IdleRunner, World
from tests.support.stores import a_job, an_execution
from triggers.core.occurrences import Timing
from triggers.core.records import Delivery, JobTarget, OccurrenceKey, Overlap, Schedule
from triggers.core.states import OccurrenceState as O
from triggers.ports import Ended
from triggers.service.schedules_runs import End
from triggers.service.schedules_turns import BUSY, SETTLED, SPARE_SECONDS, Turns
from triggers.sources.ticker import SchedulerAlarm, Ticker

T = TypeVar("T")


class FakeAlarm:
    """Rings when the test says so."""

    def __init__(self) -> None:
        self.set_to: list[float | None] = []
        self.ring: Callable[[], None] = lambda: None
        self.stopped = False

    def start(self, ring: Callable[[], None]) -> None:
        self.ring = ring

    def set(self, at: float | None) -> None:
        self.set_to.append(at)

    def stop(self) -> None:
        self.stopped = True


class Clockwork:
    """Turns over a world; each one as a runner of its own would make them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.opened = self.put = 0
        self.runner = IdleRunner()
        self.turns = Turns(
            world.service, self.commit, self.runner, world.clock, self.ring, machine=world.clock,
            put_away=self.put_away,
        )  # fmt: skip

    async def commit(self, work: Callable[[], T]) -> T:
        return self.world.commit(work)

    def put_away(self) -> None:
        self.put += 1

    def ring(self) -> None:
        self.opened += 1

    def tick(self) -> float | None:
        return asyncio.run(self._tick())

    async def _tick(self) -> float | None:
        return await self.turns.tick()


@pytest.fixture
def world() -> World:
    return World()


def test_a_turn_opens_what_is_due_and_says_when_the_next_is(world: World) -> None:
    world.create("a")
    world.create("b", expression="*/5 * * * *")
    clockwork = Clockwork(world)
    assert clockwork.tick() == START + 60
    assert clockwork.opened == 0
    world.clock.advance(60)
    assert clockwork.tick() == START + 120
    assert clockwork.opened == 1
    assert (world.states("a"), world.states("b")) == ([O.OPEN], [])


def test_many_that_are_due_at_once_are_all_opened(world: World) -> None:
    for number in range(150):
        world.create(f"s{number}")
    world.clock.advance(60)
    assert Clockwork(world).tick() == START + 120
    assert len(world.sent()) == 150


def test_the_store_puts_away_what_a_busy_look_has_written_and_a_quiet_one_leaves(
    world: World,
) -> None:
    world.create("few")
    clockwork = Clockwork(world)
    world.clock.advance(60)
    clockwork.tick()
    assert clockwork.put == 0
    for number in range(BUSY):
        world.create(f"s{number}")
    world.clock.advance(60)
    clockwork.tick()
    assert clockwork.put == 1


def test_nothing_is_put_away_while_something_is_about_to_be_due(world: World) -> None:
    for number in range(BUSY):
        world.create(f"s{number}")
    clockwork = Clockwork(world)
    world.clock.advance(120 - SPARE_SECONDS / 2)
    assert clockwork.tick() == START + 120
    assert (len(world.sent()), clockwork.put) == (BUSY, 0)


def test_two_runners_open_each_occurrence_once(world: World) -> None:
    world.create(overlap=Overlap.ALLOW)
    one, other = Clockwork(world), Clockwork(world)
    for _ in range(5):
        world.clock.advance(60)
        one.tick()
        other.tick()
    assert len(world.rows()) == len(world.sent()) == 5


def test_a_machine_that_was_asleep_for_an_hour_misses_and_says_so(world: World) -> None:
    world.create(expression="*/10 * * * *")
    clockwork = Clockwork(world)
    clockwork.tick()
    world.clock.advance(3600)
    clockwork.tick()
    assert world.states() == [O.MISSED] * 5 + [O.OPEN]


def test_a_clock_set_back_an_hour_repeats_nothing(world: World) -> None:
    world.create(overlap=Overlap.ALLOW)
    clockwork = Clockwork(world)
    world.clock.advance(60)
    clockwork.tick()
    world.clock.advance(-3600)
    assert clockwork.tick() == START + 120
    assert len(world.rows()) == 1


@settings(max_examples=25)
@given(st.lists(st.integers(-7200, 7200), min_size=1, max_size=10))
def test_however_the_clock_is_set_each_minute_up_to_the_latest_has_one_occurrence(
    jumps: list[int],
) -> None:
    """Steps forwards and backwards, and a machine that sleeps."""
    world = World()
    world.create(overlap=Overlap.ALLOW)
    clockwork = Clockwork(world)
    latest = START
    for jump in jumps:
        world.clock.advance(jump)
        latest = max(latest, world.clock.now())
        clockwork.tick()
    nominals = [row.key.nominal for row in world.rows()]
    assert nominals == list(range(int(START) + 60, int(latest) + 1, 60))
    opened = [row for row in world.rows() if row.state is O.OPEN]
    assert len(world.sent()) == len(opened)
    world.jobs.close()


def test_what_is_due_does_not_wait_until_all_that_has_ended_is_closed(world: World) -> None:
    names = [f"s{number}" for number in range(SETTLED + 10)]
    for name in names:
        world.create(name, overlap=Overlap.ALLOW)
    clockwork = Clockwork(world)
    world.clock.advance(60)
    clockwork.tick()
    for name in names:
        world.end(world.rows(name)[0])
    close = world.service.together.close

    def slow(ended: Sequence[Ended], now: float) -> None:
        close(ended, now)
        world.clock.advance(60)

    world.service.together.close = slow  # type: ignore[method-assign]
    due = clockwork.tick()
    assert due is not None
    assert due <= world.clock.now()
    assert sum(world.states(name) == [O.CLOSED] for name in names) == SETTLED
    world.service.together.close = close  # type: ignore[method-assign]
    clockwork.tick()
    assert all(world.states(name) == [O.CLOSED, O.OPEN] for name in names)


def test_a_busy_second_is_prepared_shortly_before_and_only_once(world: World) -> None:
    for number in range(3):
        world.create(f"s{number}", overlap=Overlap.ALLOW)
    asked: list[tuple[int, float]] = []
    prepare = world.service.together.prepare

    def counted(uids: Sequence[str], at: float) -> None:
        asked.append((len(uids), at))
        prepare(uids, at)

    world.service.together.prepare = counted  # type: ignore[method-assign]
    clockwork = Clockwork(world)
    world.clock.advance(58)
    clockwork.tick()
    assert asked == []
    for _ in range(2):
        world.clock.advance(0.9)
        clockwork.tick()
        assert asked == [(3, START + 60)]
    world.clock.advance(0.4)
    clockwork.tick()
    now = world.clock.now()
    assert [world.rows(f"s{number}")[0].opened_at for number in range(3)] == [now] * 3


def test_what_has_ended_is_closed_and_what_waits_is_opened(world: World) -> None:
    world.create()
    clockwork = Clockwork(world)
    for _ in range(2):
        world.clock.advance(60)
        clockwork.tick()
    world.end(world.rows()[0])
    clockwork.tick()
    assert world.states() == [O.CLOSED, O.OPEN]


def test_of_many_runs_that_go_on_each_is_looked_at_now_and_then(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    run = an_execution("report-1", job="report")
    world.jobs.create_execution(run)
    for number in range(300):
        world.create(f"s{number}", target=JobTarget("report"))
    clockwork = Clockwork(world)
    world.clock.advance(60)
    clockwork.tick()
    for number in range(300):
        world.end(world.rows(f"s{number}")[0], run=run.uid)
    looks: list[Ended] = []
    end_of = world.service.firing.runs.end_of

    def counted(one: Ended, schedule: Schedule) -> End | None:
        looks.append(one)
        return end_of(one, schedule)

    world.service.firing.runs.end_of = counted  # type: ignore[method-assign]
    for _ in range(30):
        clockwork.tick()
        world.clock.advance(0.1)
    assert 300 <= len(looks) <= 900
    world.clock.advance(-3600)
    clockwork.tick()
    assert len(looks) <= 1200
    world.jobs.delete_execution(run.uid)
    world.clock.advance(3600)
    clockwork.tick()
    assert world.states("s0") == [O.CLOSED]


def test_one_that_breaks_does_not_stop_the_others(world: World) -> None:
    uid = world.create("bad").schedule.uid
    world.create("good")
    delivery_of = world.service.firing.delivery_of

    def broken(one: Schedule, when: Timing, key: OccurrenceKey, now: float) -> Delivery:
        if one.uid == uid:
            raise RuntimeError("broken")
        return delivery_of(one, when, key, now)

    world.service.firing.delivery_of = broken  # type: ignore[method-assign]
    world.clock.advance(60)
    clockwork = Clockwork(world)
    clockwork.tick()
    assert (world.states("good"), world.states("bad")) == ([O.OPEN], [])
    world.service.firing.delivery_of = delivery_of  # type: ignore[method-assign]
    world.clock.advance(61)
    clockwork.tick()
    assert world.states("bad") == [O.MISSED, O.OPEN]


def test_old_occurrences_go(world: World) -> None:
    world.create(expression="0 0 1 1 *")
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    clockwork = Clockwork(world)
    world.end(world.rows()[0])
    clockwork.tick()
    assert world.states() == [O.CLOSED]
    world.clock.advance(32 * 86_400)
    clockwork.tick()
    assert world.rows() == []


def test_the_alarm_is_set_to_what_the_turn_said_and_a_ring_makes_a_turn() -> None:
    alarm, turns = FakeAlarm(), list[int]()

    async def tick() -> float | None:
        turns.append(1)
        return 100.0 * len(turns)

    async def scenario() -> None:
        task = asyncio.create_task(Ticker(tick, alarm, poll=3600).run())
        await until(lambda: alarm.set_to == [100.0])
        alarm.ring()
        await until(lambda: alarm.set_to == [100.0, 200.0])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert alarm.stopped


def test_without_a_ring_it_looks_again_by_itself() -> None:
    alarm, turns = FakeAlarm(), list[int]()

    async def tick() -> float | None:
        turns.append(1)
        return None

    async def scenario() -> None:
        task = asyncio.create_task(Ticker(tick, alarm, poll=0.001).run())
        await until(lambda: len(turns) > 3)
        task.cancel()

    asyncio.run(scenario())


def test_a_store_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers.sources.ticker.FAULT_SECONDS", 0.001)
    turns: list[int] = []

    async def tick() -> float | None:
        turns.append(1)
        raise StoreFault("away") if len(turns) % 2 else RuntimeError("a bug")

    async def scenario() -> None:
        task = asyncio.create_task(Ticker(tick, FakeAlarm()).run())
        await until(lambda: len(turns) > 3)
        task.cancel()

    asyncio.run(scenario())


def test_the_alarm_of_apscheduler_rings_once_for_the_last_instant_it_was_set_to() -> None:
    import time

    rings: list[float] = []

    async def scenario() -> None:
        alarm = SchedulerAlarm()
        alarm.start(lambda: rings.append(time.time()))
        at = time.time() + 0.2
        alarm.set(at + 3600)
        alarm.set(at)
        await until(lambda: bool(rings))
        assert at <= rings[0] < at + 3600
        alarm.set(None)
        alarm.set(time.time() - 3600)
        await until(lambda: len(rings) == 2)
        alarm.stop()

    asyncio.run(scenario())
