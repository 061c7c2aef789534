"""One row that cannot be read keeps nobody from the others: it is shown, and can be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobrunner.errors import StoreFault
from jobrunner.ports import Page
from tests.support.queues import HERE, QueueBench
from tests.support.schedules import WHERE, World
from triggers.core.event_triggers import EventFilter, EventTrigger, HttpDestination
from triggers.core.records import HttpTarget, Unreadable
from triggers.core.states import OccurrenceState as O
from triggers.core.subscriptions import Subscription
from triggers.errors import DamagedRow
from triggers.store import open_declared

PLACE = ("local", "us-central1")


@pytest.fixture
def world(url: str) -> Iterator[World]:
    made = World(url)
    yield made
    made.jobs.database.close()


def damage(world: World, table: str, column: str, text: str, name: str = "bad") -> None:
    sql = f"UPDATE {table} SET {column} = ? WHERE name = ?"
    world.jobs.database.write(lambda session: session.execute(sql, (text, name)))


@pytest.mark.parametrize(
    ("column", "text"), [("settings", "{"), ("target", "{}"), ("state", "SLEEPING"), ("retry", "")]
)
def test_a_damaged_schedule_keeps_no_other_from_being_listed_and_fired(
    world: World, column: str, text: str
) -> None:
    for name in ("bad", "good"):
        world.create(name)
    damage(world, "schedules", column, text)
    for _ in range(2):
        world.minutes(1)
        world.end(world.rows("good")[-1])
        world.settle()
    assert world.states("good") == [O.CLOSED, O.CLOSED]
    bad, _ = world.store.survey(*WHERE)
    assert isinstance(bad, Unreadable)
    assert (bad.name, "is damaged" in bad.why, "Delete it" in bad.why) == ("bad", True, True)
    assert [one.schedule.name for one in world.store.listing(*WHERE)] == ["good"]
    with pytest.raises(StoreFault, match=r"Schedule 'bad' in us-central1 .* is damaged"):
        world.store.find(WHERE, "bad")


def test_a_damaged_schedule_is_put_off_and_fires_when_it_is_mended(world: World) -> None:
    world.create("bad")
    [[before]] = world.jobs.database.read(
        lambda session: session.execute("SELECT settings FROM schedules").fetchall()
    )
    damage(world, "schedules", "settings", "{")
    world.minutes(1)
    later = world.store.next_at()
    assert later is not None
    assert later > world.clock.now()
    damage(world, "schedules", "settings", before)
    world.minutes(1)
    assert O.OPEN in world.states("bad")


def test_a_damaged_schedule_can_be_deleted_and_made_again(world: World) -> None:
    world.create("bad")
    damage(world, "schedules", "settings", "{")
    world.commit(lambda: world.service.delete(WHERE, "bad"))
    world.create("bad")


def test_a_damaged_queue_is_shown_among_the_others_and_can_be_deleted(world: World) -> None:
    bench = QueueBench(world.jobs.database)
    for name in ("bad", "good"):
        bench.create(name)
    damage(world, "queues", "settings", "{")
    assert [isinstance(one, Unreadable) for one in bench.queues.survey(*HERE)] == [True, False]
    bench.queues.delete(HERE, "bad")
    assert [one.name for one in bench.queues.listing(*HERE)] == ["good"]
    bench.create("bad")


def a_subscription(name: str) -> Subscription:
    return Subscription(f"uid-{name}", *PLACE, name, target=HttpTarget("http://127.0.0.1/"))


def a_trigger(name: str) -> EventTrigger:
    destination = HttpDestination("http://127.0.0.1/")
    return EventTrigger(f"uid-{name}", *PLACE, name, (EventFilter("type", "a.b"),), destination)


@pytest.mark.parametrize(
    ("kind", "make"), [("subscriptions", a_subscription), ("triggers", a_trigger)]
)
def test_what_is_declared_is_shown_among_the_others(
    world: World, kind: str, make: Callable[[str], Any]
) -> None:
    store = getattr(open_declared(world.jobs.database), kind)
    for name in ("bad", "good"):
        store.create(make(name))
    damage(world, "resources", "document", "[]")
    assert [isinstance(one, Unreadable) for one in store.survey(*PLACE)] == [True, False]
    assert [one.name for one in store.listing(*PLACE)] == ["good"]
    with pytest.raises(DamagedRow):
        store.get("uid-bad")


def test_a_damaged_trigger_keeps_no_event_from_the_others(world: World) -> None:
    store = open_declared(world.jobs.database).triggers
    for name in ("bad", "good"):
        store.create(a_trigger(name))
    damage(world, "resources", "document", "[]")
    assert [one.name for one in store.awaiting("a.b")] == ["good"]


@pytest.mark.parametrize("column", ["target", "retry", "state"])
def test_a_damaged_item_is_shown_among_the_others_page_by_page(world: World, column: str) -> None:
    bench = QueueBench(world.jobs.database)
    bench.create("mail")
    for name in ("a", "bad", "c"):
        bench.add("mail", name)
    sql = f"UPDATE deliveries SET {column} = '[' WHERE key LIKE ?"
    world.jobs.database.write(lambda session: session.execute(sql, ("%/bad",)))
    listed = bench.queues.list_tasks(HERE, "mail")
    assert [one.name for one in listed] == ["a", "bad", "c"]
    assert [isinstance(one, Unreadable) for one in listed] == [False, True, False]
    [last] = bench.queues.list_tasks(HERE, "mail", page=Page(2, "bad"))
    assert last.name == "c"
