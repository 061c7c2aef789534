"""What comes of messages that come in, over every store."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.core.spec import ContainerOverride, Overrides
from jobrunner.errors import AlreadyExists, Conflict, InvalidSpec, NotFound
from jobrunner.lib.database import Database, connect
from tests.support.deliveries import NOW, moved, settle
from tests.support.events import Numbers
from tests.support.subscriptions import HERE, Room, a_message, a_subscription
from triggers.core.dead_letters import COUNT, PROJECT, PUBLISH_TIME, SUBSCRIPTION
from triggers.core.events import PubsubMessage
from triggers.core.records import Delivery, JobTarget, PubsubTarget, PushRetry, SourceKind
from triggers.core.states import DeliveryEvent, DeliveryState
from triggers.core.subscriptions import AckPolicy, SubscriptionState, Wrapping
from triggers.ports import DeliveryFilter, Move
from triggers.service.arrivals import Counts, Result
from triggers.service.backlog import SECONDS
from triggers.service.dead_letters import DeadLetters


@pytest.fixture
def room(url: str) -> Iterator[Room]:
    opened: Database = connect(url)
    yield Room(opened)
    opened.close()


# ---------------------------------------------------------------- what is declared


def test_a_subscription_is_made_once_and_found_by_its_name(room: Room) -> None:
    made = room.subscriptions.create(a_subscription())
    assert (made.created_at, made.resource_version) == (NOW, 1)
    assert room.subscriptions.get(HERE, "orders") == made
    with pytest.raises(AlreadyExists):
        room.subscriptions.create(a_subscription())
    with pytest.raises(NotFound) as error:
        room.subscriptions.get(HERE, "order")
    assert error.value.hint == "Did you mean 'orders'?"


def test_what_breaks_a_rule_is_not_stored(room: Room) -> None:
    with pytest.raises(InvalidSpec):
        room.subscriptions.create(a_subscription(filter="kind = 1"))
    made = room.subscriptions.create(a_subscription())
    with pytest.raises(InvalidSpec):
        room.subscriptions.update(HERE, "orders", lambda old: replace(old, ack_deadline=5.0))
    assert room.subscriptions.get(HERE, "orders") == made


def test_a_change_keeps_name_state_and_uid_and_is_refused_for_an_old_version(room: Room) -> None:
    made = room.subscriptions.create(a_subscription())
    paused = room.subscriptions.pause(HERE, "orders")
    changed = room.subscriptions.update(
        HERE, "orders", lambda old: replace(old, ordered=True, uid="x", name="y"), version=2
    )
    assert changed == replace(paused, ordered=True, resource_version=3)
    assert (changed.uid, changed.state) == (made.uid, SubscriptionState.PAUSED)
    with pytest.raises(Conflict):
        room.subscriptions.delete(HERE, "orders", version=2)
    room.subscriptions.delete(HERE, "orders", version=3)
    with pytest.raises(NotFound):
        room.subscriptions.get(HERE, "orders")


def test_a_name_that_several_have_needs_a_place(room: Room) -> None:
    room.subscriptions.create(a_subscription())
    there = room.subscriptions.create(a_subscription(region="europe-west1"))
    with pytest.raises(Conflict) as error:
        room.arrivals.addressed("orders")
    assert "/push/PROJECT/REGION/orders" in str(error.value.hint)
    assert room.arrivals.addressed("orders", there.scope) == there


def test_what_another_process_changed_is_seen_within_a_second(room: Room) -> None:
    room.subscriptions.create(a_subscription())
    assert room.arrivals.addressed("orders").state is SubscriptionState.ACTIVE
    room.another().pause(HERE, "orders")
    assert room.arrivals.addressed("orders").state is SubscriptionState.ACTIVE
    room.clock.advance(1.0)
    assert room.arrivals.addressed("orders").state is SubscriptionState.PAUSED


# ---------------------------------------------------------------- what comes in


def test_a_message_opens_one_delivery_however_often_it_comes(room: Room) -> None:
    subscription = room.subscriptions.create(a_subscription())
    first = room.arrivals.accept(subscription, a_message(), NOW)
    again = room.arrivals.accept(subscription, a_message(), NOW + 60)
    after_restart = room.arrivals.accept(subscription, a_message(at=NOW + 1), NOW + 60)
    assert (first.result, again.result) == (Result.OPENED, Result.AGAIN)
    assert first.delivery is not None
    assert again.delivery is not None
    assert again.delivery.uid == first.delivery.uid
    # The emulator counts from 1 again: another message.
    assert after_restart.result is Result.OPENED
    assert room.arrivals.counts(subscription) == Counts(opened=2, again=1)
    assert room.arrivals.backlog(subscription) == 2


def test_messages_that_come_together_are_taken_as_if_one_came_after_the_other(room: Room) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "plain": {"filter": "attributes:kind"},
        "ordered": {"ordered": True},
        "finished": {"ack": AckPolicy.FINISHED},
        "small": {"backlog": 2},
    }
    messages = [
        a_message("1"), a_message("2", attributes=()), a_message("1"),
        a_message("3", ordering_key="k"), a_message("4", ordering_key="k"), a_message("5"),
    ]  # fmt: skip
    pairs = [
        [room.subscriptions.create(a_subscription(f"{name}-{one}", **fields)) for one in "ab"]
        for name, fields in kinds.items()
    ]
    expected = [room.arrivals.accept(pair[0], one, NOW) for one in messages for pair in pairs]
    arrivals = [(pair[1], one, NOW) for one in messages for pair in pairs]
    taken = room.arrivals.accept_all(arrivals)
    assert [(one.result, one.reason) for one in taken] == [
        (one.result, one.reason) for one in expected
    ]
    for first, second in pairs:
        assert room.arrivals.counts(second) == room.arrivals.counts(first)
        payloads = [
            [(one.payload, one.order_key) for one in room.deliveries.listing(wanted)]
            for wanted in (DeliveryFilter(source_name=each.name) for each in (first, second))
        ]
        assert str(payloads[0]).replace("-a", "-b") == str(payloads[1])
    again = [one.delivery for one in taken if one.result is Result.AGAIN]
    stored = {one.delivery.uid for one in taken if one.result is Result.OPENED and one.delivery}
    assert all(one is not None and one.uid in stored for one in again)


def test_what_the_filter_refuses_is_acknowledged_counted_and_not_stored(room: Room) -> None:
    subscription = room.subscriptions.create(a_subscription(filter='attributes.kind = "b"'))
    taken = room.arrivals.accept(subscription, a_message(), NOW)
    assert (taken.result, taken.acknowledge) == (Result.FILTERED, True)
    assert 'attributes.kind = "b"' in taken.reason
    assert room.arrivals.counts(subscription).filtered == 1
    assert room.deliveries.listing(DeliveryFilter()) == []


def test_a_paused_subscription_takes_nothing_in(room: Room) -> None:
    room.subscriptions.create(a_subscription())
    paused = room.subscriptions.pause(HERE, "orders")
    taken = room.arrivals.accept(paused, a_message(), NOW)
    assert (taken.result, taken.acknowledge) == (Result.PAUSED, False)
    resumed = room.subscriptions.resume(HERE, "orders")
    assert room.arrivals.accept(resumed, a_message(), NOW).result is Result.OPENED


def test_what_no_delivery_can_be_made_of_is_not_acknowledged(room: Room) -> None:
    overrides = Overrides((ContainerOverride(args=("{{ data.message.attributes.missing }}",)),))
    subscription = room.subscriptions.create(
        a_subscription(target=JobTarget("report", "local", "us-central1", overrides))
    )
    taken = room.arrivals.accept(subscription, a_message(), NOW)
    assert (taken.result, taken.acknowledge) == (Result.BROKEN, False)
    assert "missing" in taken.reason


def test_a_backlog_stops_at_its_bound_and_goes_on_when_something_has_settled(room: Room) -> None:
    subscription = room.subscriptions.create(a_subscription(backlog=2, ordered=True))
    keyed = {"ordering_key": "k"}
    for number in ("1", "2"):
        taken = room.arrivals.accept(subscription, a_message(number, **keyed), NOW)
        assert taken.result is Result.OPENED
    full = room.arrivals.accept(subscription, a_message("3", **keyed), NOW)
    assert (full.result, full.acknowledge) == (Result.FULL, False)
    # Those that wait for their turn and those on the wire count; a new runner counts them, too.
    assert room.another().arrivals.accept(subscription, a_message("3"), NOW).result is Result.FULL
    [first] = room.deliveries.claim("r", now=NOW, ttl=15, most=9, per_place=9, busy={}).taken
    assert room.arrivals.backlog(subscription) == 2
    settle(room.deliveries, first)
    room.clock.advance(SECONDS)
    assert room.arrivals.accept(subscription, a_message("3"), NOW).result is Result.OPENED


def test_messages_of_a_key_go_one_after_the_other_where_order_is_kept(room: Room) -> None:
    for name, ordered in (("kept", True), ("free", False)):
        subscription = room.subscriptions.create(a_subscription(name, ordered=ordered))
        for number in ("1", "2"):
            message = a_message(number, ordering_key="a\0b")
            assert room.arrivals.accept(subscription, message, NOW).acknowledge
    taken = room.deliveries.claim("r", now=NOW, ttl=15, most=9, per_place=9, busy={}).taken
    assert sorted(one.source_name for one in taken) == ["free", "free", "kept"]


def test_a_message_that_its_sender_still_has_is_not_too_old(room: Room) -> None:
    subscription = room.subscriptions.create(a_subscription(retry=PushRetry(retention=600.0)))
    for number, at in (("1", NOW - 9000), ("2", NOW - 60), ("3", NOW + 9000)):
        room.arrivals.accept(subscription, a_message(number, at=at), NOW)
    found = room.deliveries.listing(DeliveryFilter(), oldest_first=True)
    assert [one.queued_at for one in found] == [NOW, NOW - 60, NOW]


# ---------------------------------------------------------------- acknowledged when finished


def test_a_delivery_that_pubsub_retries_is_tried_once_and_anew_when_it_comes_again(
    room: Room,
) -> None:
    subscription = room.subscriptions.create(a_subscription(ack=AckPolicy.FINISHED))
    uids = []
    for _ in range(3):
        taken = room.arrivals.accept(subscription, a_message(), NOW)
        assert taken.result is Result.OPENED
        assert room.arrivals.accept(subscription, a_message(), NOW).result is Result.AGAIN
        assert taken.delivery is not None
        uids.append(taken.delivery.uid)
        _ends(room, DeliveryEvent.EXHAUSTED)
    assert len(set(uids)) == 3
    # A runner that remembers nothing finds the same.
    last = room.another().arrivals.accept(subscription, a_message(), NOW)
    assert last.result is Result.OPENED
    assert last.delivery is not None
    _ends(room, DeliveryEvent.ACCEPTED)
    done = room.arrivals.accept(subscription, a_message(), NOW)
    assert done.result is Result.AGAIN
    assert done.delivery is not None
    assert done.delivery.state is DeliveryState.DELIVERED


def _ends(room: Room, event: DeliveryEvent) -> None:
    [one] = room.deliveries.claim("r", now=NOW, ttl=15, most=9, per_place=9, busy={}).taken
    assert room.deliveries.record([moved(one, event)]) == [True]


# ---------------------------------------------------------------- dead letters

DEAD = "projects/local/topics/dead"


@pytest.mark.parametrize("sends", list(Wrapping))
def test_a_message_that_is_given_up_goes_to_the_dead_letter_topic_as_it_came(
    room: Room, sends: Wrapping
) -> None:
    subscription = room.subscriptions.create(
        a_subscription(
            dead_letter_topic=DEAD, sends=sends, retry=PushRetry(max_delivery_attempts=5)
        )
    )
    message = a_message(data=b"\xff\0", ordering_key="k", attributes=(("Content-Type", "a/b"),))
    [copy] = _given_up(room, subscription.name, message)
    assert isinstance(copy.target, PubsubTarget)
    assert (copy.target.topic, copy.target.data) == (DEAD, b"\xff\0")
    assert copy.target.ordering_key == "k"
    assert dict(copy.target.attributes) == {
        "Content-Type": "a/b",
        COUNT: "5",
        SUBSCRIPTION: "orders",
        PROJECT: "local",
        PUBLISH_TIME: message.publish_time,
    }


def test_a_message_for_a_job_is_a_dead_letter_as_it_came(room: Room) -> None:
    subscription = room.subscriptions.create(
        a_subscription(
            target=JobTarget("report"),
            dead_letter_topic=DEAD,
            topic="projects/local/topics/orders",
            retry=PushRetry(max_delivery_attempts=5),
        )
    )
    [copy] = _given_up(room, subscription.name, a_message(data=b'{"a":1}'))
    assert isinstance(copy.target, PubsubTarget)
    assert copy.target.data == b'{"a":1}'
    assert dict(copy.target.attributes)["kind"] == "a"


def test_what_pubsub_retries_and_what_has_no_topic_is_no_dead_letter_of_ours(room: Room) -> None:
    room.subscriptions.create(
        a_subscription("finished", dead_letter_topic=DEAD, ack=AckPolicy.FINISHED)
    )
    room.subscriptions.create(a_subscription("plain"))
    assert _given_up(room, "finished", a_message()) == []
    assert _given_up(room, "plain", a_message()) == []


def _given_up(room: Room, name: str, message: PubsubMessage) -> list[Delivery]:
    subscription = room.subscriptions.get(HERE, name)
    taken = room.arrivals.accept(subscription, message, NOW)
    assert taken.delivery is not None
    dead = replace(taken.delivery, state=DeliveryState.DEAD, attempts=5)
    letters = DeadLetters(room.declared.subscriptions, room.deliveries, room.clock, Prefixed())
    move = Move(taken.delivery, DeliveryEvent.EXHAUSTED, dead)
    letters.recorded([move])
    letters.recorded([move])
    found = room.deliveries.listing(DeliveryFilter(source=SourceKind.SUBSCRIPTION))
    return [one for one in found if isinstance(one.target, PubsubTarget)]


class Prefixed(Numbers):
    def uid(self) -> str:
        return f"letter-{super().uid()}"
