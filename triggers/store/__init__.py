"""Durable state of the trigger layer, in the database of jobrunner. Table classes are private."""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.lib.database import Database
from triggers.bucket_ports import BucketStore
from triggers.event_ports import (
    ChannelStore,
    Cursors,
    EventLog,
    EventTriggerStore,
    ServiceBook,
    SubscriptionStore,
)
from triggers.ports import DeliveryStore, PolicyStore, QueueStore, ScheduleStore

__all__ = [
    "Declared",
    "deliveries_in",
    "open_buckets",
    "open_cursors",
    "open_declared",
    "open_deliveries",
    "open_event_log",
    "open_policies",
    "open_queues",
    "open_schedules",
]


@dataclass(frozen=True, slots=True)
class Declared:
    """What people have declared for events."""

    subscriptions: SubscriptionStore
    triggers: EventTriggerStore
    channels: ChannelStore
    services: ServiceBook


def open_deliveries(database: Database) -> DeliveryStore:
    """Deliveries in ``database``, its tables of ours created or brought up to date.

    Raises StoreFault if the database cannot be used, or a newer version has written it. Call it
    outside of any transaction.
    """
    from jobrunner.lib.database import DatabaseError
    from jobrunner.transactions import fault
    from triggers.store.schema import ensure

    try:
        ensure(database)
    except DatabaseError as error:
        raise fault(error) from error
    return deliveries_in(database)


def deliveries_in(database: Database) -> DeliveryStore:
    """Deliveries, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.sql import SqlDeliveries

    return SqlDeliveries(database)


def open_schedules(database: Database) -> ScheduleStore:
    """Schedules and their occurrences in ``database``, once :func:`open_deliveries` has seen to the
    tables."""
    from triggers.store.schedules import SqlSchedules

    return SqlSchedules(database)


def open_queues(database: Database) -> QueueStore:
    """Queues in ``database``, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.queues import SqlQueues

    return SqlQueues(database)


def open_declared(database: Database) -> Declared:
    """Subscriptions, event triggers, channels and services in ``database``, once
    :func:`open_deliveries` has seen to the tables."""
    from triggers.store.resources import (
        SqlChannels,
        SqlEventTriggers,
        SqlServiceBook,
        SqlSubscriptions,
    )

    return Declared(
        SqlSubscriptions(database),
        SqlEventTriggers(database),
        SqlChannels(database),
        SqlServiceBook(database),
    )


def open_policies(database: Database) -> PolicyStore:
    """IAM policies in ``database``, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.policies import SqlPolicies

    return SqlPolicies(database)


def open_buckets(database: Database) -> BucketStore:
    """Directories that stand for buckets, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.buckets import SqlBuckets

    return SqlBuckets(database)


def open_cursors(database: Database) -> Cursors:
    """How far readers of feeds have come, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.cursors import SqlCursors

    return SqlCursors(database)


def open_event_log(database: Database) -> EventLog:
    """Events that have come in of late, once :func:`open_deliveries` has seen to the tables."""
    from triggers.store.event_log import SqlEventLog

    return SqlEventLog(database)
