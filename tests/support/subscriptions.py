"""Subscriptions, messages and the room that brings them together."""

from typing import Any

from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import Database
from tests.support.deliveries import NOW
from tests.support.events import Numbers
from triggers.core.events import PubsubMessage
from triggers.core.records import HttpTarget
from triggers.core.subscriptions import Subscription
from triggers.ports import DeliveryStore
from triggers.service.arrivals import Arrivals
from triggers.service.subscriptions import Subscriptions
from triggers.store import open_declared, open_deliveries

HERE = Scope("local", "us-central1")
SINK = "http://sink.example.com/e"


def a_subscription(name: str = "orders", **fields: Any) -> Subscription:
    values: dict[str, Any] = {
        "uid": "",
        "project": "local",
        "region": "us-central1",
        "name": name,
        "target": HttpTarget(SINK),
    }
    return Subscription(**(values | fields))


def a_message(message_id: str = "1", at: float = NOW, **fields: Any) -> PubsubMessage:
    values: dict[str, Any] = {"data": b"hello", "attributes": (("kind", "a"),)}
    return PubsubMessage(message_id, format_time(at), at, **(values | fields))


class Room:
    def __init__(self, database: Database) -> None:
        self.clock = FakeClock(NOW)
        self.deliveries: DeliveryStore = open_deliveries(database)
        self.declared = open_declared(database)
        self.subscriptions = self.another()

    @property
    def arrivals(self) -> Arrivals:
        return self.subscriptions.arrivals

    def another(self) -> Subscriptions:
        """As of a runner that has just begun."""
        return Subscriptions(
            self.declared.subscriptions, self.deliveries, self.clock, self.clock, Numbers()
        )
