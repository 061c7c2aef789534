"""Sending by hand, lists, withdrawing, replays, purges and retention, as documents."""

from base64 import b64encode
from typing import Any

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec, NotFound, Refused, StoreFault
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from tests.support.deliveries import NOW, TTL, a_delivery, moved
from tests.support.dispatching import commit_at_once
from tests.support.schedules import World
from triggers.core.records import Ack, HttpTarget, JobTarget, ManualRetry, OidcToken, SourceKind
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.ports import DeliveryFilter
from triggers.service.deliveries import REPLAYED_AT_ONCE, Deliveries
from triggers.service.keeping import DAY, Keeping, KeepingTimes
from triggers.service.replaying import Replays

HOME = Scope("local", "us-central1")


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        world = World(clock=self.clock)
        self.database, self.store = world.jobs.database, world.deliveries
        replays = Replays(world.service.firing, world.store)
        self.does = Deliveries(self.store, replays, self.clock, CountedIds(), HOME)

    def dead(self, *keys: str, event: Event = Event.REJECTED, **fields: Any) -> list[str]:
        """Letters with these keys; their uids."""
        found = [self.store.open(a_delivery(key, **fields)).uid for key in keys]
        now = self.clock.now()
        claims = self.store.claim("x", now=now, ttl=TTL, most=99, per_place=999, busy={})
        self.store.record([moved(one, event, at=now) for one in claims.taken])
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_is_sent_by_hand_is_opened_with_all_that_was_said(desk: Desk) -> None:
    answer = desk.does.send(
        {
            "http": {
                "url": "https://x.example.com/a",
                "method": "PUT",
                "headers": {"X-A": "b"},
                "body": b64encode(b"hi").decode(),
                "attemptDeadline": "30s",
                "serviceAccount": "me@example.com",
            },
            "retry": {"retryCount": 3, "minBackoff": "1s", "maxBackoff": "1m", "maxDoublings": 2},
            "orderKey": "o",
            "delay": "1h",
        }
    )
    one = desk.store.get(answer["uid"])
    assert one.target == HttpTarget(
        "https://x.example.com/a",
        method="PUT",
        headers=(("X-A", "b"),),
        body=b"hi",
        token=OidcToken("me@example.com"),
        deadline=30.0,
    )
    assert one.retry == ManualRetry(3, 0.0, 1.0, 60.0, 2)
    assert (one.source, one.source_name) == (SourceKind.MANUAL, "")
    assert (one.order_key, one.not_before, one.key) == ("o", NOW + 3600, one.uid)


@pytest.mark.parametrize(
    ("said", "count"),
    [({}, 5), ({"retryCount": 0}, 0), ({"maxRetryDuration": "1h"}, None), ({"retryCount": 99}, 99)],
)
def test_a_duration_alone_is_the_only_limit_of_retries(
    desk: Desk, said: dict[str, Any], count: int | None
) -> None:
    answer = desk.does.send({"job": {"name": "j"}, "retry": said})
    policy = desk.store.get(answer["uid"]).retry
    assert isinstance(policy, ManualRetry)
    assert policy.retry_count == count


def test_a_job_is_in_the_place_of_the_call_unless_it_says_otherwise(desk: Desk) -> None:
    first = desk.does.send({"region": "here", "job": {"name": "j", "acknowledgedOn": "success"}})
    assert desk.store.get(first["uid"]).target == JobTarget("j", region="here", ack=Ack.ON_SUCCESS)
    second = desk.does.send({"job": {"name": "j", "project": "p", "region": "r"}})
    assert desk.store.get(second["uid"]).target == JobTarget("j", "p", "r")


