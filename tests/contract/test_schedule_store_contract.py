"""What every store of schedules promises."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound, UsageError
from jobrunner.lib.database import Database, connect
from jobrunner.ports import Page
from triggers.core.records import (
    CatchUp,
    Delivery,
    Gap,
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    OidcToken,
    Origin,
    Overlap,
    OverlapScope,
    PubsubTarget,
    Repeat,
    Schedule,
    ScheduleRetry,
    ScheduleState,
    SourceKind,
)
from triggers.core.states import DeliveryEvent, DeliveryState, OccurrenceState
from triggers.ports import Advance, Armed, DeliveryStore, Ended, Move, Replay, ScheduleStore
from triggers.store import open_deliveries, open_schedules

NOW = 1_750_000_000.0
WHERE = Scope("local", "us-central1")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def deliveries(database: Database) -> DeliveryStore:
    return open_deliveries(database)


@pytest.fixture
def schedules(database: Database, deliveries: DeliveryStore) -> ScheduleStore:
    return open_schedules(database)


def armed(name: str = "nightly", *, next_at: float | None = NOW + 60, **fields: object) -> Armed:
    values: dict[str, object] = {
        "uid": f"uid-of-{name}",
        "project": WHERE.project,
        "region": WHERE.region,
        "name": name,
        "expression": "*/5 * * * *",
        "target": HttpTarget("http://127.0.0.1/x"),
        "created_at": NOW,
        "armed_from": NOW,
    }
    return Armed(Schedule(**(values | fields)), NOW, next_at)  # type: ignore[arg-type]


def occurrence(nominal: int, name: str = "nightly", **fields: object) -> Occurrence:
    backfill = fields.pop("backfill", None)
    values: dict[str, object] = {
        "key": OccurrenceKey(f"uid-of-{name}", nominal, backfill),  # type: ignore[arg-type]
        "due_at": float(nominal),
        "state": OccurrenceState.OPEN,
        "created_at": NOW,
        "opened_at": NOW,
    }
    return Occurrence(**(values | fields))  # type: ignore[arg-type]


EVERYTHING = {
    "time_zone": "Europe/Berlin",
    "description": "für alle",
    "retry": ScheduleRetry(retry_count=3, max_doublings=2),
    "state": ScheduleState.PAUSED,
    "gap": Gap.SKIP,
    "repeat": Repeat.BOTH,
    "overlap": Overlap.REPLACE,
    "overlap_limit": 3,
    "overlap_scope": OverlapScope.JOB,
    "catch_up": CatchUp.ALL,
    "catch_up_limit": 7,
    "catch_up_window": 90.0,
    "spread": 60,
    "jitter": 1.5,
    "anchor": NOW - 1,
    "starts_at": NOW + 1,
    "ends_at": NOW + 2,
    "pause_after": 4,
    "failures": 2,
    "updated_at": NOW + 3,
    "resource_version": 9,
}


@pytest.mark.parametrize(
    "target",
    [
        HttpTarget("http://x/", "PUT", (("A", "b"),), b"\0\xff", OidcToken("a@b.c", "aud")),
        JobTarget("report", "p", "r"),
        PubsubTarget("projects/p/topics/t", b"x", (("k", "v"),)),
    ],
)
def test_a_schedule_is_read_as_it_was_written(schedules: ScheduleStore, target: object) -> None:
    made = armed(target=target, **EVERYTHING)
    schedules.create(made)
    assert schedules.find(WHERE, "nightly") == made
    assert schedules.get("uid-of-nightly") == made


def test_a_name_is_taken_once_in_a_region(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    with pytest.raises(AlreadyExists):
        schedules.create(armed(uid="another"))
    schedules.create(armed(uid="another", region="europe-west1"))


def test_what_is_not_there_is_said(schedules: ScheduleStore) -> None:
    assert schedules.find(WHERE, "nightly") is None
    for call in (schedules.get, schedules.take):
        with pytest.raises(NotFound):
            call("uid-of-nightly")
    with pytest.raises(NotFound):
        schedules.put(armed())


def test_a_change_is_written_whole(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    changed = replace(armed(**EVERYTHING, target=JobTarget("j")), last=NOW + 5, next_at=None)
    schedules.put(changed)
    assert schedules.take("uid-of-nightly") == changed


def test_the_longest_due_comes_first(schedules: ScheduleStore) -> None:
    for name, at in (("a", NOW + 3), ("b", NOW + 1), ("c", None), ("d", NOW + 2)):
        schedules.create(armed(name, next_at=at))
    assert schedules.next_at() == NOW + 1
    assert schedules.due(NOW + 2) == ["uid-of-b", "uid-of-d"]
    assert schedules.due(NOW + 9, limit=1) == ["uid-of-b"]
    schedules.advance("uid-of-b", NOW + 1, None)
    assert schedules.due(NOW + 2) == ["uid-of-d"]
    assert schedules.get("uid-of-b").last == NOW + 1


def test_lists_go_by_name_and_page_by_page(schedules: ScheduleStore) -> None:
    for name in ("b", "a", "c"):
        schedules.create(armed(name))
    schedules.create(armed("z", project="other"))
    first = schedules.listing(*WHERE, page=Page(2))
    assert [one.schedule.name for one in first] == ["a", "b"]
    rest = schedules.listing(*WHERE, page=Page(2, "local/us-central1/b"))
    assert [one.schedule.name for one in rest] == ["c"]
    assert len(schedules.listing(None)) == 4
    with pytest.raises(UsageError):
        schedules.listing(*WHERE, page=Page(2, "b"))


def test_an_occurrence_is_opened_once_by_its_key(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    first = occurrence(100, origin=Origin.CATCH_UP, reason="late", delivery="d")
    assert schedules.open(first)
    assert not schedules.open(occurrence(100, reason="again"))
    assert schedules.open(occurrence(100, backfill="by-hand"))
    assert schedules.occurrence(first.key) == first
    assert schedules.occurrence(OccurrenceKey("uid-of-nightly", 101)) is None


def test_an_occurrence_moves_only_from_the_state_that_is_said(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    schedules.open(occurrence(100))
    closed = occurrence(100, state=OccurrenceState.CLOSED, settled_at=NOW + 1)
    assert not schedules.move(OccurrenceState.WAITING, closed)
    assert schedules.move(OccurrenceState.OPEN, closed)
    assert not schedules.move(OccurrenceState.OPEN, closed)
    assert schedules.occurrence(closed.key) == closed


def test_open_and_waiting_ones_are_found(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    schedules.create(armed("other"))
    schedules.open(occurrence(200))
    schedules.open(occurrence(100))
    schedules.open(occurrence(300, state=OccurrenceState.WAITING, opened_at=None))
    found = schedules.live("uid-of-nightly", OccurrenceState.OPEN)
    assert [one.key.nominal for one in found] == [100, 200]
    assert schedules.waiting() == ["uid-of-nightly"]


def test_history_is_newest_first_and_goes_with_its_schedule(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    for nominal in (100, 200, 300):
        schedules.open(occurrence(nominal, delivery="d" if nominal < 300 else None))
    history = schedules.history("uid-of-nightly", start=100, end=300)
    assert [one.key.nominal for one in history] == [300, 200]
    assert len(schedules.history("uid-of-nightly", limit=1)) == 1
    latest = schedules.latest("uid-of-nightly")
    assert latest is not None
    assert latest.key.nominal == 200
    schedules.delete("uid-of-nightly")
    assert schedules.history("uid-of-nightly") == []
    assert schedules.find(WHERE, "nightly") is None


def test_what_ended_is_what_has_no_delivery_left_to_wait_for(
    schedules: ScheduleStore, deliveries: DeliveryStore
) -> None:
    schedules.create(armed())
    for nominal in (100, 200, 300):
        opened = occurrence(nominal, delivery=f"d-{nominal}")
        schedules.open(opened)
        if nominal < 300:
            target = HttpTarget("http://x/")
            deliveries.open(
                Delivery(
                    f"d-{nominal}",
                    *WHERE,
                    SourceKind.SCHEDULE,
                    "nightly",
                    str(opened.key),
                    target,
                    ScheduleRetry(),
                )
            )
    before = deliveries.get("d-100")
    after = replace(before, state=DeliveryState.CANCELLED, settled_at=NOW)
    assert deliveries.record([Move(before, DeliveryEvent.WITHDRAWN, after)]) == [True]
    first, last = occurrence(100, delivery="d-100"), occurrence(300, delivery="d-300")
    ended = [Ended(first, DeliveryState.CANCELLED, None), Ended(last, None, None)]
    assert schedules.ended() == ended
    assert schedules.ended(limit=1) == ended[:1]
    assert schedules.ended(first.key) == ended[1:]


def test_the_latest_deliveries_of_many_are_those_of_each(schedules: ScheduleStore) -> None:
    for name in ("a", "b", "c"):
        schedules.create(armed(name))
    schedules.open(occurrence(100, "a", delivery="d1"))
    schedules.open(occurrence(200, "a", delivery="d2"))
    schedules.open(occurrence(300, "a", state=OccurrenceState.WAITING, opened_at=None))
    schedules.open(occurrence(100, "b", delivery="d3"))
    uids = [f"uid-of-{name}" for name in ("a", "b", "c", "d")]
    assert schedules.latest_deliveries(uids) == {"uid-of-a": "d2", "uid-of-b": "d3"}
    assert schedules.latest_deliveries([]) == {}
    assert len(schedules.latest_deliveries([*uids, *map(str, range(2000))])) == 2


def test_old_occurrences_are_removed_and_open_ones_stay(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    schedules.open(occurrence(100))
    schedules.open(occurrence(200, state=OccurrenceState.MISSED, settled_at=NOW))
    schedules.open(occurrence(300, state=OccurrenceState.MISSED, settled_at=NOW + 1))
    assert schedules.prune(NOW + 1) == 1
    assert [one.key.nominal for one in schedules.history("uid-of-nightly")] == [300, 100]


def test_replays_of_a_schedule_are_found_until_they_settled_without_a_run(
    schedules: ScheduleStore, deliveries: DeliveryStore
) -> None:
    made = armed()
    target = HttpTarget("http://x/")
    for uid, name, parent in (
        ("first", "nightly", None),
        ("replay", "nightly", "first"),
        ("other", "other", "somebody"),
    ):
        delivery = Delivery(
            uid, *WHERE, SourceKind.SCHEDULE, name, uid, target, ScheduleRetry(), parent=parent
        )
        deliveries.open(delivery)
    assert schedules.replays(made.schedule) == [Replay("replay", False, None)]
    before = deliveries.get("replay")
    after = replace(before, state=DeliveryState.CANCELLED, settled_at=NOW)
    deliveries.record([Move(before, DeliveryEvent.WITHDRAWN, after)])
    assert schedules.replays(made.schedule) == []
    deliveries.open(replace(before, uid="again", key="again", parent="replay"))
    [claimed] = [
        one
        for one in deliveries.claim("me", now=NOW, ttl=1, most=9, per_place=9, busy={}).taken
        if one.uid == "again"
    ]
    ran = replace(
        claimed,
        state=DeliveryState.DELIVERED,
        execution="run",
        lease_owner=None,
        lease_until=None,
        settled_at=NOW,
    )
    deliveries.record([Move(claimed, DeliveryEvent.ACCEPTED, ran)])
    assert schedules.replays(made.schedule) == [Replay("again", True, "run")]


def test_many_are_read_and_taken_in_the_order_in_which_they_were_asked_for(
    schedules: ScheduleStore,
) -> None:
    made = {name: armed(name) for name in ("a", "b", "c")}
    for one in made.values():
        schedules.create(one)
    wanted = ["uid-of-c", "gone", "uid-of-a"]
    assert schedules.many(wanted) == schedules.take_all(wanted) == [made["c"], made["a"]]
    assert schedules.many([]) == []


def test_many_stand_where_they_were_put_at_once(schedules: ScheduleStore) -> None:
    for name in ("a", "b"):
        schedules.create(armed(name))
    schedules.advance_all(
        [Advance("uid-of-a", NOW + 5, NOW + 9), Advance("uid-of-b", NOW + 6, None)]
    )
    a, b = schedules.many(["uid-of-a", "uid-of-b"])
    assert (a.last, a.next_at, b.last, b.next_at) == (NOW + 5, NOW + 9, NOW + 6, None)


def test_of_many_occurrences_none_is_opened_where_one_is_there(schedules: ScheduleStore) -> None:
    for name in ("a", "b"):
        schedules.create(armed(name))
    missed = occurrence(
        200, "a", state=OccurrenceState.MISSED, opened_at=None, settled_at=NOW, reason="late"
    )
    together = [occurrence(100, "a"), occurrence(100, "b"), missed]
    schedules.open_all([schedules.draft(one) for one in together], NOW)
    assert [schedules.occurrence(one.key) for one in together] == together
    again = [occurrence(300, "a"), occurrence(100, "b")]
    with pytest.raises(AlreadyExists):
        schedules.open_all([schedules.draft(one) for one in again], NOW)
    assert schedules.occurrence(OccurrenceKey("uid-of-a", 300)) is None
    schedules.open_all([schedules.draft(occurrence(400, "a"))], NOW + 7)
    later = schedules.occurrence(OccurrenceKey("uid-of-a", 400))
    assert later is not None
    assert (later.created_at, later.opened_at, later.settled_at) == (NOW + 7, NOW + 7, None)


def test_many_move_each_from_the_state_that_is_said(schedules: ScheduleStore) -> None:
    schedules.create(armed())
    schedules.open(occurrence(100))
    schedules.open(occurrence(200, state=OccurrenceState.WAITING, opened_at=None))
    closed = [
        occurrence(at, state=OccurrenceState.CLOSED, settled_at=NOW) for at in (100, 200, 300)
    ]
    assert schedules.move_all(OccurrenceState.OPEN, closed) == [True, False, False]
    assert schedules.occurrence(closed[0].key) == closed[0]


def test_engaged_is_what_has_something_open_or_waiting_or_a_replay_under_way(
    schedules: ScheduleStore, deliveries: DeliveryStore
) -> None:
    names = ("open", "waiting", "closed", "replayed", "replayed-once", "free", "not-asked")
    made = {name: armed(name).schedule for name in names}
    for name in names:
        schedules.create(armed(name))
    schedules.open(occurrence(100, "open"))
    schedules.open(occurrence(100, "not-asked"))
    schedules.open(occurrence(100, "waiting", state=OccurrenceState.WAITING, opened_at=None))
    schedules.open(occurrence(100, "closed", state=OccurrenceState.CLOSED, settled_at=NOW))
    for name in ("replayed", "replayed-once"):
        where = (*WHERE, SourceKind.SCHEDULE, name, name)
        target = HttpTarget("http://x/")
        replay = Delivery(f"of-{name}", *where, target, ScheduleRetry(), parent=f"p-{name}")
        deliveries.open(replay)
    before = deliveries.get("of-replayed-once")
    after = replace(before, state=DeliveryState.CANCELLED, settled_at=NOW)
    deliveries.record([Move(before, DeliveryEvent.WITHDRAWN, after)])
    asked = [made[name] for name in names if name != "not-asked"]
    assert schedules.engaged(asked) == {"uid-of-open", "uid-of-waiting", "uid-of-replayed"}
    assert schedules.engaged([made["free"]]) == frozenset()


def test_nobody_takes_one_that_was_taken_before_that_transaction_ends(shared_url: str) -> None:
    """One takes many and moves them on while the other asks for the same: it finds them moved."""
    mine, yours = connect(shared_url), connect(shared_url)
    try:
        open_deliveries(mine)
        ours, theirs = open_schedules(mine), open_schedules(yours)
        uids = [f"uid-of-{name}" for name in "abc"]
        for name in "abc":
            ours.create(armed(name))
        began, seen = threading.Event(), list[float]()

        def other() -> None:
            assert began.wait(30)
            seen.extend(one.last for one in theirs.take_all(uids[::-1]))

        thread = threading.Thread(target=other)
        thread.start()

        def work() -> None:
            ours.take_all(uids)
            began.set()
            thread.join(0.2)
            assert not seen
            ours.advance_all([Advance(uid, NOW + 1, None) for uid in uids])

        mine.write(lambda session: mine.nested(work))
        thread.join(60)
        assert seen == [NOW + 1] * 3
    finally:
        mine.close()
        yours.close()
