"""What the topic of an event trigger brings, over every store."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from jobrunner.core.timestamps import format_time
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import Database
from tests.support.events import Numbers, a_trigger, rooms
from triggers.core.event_triggers import EventFilter, EventTrigger, Transport
from triggers.core.events import PubsubMessage
from triggers.event_ports import Response
from triggers.ports import DeliveryFilter, DeliveryStore
from triggers.service.consuming import Counter, TriggerConsumer

NOW = 1_750_000_000.0
TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
T = TypeVar("T")


def a_pulled_trigger(backlog: int) -> EventTrigger:
    transport = Transport("projects/local/topics/made", "projects/local/subscriptions/made")
    return replace(
        a_trigger(filters=(EventFilter("type", TYPE),)), transport=transport, backlog=backlog
    )


def messages(*ids: str) -> list[PubsubMessage]:
    return [PubsubMessage(id, format_time(NOW), NOW, b"x") for id in ids]


def consumer(database: Database, trigger: EventTrigger) -> tuple[TriggerConsumer, DeliveryStore]:
    events, declared, deliveries = rooms(database, machine=FakeClock(NOW))
    declared.triggers.create(trigger)

    async def commit(work: Callable[[], T]) -> T:
        return work()

    desk = Counter(commit, FakeClock(NOW), Numbers(), deliveries, lambda: None)  # type: ignore[arg-type]
    return TriggerConsumer(trigger, events, desk), deliveries


async def test_what_may_not_wait_here_stays_in_pubsub(database: Database) -> None:
    pulls, deliveries = consumer(database, a_pulled_trigger(backlog=2))
    assert await pulls.take(messages("1", "2")) == [Response.ACKNOWLEDGE] * 2
    assert await pulls.take(messages("3")) == [Response.LATER]
    assert len(deliveries.listing(DeliveryFilter())) == 2
