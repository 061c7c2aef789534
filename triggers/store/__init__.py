"""Durable state of the trigger layer, in the database of jobrunner. Table classes are private."""

from __future__ import annotations

from jobrunner.lib.database import Database
from triggers.ports import DeliveryStore, ScheduleStore

__all__ = ["open_deliveries", "open_schedules"]


def open_deliveries(database: Database) -> DeliveryStore:
    """Deliveries in ``database``, its tables of ours created or brought up to date.

    Raises StoreFault if the database cannot be used, or a newer version has written it. Call it
    outside of any transaction.
    """
    from jobrunner.lib.database import DatabaseError
    from triggers.store.schema import ensure
    from triggers.store.sql import SqlDeliveries, fault

    try:
        ensure(database)
    except DatabaseError as error:
        raise fault(error) from error
    return SqlDeliveries(database)


def open_schedules(database: Database) -> ScheduleStore:
    """Schedules and their occurrences in ``database``, once :func:`open_deliveries` has seen to the
    tables."""
    from triggers.store.schedules import SqlSchedules

    return SqlSchedules(database)
