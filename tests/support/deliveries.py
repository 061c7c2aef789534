"""Values that a store of deliveries takes."""

from dataclasses import replace
from typing import Any

from jobrunner.lib.database import Database
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    HttpTarget,
    Ruling,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.states import SETTLED_DELIVERIES, DeliveryEvent, step
from triggers.ports import DeliveryStore, Move
from triggers.store import open_deliveries

NOW = 1_750_000_000.0
TTL = 15.0
URL = "http://sink.example.com/hook"


def a_delivery(key: str = "1", **fields: Any) -> Delivery:
    values: dict[str, Any] = {
        "uid": f"uid-of-{fields.get('source_name', 's')}-{key}",
        "project": "local",
        "region": "us-central1",
        "source": SourceKind.SCHEDULE,
        "source_name": "s",
        "key": key,
        "target": HttpTarget(URL),
        "retry": ScheduleRetry(retry_count=3),
        "created_at": NOW,
        "queued_at": NOW,
        "not_before": NOW,
    }
    return Delivery(**(values | fields))


def an_attempt(delivery: Delivery, **fields: Any) -> DeliveryAttempt:
    values: dict[str, Any] = {
        "delivery": delivery.uid,
        "number": delivery.attempts + delivery.unknown + 1,
        "started_at": NOW,
        "ended_at": NOW + 1,
        "status": 200,
        "ruling": Ruling.ACCEPT,
    }
    return DeliveryAttempt(**(values | fields))


def moved(before: Delivery, event: DeliveryEvent, *, at: float = NOW, **fields: Any) -> Move:
    """The move that ``event`` makes; the lease is given up, one attempt more is counted where one
    was on the wire."""
    state = step(before.state, event)
    values: dict[str, Any] = {
        "state": state,
        "lease_owner": None,
        "lease_until": None,
        "settled_at": at if state in SETTLED_DELIVERIES else None,
    }
    if before.lease_owner is not None:
        lost = event is DeliveryEvent.LEASE_EXPIRED
        values["unknown" if lost else "attempts"] = 1 + (
            before.unknown if lost else before.attempts
        )
    return Move(before, event, replace(before, **(values | fields)))


def settle(store: DeliveryStore, delivery: Delivery) -> None:
    """As if its target had said yes; ``delivery`` is SENDING."""
    assert store.record([moved(delivery, DeliveryEvent.ACCEPTED)]) == [True]


def fresh(database: Database) -> DeliveryStore:
    return open_deliveries(database)
