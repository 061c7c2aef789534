"""Queues on a store, with time and ids in the hands of a test."""

from dataclasses import replace
from typing import Any

from jobrunner.core.records import Scope
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import Database
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Ids
from tests.support.deliveries import NOW, TTL, moved
from triggers.core.queues import Queue, Task
from triggers.core.rates import RateLimits
from triggers.core.records import Delivery, HttpTarget, Target
from triggers.core.states import DeliveryEvent
from triggers.ports import Claims, Pace
from triggers.service.queues import Queues
from triggers.store import open_deliveries, open_queues

HERE = Scope("local", "us-central1")
URL = "http://sink.example.com/hook"
SLOW = RateLimits(per_second=5, burst=1, concurrent=1000)


def a_queue(name: str = "mail", limits: RateLimits | None = None, **fields: Any) -> Queue:
    return Queue("", *HERE, name, limits=limits or RateLimits(), **fields)


class QueueBench:
    """``queues`` on ``database``; what it has claimed is in the hands of the test."""

    def __init__(
        self, database: Database, clock: FakeClock | None = None, ids: Ids | None = None
    ) -> None:
        self.database = database
        self.clock = clock or FakeClock(NOW)
        self.store = open_deliveries(database)
        self.queues = Queues(open_queues(database), self.store, self.clock, ids or CountedIds())

    def create(self, name: str = "mail", limits: RateLimits | None = None, **fields: Any) -> Queue:
        return self.queues.create(a_queue(name, limits, **fields))

    def add(self, queue: str = "mail", *names: str, count: int = 0, **fields: Any) -> list[Task]:
        """Tasks of these names, or ``count`` without names."""
        target: Target = fields.pop("target", None) or HttpTarget(URL)
        wanted = names or (None,) * count
        return [
            self.queues.create_task(HERE, queue, name=name, target=target, **fields)
            for name in wanted
        ]

    def claims(self, most: int = 100, *, owner: str = "runner", **options: Any) -> Claims:
        now = self.clock.now()
        values: dict[str, Any] = {"per_place": 1000, "busy": {}}
        return self.store.claim(owner, now=now, ttl=TTL, most=most, **(values | options))

    def claim(self, most: int = 100, **options: Any) -> list[str]:
        """The names of the tasks that are taken."""
        return [short(one) for one in self.claims(most, **options).taken]

    def end(
        self, delivery: Delivery, event: DeliveryEvent, pace: Pace | None = None, **fields: Any
    ) -> None:
        move = moved(delivery, event, at=self.clock.now(), forced=False, **fields)
        assert self.store.record([replace(move, pace=pace)]) == [True]


def short(delivery: Delivery) -> str:
    return delivery.key.rpartition("/")[2]
