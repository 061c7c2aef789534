"""What carries events to triggers: names, messages, and what is made in Pub/Sub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tests.support.events import a_trigger
from triggers.core.event_triggers import EventFilter, EventTrigger, Transport
from triggers.core.events import PubsubMessage
from triggers.core.google_events import AUDIT, MESSAGE_PUBLISHED, audit_entry
from triggers.core.transports import carried, carried_event, transport_of
from triggers.errors import InvalidEvent
from triggers.event_ports import EventTriggerStore, PubsubTrouble
from triggers.service.transports import Transports

TOPIC, SUBSCRIPTION = "projects/local/topics/made", "projects/local/subscriptions/made"
FINALIZED = "google.cloud.storage.object.v1.finalized"


def of_type(event_type: str, **more: Any) -> EventTrigger:
    transport = Transport(TOPIC, SUBSCRIPTION)
    return a_trigger(filters=(EventFilter("type", event_type),), transport=transport, **more)


def message(data: bytes = b"", **attributes: str) -> PubsubMessage:
    pairs = tuple((key.replace("_", "-"), value) for key, value in attributes.items())
    return PubsubMessage("7", "2026-01-01T00:00:00Z", 1767225600.0, data, pairs)


@dataclass
class Fake:
    """A Pub/Sub that remembers what was asked of it, and may be away."""

    topics: set[str] = field(default_factory=set)
    subscriptions: dict[str, str] = field(default_factory=dict)
    away: bool = False
    made: asyncio.Event = field(default_factory=asyncio.Event)

    def _reached(self) -> None:
        if self.away:
            raise PubsubTrouble("nobody is there")

    async def make_topic(self, name: str) -> None:
        self._reached()
        self.topics.add(name)

    async def make_subscription(self, name: str, topic: str) -> None:
        self._reached()
        self.subscriptions[name] = topic
        self.made.set()

    async def drop_topic(self, name: str) -> None:
        self._reached()
        self.topics.discard(name)

    async def drop_subscription(self, name: str) -> None:
        self._reached()
        self.subscriptions.pop(name, None)


class Kept:
    def __init__(self, *triggers: EventTrigger) -> None:
        self._triggers = triggers

    def listing(self, *_: object, **__: object) -> Sequence[EventTrigger]:
        return self._triggers


def transports(fake: Fake | None, *triggers: EventTrigger, pause: float = 5.0) -> Transports:
    return Transports(cast(EventTriggerStore, Kept(*triggers)), fake, pause=pause)


def test_a_transport_is_named_as_eventarc_names_it() -> None:
    named = transport_of(a_trigger("orders"), "seed")
    stem, _, digits = named.topic.rpartition("-")
    assert stem == "projects/local/topics/eventarc-us-central1-orders"
    assert digits.isdecimal()
    assert len(digits) == 3
    assert named.subscription == (
        f"projects/local/subscriptions/eventarc-us-central1-orders-sub-{digits}"
    )
    assert transport_of(a_trigger("orders"), "seed") == named
    given = transport_of(a_trigger("orders", transport=Transport(TOPIC, own_topic=True)), "seed")
    assert (given.topic, given.own_topic) == (TOPIC, True)


def test_events_of_channels_and_of_others_need_no_transport() -> None:
    assert carried(of_type(MESSAGE_PUBLISHED))
    assert not carried(of_type(MESSAGE_PUBLISHED, channel="projects/p/locations/l/channels/c"))
    assert not carried(of_type("com.example.made"))
    assert not carried(replace(of_type(FINALIZED), transport=Transport()))


def test_a_message_is_what_the_type_of_the_trigger_says() -> None:
    event = carried_event(of_type(MESSAGE_PUBLISHED), message(b"hello", eventType="x"))
    assert (event.type, event.source) == (MESSAGE_PUBLISHED, f"//pubsub.googleapis.com/{TOPIC}")
    assert json.loads(event.data)["subscription"] == SUBSCRIPTION
    notice = message(eventType="OBJECT_FINALIZE", bucketId="b", objectId="o")
    assert carried_event(of_type(FINALIZED), notice).type == FINALIZED
    bound = message(ce_specversion="1.0", ce_id="1", ce_source="//x", ce_type="google.a.b")
    assert carried_event(of_type("google.a.b"), bound).id == "1"
    entry = audit_entry(
        project="p", service="s.example.com", method="m", resource="r", at=1.0, insert_id="i"
    )
    found = carried_event(of_type(AUDIT), message(json.dumps(entry).encode()))
    assert (found.type, found.attribute("methodname")) == (AUDIT, "m")


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff", b"[]", b'{"logName": 5}'])
def test_a_message_that_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEvent, match="no event"):
        carried_event(of_type(AUDIT), message(data))


async def test_what_a_trigger_needs_is_made_and_goes_with_it() -> None:
    fake, trigger = Fake(), of_type(MESSAGE_PUBLISHED)
    one = transports(fake)
    assert await one.settle(trigger)
    assert (fake.topics, fake.subscriptions) == ({TOPIC}, {SUBSCRIPTION: TOPIC})
    assert one.conditions(trigger) == ()
    await one.remove(trigger)
    assert (fake.topics, fake.subscriptions) == (set(), {})


async def test_a_topic_of_somebody_else_stays() -> None:
    fake = Fake({TOPIC}, {SUBSCRIPTION: TOPIC})
    trigger = of_type(MESSAGE_PUBLISHED)
    own = replace(trigger, transport=replace(trigger.transport, own_topic=True))
    await transports(fake).remove(own)
    assert (fake.topics, fake.subscriptions) == ({TOPIC}, {})


async def test_a_transport_that_cannot_be_made_is_a_condition_until_it_is_there() -> None:
    fake, trigger = Fake(away=True), of_type(MESSAGE_PUBLISHED)
    one = transports(fake, trigger, pause=0.001)
    assert not await one.settle(trigger)
    (condition,) = one.conditions(trigger)
    assert (condition.code, condition.message) == ("UNAVAILABLE", "nobody is there")
    running = asyncio.ensure_future(one.run())
    fake.away = False
    async with asyncio.timeout(10):
        await fake.made.wait()
    assert one.conditions(trigger) == ()
    running.cancel()
    assert fake.subscriptions == {SUBSCRIPTION: TOPIC}


async def test_without_a_pub_sub_nothing_is_made_and_a_condition_says_it() -> None:
    trigger = of_type(MESSAGE_PUBLISHED)
    one = transports(None)
    assert not await one.settle(trigger)
    (condition,) = one.conditions(trigger)
    assert condition.code == "FAILED_PRECONDITION"
    assert one.conditions(of_type("com.example.made")) == ()
    await one.remove(trigger)
    async with asyncio.timeout(5):
        await one.run()
