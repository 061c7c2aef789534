"""Many schedules in one go do what each would do by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.errors import AlreadyExists
from tests.support.schedules import START, WHERE, World
from triggers.core.records import (
    CatchUp,
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    Overlap,
    OverlapScope,
)
from triggers.core.states import DeliveryState, OccurrenceState

TARGETS = (HttpTarget("http://sink.example.com/hook"), JobTarget("report"))

wanted = st.fixed_dictionaries(
    {
        "expression": st.sampled_from(["* * * * *", "*/2 * * * *", "every 3 minutes"]),
        "time_zone": st.sampled_from(["Etc/UTC", "Europe/Berlin"]),
        "target": st.sampled_from(TARGETS),
        "overlap": st.sampled_from([None, *Overlap]),
        "overlap_limit": st.integers(1, 2),
        "overlap_scope": st.sampled_from(OverlapScope),
        "catch_up": st.sampled_from(CatchUp),
        "spread": st.sampled_from([0, 45]),
        "jitter": st.sampled_from([0.0, 20.0]),
        "pause_after": st.sampled_from([None, 1, 2]),
    }
)
steps = st.one_of(
    st.sampled_from([20.0, 60.0, 60.0, 60.0, 300.0, 3600.0]),
    st.tuples(st.integers(0, 3), st.sampled_from([DeliveryState.DELIVERED, DeliveryState.DEAD])),
    st.just("settle"),
)


def seen(world: World) -> list[object]:
    """Everything but the names of deliveries, which are counted in the order of opening."""
    found: list[object] = []
    for armed in world.store.listing(None):
        rows = world.store.history(armed.schedule.uid)
        found.append((armed, [replace(row, delivery=str(row.delivery is None)) for row in rows]))
    sent = sorted(world.sent(), key=lambda one: (one.created_at, one.key))
    return [found, [replace(one, uid="") for one in sent]]


def act(world: World, step: object) -> None:
    if isinstance(step, float):
        world.clock.advance(step)
    elif step == "settle":
        world.settle()
    elif isinstance(step, tuple):
        number, state = step
        rows = [
            row
            for armed in world.store.listing(None)
            for row in world.store.live(armed.schedule.uid, OccurrenceState.OPEN)
            if world.deliveries.get(row.delivery or "").settled_at is None
        ]
        if rows:
            world.end(rows[number % len(rows)], state)


@settings(max_examples=40)
@given(
    st.lists(wanted, min_size=1, max_size=4),
    st.lists(steps, min_size=1, max_size=12),
    st.booleans(),
)
def test_in_one_go_and_one_by_one_come_to_the_same(
    schedules: list[dict[str, object]], actions: list[object], ahead: bool
) -> None:
    """Whatever was prepared for another time, and however the schedule has changed since."""
    one, other = World(), World()
    for world in (one, other):
        for number, fields in enumerate(schedules):
            world.create(f"s{number}", **fields)
    for step in actions:
        for world in (one, other):
            act(world, step)
        if ahead:
            now = one.clock.now()
            one.service.together.prepare(one.store.due(now + 60), now + 20)
        one.fire()
        other.fire_each()
        assert seen(one) == seen(other)
    for world in (one, other):
        world.jobs.close()


def test_what_is_there_already_is_said_and_nothing_is_kept() -> None:
    world = World()
    uid = world.create("a").schedule.uid
    world.create("b")
    world.clock.advance(60)
    key = OccurrenceKey(uid, int(START) + 60)
    there = Occurrence(key, START + 60, OccurrenceState.MISSED, settled_at=START)
    world.store.open(there)
    with pytest.raises(AlreadyExists):
        world.fire()
    assert world.sent() == []
    assert world.rows("b") == []
    world.fire_each()
    assert world.rows("a") == [there]
    assert world.states("b") == [OccurrenceState.OPEN]


def test_all_that_are_closed_together_count_for_their_schedule() -> None:
    world = World()
    world.create("a", overlap=Overlap.ALLOW, pause_after=2)
    for _ in range(2):
        world.minutes(1)
    for row in world.rows("a"):
        world.end(row, DeliveryState.DEAD)
    world.settle()
    found = world.service.find(WHERE, "a")
    assert (found.schedule.failures, found.schedule.state) == (2, "DISABLED")
    assert found.next_at is None


def test_what_was_prepared_is_opened_when_it_is_due_at_the_time_it_is_then() -> None:
    world = World()
    uid = world.create("a", overlap=Overlap.ALLOW).schedule.uid
    together = world.service.together
    together.prepare([uid], START + 60)
    world.minutes(0.5)
    assert world.rows("a") == []
    world.clock.advance(30.25)
    world.fire()
    [row], [sent] = world.rows("a"), world.sent()
    assert row.opened_at == row.created_at == sent.created_at == sent.not_before == START + 60.25
    assert (row.due_at, row.delivery, sent.queued_at) == (START + 60, sent.uid, START + 60)


def test_what_was_prepared_does_not_count_when_the_schedule_has_changed_or_it_is_too_late() -> None:
    world = World()
    uid = world.create("a", overlap=Overlap.ALLOW).schedule.uid
    together = world.service.together
    together.prepare([uid], START + 60)
    target = HttpTarget("http://other.example.com/")
    world.commit(lambda: world.service.update(WHERE, "a", lambda one: replace(one, target=target)))
    world.minutes(1)
    assert [one.target for one in world.sent()] == [target]
    together.prepare([uid], START + 120)
    world.clock.advance(150)
    world.fire()
    assert world.states("a") == [OccurrenceState.OPEN, OccurrenceState.MISSED, OccurrenceState.OPEN]