def test_the_same_key_is_sent_once(desk: Desk) -> None:
    body = {"job": {"name": "j"}, "key": "k"}
    assert desk.does.send(body) == desk.does.send(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"job": {"name": "j"}, "http": {"url": "http://x"}}, ""),
        ({"job": {"name": "j"}, "colour": "red"}, "colour"),
        ({"job": {"name": "j"}, "key": 7}, "key"),
        ({"job": {"name": "j"}, "key": "\0"}, "key"),
        ({"job": {"name": "j"}, "key": "\ud800"}, "key"),
        ({"job": "j"}, "job"),
        ({"job": {"name": ""}, "retry": {}}, "jobTarget.job"),
        ({"job": {"name": "j"}, "retry": {"retryCount": True}}, "retry.retryCount"),
        ({"job": {"name": "j"}, "retry": {"maxDoublings": -1}}, "retry.maxDoublings"),
        ({"http": {"url": "http://x", "headers": {"A": 1}}}, "http.headers.A"),
        ({"http": {"url": "http://x", "attemptDeadline": "1s"}}, "attemptDeadline"),
    ],
)
def test_a_broken_field_is_named(desk: Desk, body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        desk.does.send(body)
    assert field in [violation.field for violation in refused.value.violations]


@pytest.mark.parametrize(
    ("column", "value"), [("target", "{"), ("retry", "{}"), ("payload", "[]"), ("source", "moon")]
)
def test_one_that_cannot_be_read_keeps_nobody_from_seeing_and_replaying_the_others(
    desk: Desk, column: str, value: str
) -> None:
    good, bad = desk.dead("a", "b")
    sql = f"UPDATE deliveries SET {column} = ? WHERE uid = ?"
    desk.database.write(lambda s: s.execute(sql, (value, bad)))
    first, second = desk.does.listing({})["deliveries"]
    assert (first["uid"], first["state"], second["uid"]) == (bad, "DEAD", good)
    assert "cannot be read" in first["damaged"]
    assert "damaged" not in second
    page = desk.does.listing({"pageSize": "1"})
    assert desk.does.listing({"pageToken": page["nextPageToken"]})["deliveries"] == [second]
    answer = desk.does.replay({"state": "dead"})
    assert [one["parent"] for one in answer["replayed"]] == [good]
    assert ([one["uid"] for one in answer["damaged"]], answer["replayedBefore"]) == ([bad], 0)
    with pytest.raises(StoreFault):
        desk.does.describe(bad)


def test_a_list_goes_by_pages_and_by_filters(desk: Desk) -> None:
    desk.dead("a", "b")
    desk.store.open(a_delivery("c", created_at=NOW - 100))
    desk.store.open(a_delivery("d", project="elsewhere"))

    def keys(**query: str) -> list[str]:
        return [one["key"] for one in desk.does.listing(query)["deliveries"]]

    assert keys() == ["c", "b", "a"]
    assert keys(project="elsewhere") == ["d"]
    assert keys(state="dead,expired") == ["b", "a"]
    assert keys(olderThan="50s") == ["c"]
    assert keys(newerThan="50s") == ["b", "a"]
    page = desk.does.listing({"pageSize": "2"})
    assert page["nextPageToken"] == page["deliveries"][-1]["uid"]
    rest = desk.does.listing({"pageSize": "2", "pageToken": page["nextPageToken"]})
    assert [one["key"] for one in rest["deliveries"]] == ["a"]
    assert "nextPageToken" not in rest
    assert desk.does.count({})["counts"] == {"PENDING": 1, "DEAD": 2}


def test_a_delivery_that_has_settled_cannot_be_withdrawn(desk: Desk) -> None:
    (dead,) = desk.dead("a")
    with pytest.raises(Refused, match="it is DEAD"):
        desk.does.withdraw(dead, "me")
    with pytest.raises(NotFound):
        desk.does.withdraw("x", "me")
    one = desk.store.open(a_delivery("b"))
    assert desk.does.withdraw(one.uid, "me")["reason"] == "withdrawn by me"


def test_replays_come_at_the_rate_that_was_asked_for_oldest_first(desk: Desk) -> None:
    letters = desk.dead("a", "b", "c")
    plan = desk.does.replay({"dryRun": True, "rate": "2/s"})
    assert [one["parent"] for one in plan["replayed"]] == letters
    assert desk.store.count(DeliveryFilter()) == {State.DEAD: 3}
    done = desk.does.replay({"rate": "2/s"})
    again = [desk.store.get(one["uid"]) for one in done["replayed"]]
    assert [one.not_before - NOW for one in again] == [0.0, 0.5, 1.0]
    assert [one.parent for one in again] == letters
    assert desk.does.replay({})["replayedBefore"] == 3
    assert desk.store.count(DeliveryFilter()) == {State.DEAD: 3, State.PENDING: 3}
    assert desk.does.describe(letters[0])["replayedBy"] == again[0].uid


def test_a_replay_that_dies_is_a_letter_of_its_own(desk: Desk) -> None:
    (letter,) = desk.dead("a")
    (first,) = desk.does.replay({"uid": letter})["replayed"]
    desk.dead()
    with pytest.raises(Refused, match="replayed already"):
        desk.does.replay({"uid": letter})
    (second,) = desk.does.replay({"uid": first["uid"]})["replayed"]
    assert desk.store.get(second["uid"]).parent == first["uid"]


def test_very_many_letters_are_replayed_in_portions_that_keep_the_rate(desk: Desk) -> None:
    keys = [str(number) for number in range(REPLAYED_AT_ONCE + 3)]
    for key in keys:
        desk.store.open(a_delivery(key))
    while desk.store.count(DeliveryFilter()).get(State.PENDING):
        desk.dead()
    first = desk.does.replay({"rate": "10/s"})
    assert (len(first["replayed"]), first["more"]) == (REPLAYED_AT_ONCE, True)
    rest = {name: first[name] for name in ("after", "startTime")}
    second = desk.does.replay({"rate": "10/s", **rest})
    assert len(second["replayed"]) == 3
    assert "more" not in second
    last = max(one.not_before for one in desk.store.listing(DeliveryFilter()))
    assert last == pytest.approx(NOW + (len(keys) - 1) / 10, abs=0.001)


@pytest.mark.parametrize("rate", ["0/s", "5", "5/d", "-1/s", "1e9/s"])
def test_a_rate_that_is_none_is_refused(desk: Desk, rate: str) -> None:
    with pytest.raises(InvalidSpec, match="is not a rate"):
        desk.does.replay({"rate": rate})


def test_only_what_was_given_up_is_replayed_and_only_what_settled_is_purged(desk: Desk) -> None:
    one = desk.store.open(a_delivery("a"))
    with pytest.raises(Refused, match="is PENDING"):
        desk.does.replay({"uid": one.uid})
    with pytest.raises(InvalidSpec, match="only what was given up"):
        desk.does.replay({"state": "delivered"})
    with pytest.raises(InvalidSpec, match="PENDING has not settled"):
        desk.does.purge({"state": "pending"})


def test_a_purge_removes_letters_unless_told_otherwise_and_counts_from_their_end(
    desk: Desk,
) -> None:
    desk.dead("a")
    desk.clock.advance(100)
    desk.dead("b", not_before=NOW)
    desk.dead("c", event=Event.ACCEPTED)
    desk.clock.advance(1)
    assert desk.does.purge({"dryRun": True}) == {"dryRun": True, "deleted": 2}
    assert desk.does.purge({"olderThan": "50s"})["deleted"] == 1
    assert desk.does.purge({})["deleted"] == 1
    assert desk.store.count(DeliveryFilter()) == {State.DELIVERED: 1}
    assert desk.does.purge({"state": "delivered"})["deleted"] == 1


async def test_what_is_done_goes_before_what_was_given_up(desk: Desk) -> None:
    desk.dead("a")
    desk.dead("b", event=Event.ACCEPTED)
    keeping = Keeping(desk.store, commit_at_once, desk.clock, KeepingTimes())
    assert await keeping.round() == 0
    desk.clock.advance(7 * DAY + 1)
    assert await keeping.round() == 1
    assert desk.store.count(DeliveryFilter()) == {State.DEAD: 1}
    desk.clock.advance(24 * DAY)
    assert await keeping.round() == 1
