"""Missed occurrences and dead letters are told by whoever records them."""

from typing import Any

import pytest

from jobrunner.lib.clock import SystemClock
from jobrunner.lib.ids import CountedIds
from tests.support.deliveries import a_delivery
from tests.support.dispatching import Bench
from tests.support.events import a_trigger
from tests.support.schedules import World
from triggers.core.event_triggers import EventFilter
from triggers.core.lifecycle_events import DEAD, EXPIRED, MISSED
from triggers.core.records import CatchUp, Delivery, EventRetry, ManualRetry, SourceKind
from triggers.core.states import DeliveryState
from triggers.core.states import OccurrenceState as O
from triggers.core.verdict import Answer
from triggers.ports import DeliveryFilter
from triggers.service.backlog import Backlogs
from triggers.service.events import Events
from triggers.service.mishaps import Mishaps
from triggers.store import open_declared, open_event_log

NO_RETRY = ManualRetry(retry_count=0)


def listening(database: Any, deliveries: Any, ids: Any, *types: str) -> Events:
    declared = open_declared(database)
    for name in types:
        trigger = a_trigger(name.replace(".", "-"), filters=(EventFilter("type", name),))
        declared.triggers.create(trigger)
    kept, backlogs = open_event_log(database), Backlogs(SystemClock())
    return Events(declared.triggers, deliveries, kept, ids, backlogs)


def told(deliveries: Any) -> list[Delivery]:
    wanted = DeliveryFilter(source=SourceKind.EVENT_TRIGGER)
    return list(deliveries.listing(wanted, oldest_first=True))


@pytest.fixture(params=["together", "each"])
def world(request: pytest.FixtureRequest) -> World:
    world = World()
    if request.param == "each":
        world.fire = world.fire_each  # type: ignore[method-assign]
    return world


def test_each_missed_occurrence_is_an_event(world: World) -> None:
    events = listening(world.jobs.database, world.deliveries, world.ids, MISSED)
    world.service.firing.watch(Mishaps(events, world.clock).missed)
    world.create(catch_up=CatchUp.SKIP, expression="8-10 15 * * *")
    world.minutes(30)
    assert world.states() == [O.MISSED, O.MISSED, O.MISSED]
    found = told(world.deliveries)
    assert len(found) == 3
    assert found[0].payload is not None
    headers = dict(found[0].payload.headers)
    assert headers["ce-type"] == MISSED
    assert headers["ce-subject"] == "occurrences/2025-06-15T15:08:00Z"
    world.fire()
    assert len(told(world.deliveries)) == 3


def test_one_missed_occurrence_of_a_plain_schedule_is_an_event(world: World) -> None:
    events = listening(world.jobs.database, world.deliveries, world.ids, MISSED)
    world.service.firing.watch(Mishaps(events, world.clock).missed)
    world.create(catch_up=CatchUp.SKIP, expression="8 15 * * *")
    world.minutes(30)
    assert world.states() == [O.MISSED]
    assert len(told(world.deliveries)) == 1


class Letters:
    """A dispatcher with mishaps watched."""

    def __init__(self, *types: str) -> None:
        self.bench = Bench()
        database = self.bench.store._database  # type: ignore[attr-defined]
        self.events = listening(database, self.bench.store, CountedIds(), *types)
        mishaps = Mishaps(self.events, self.bench.clock)
        self.bench.dispatcher.watch(recorded=mishaps.recorded)

    async def refuse(self, delivery: Delivery) -> None:
        self.bench.store.open(delivery)
        self.bench.sender.answers[delivery.key] = [Answer(500)]
        await self.bench.turns()


async def test_a_dead_letter_is_an_event_with_one_hop_more() -> None:
    letters = Letters(DEAD)
    await letters.refuse(a_delivery("d", retry=NO_RETRY, hops=2))
    [event] = told(letters.bench.store)
    assert event.payload is not None
    headers = dict(event.payload.headers)
    assert (headers["ce-type"], headers["ce-subject"][:11], event.hops) == (DEAD, "deliveries/", 3)


async def test_a_dead_letter_of_a_dead_letter_event_is_none() -> None:
    letters = Letters(DEAD)
    await letters.refuse(a_delivery("d", retry=NO_RETRY))
    [event] = told(letters.bench.store)
    # The notice of it is given up, too.
    letters.bench.clock.advance(EventRetry().lifetime + 1)
    letters.bench.sender.finish(event.uid, Answer(500))
    await letters.bench.turns()
    [given_up] = told(letters.bench.store)
    assert (given_up.uid, given_up.state) == (event.uid, DeliveryState.DEAD)


async def test_what_has_grown_too_old_is_an_event_of_its_own_type() -> None:
    letters = Letters(EXPIRED)
    delivery = a_delivery("d", retry=EventRetry(), source=SourceKind.EVENT_TRIGGER, not_before=2e9)
    letters.bench.store.open(delivery)
    letters.bench.clock.advance(EventRetry().lifetime * 2)
    await letters.bench.turns()
    found = [one for one in told(letters.bench.store) if one.uid != delivery.uid]
    assert [dict(one.payload.headers)["ce-type"] for one in found if one.payload] == [EXPIRED]


async def test_an_attempt_of_what_its_sender_still_has_is_no_event_but_a_replay_is() -> None:
    letters = Letters(DEAD)
    once = EventRetry(max_attempts=1)
    attempt = a_delivery("d", retry=once, source=SourceKind.SUBSCRIPTION)
    await letters.refuse(attempt)
    assert letters.bench.store.get(attempt.uid).state is DeliveryState.DEAD
    assert told(letters.bench.store) == []
    replay = a_delivery("r", retry=once, source=SourceKind.SUBSCRIPTION, parent=attempt.uid)
    await letters.refuse(replay)
    assert len(told(letters.bench.store)) == 1


async def test_nobody_waits_and_nothing_is_kept() -> None:
    letters = Letters()
    await letters.refuse(a_delivery("d", retry=NO_RETRY))
    assert told(letters.bench.store) == []
