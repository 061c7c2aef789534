"""Events, triggers and the rooms that bring them together."""

import itertools
from dataclasses import replace
from typing import Any

from jobrunner.core.records import Scope
from jobrunner.lib.clock import SystemClock
from jobrunner.lib.database import Database
from triggers.core.event_triggers import EventFilter, EventTrigger, HttpDestination
from triggers.core.events import CloudEvent, DataKind, Extension
from triggers.ports import DeliveryStore
from triggers.service.backlog import Backlogs
from triggers.service.events import Events
from triggers.store import Declared, open_declared, open_deliveries, open_event_log

HERE = Scope("local", "us-central1")
MADE = "com.example.made"
SINK = "http://sink.example.com/e"


class Numbers:
    """Uids that are counted."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def uid(self) -> str:
        return f"uid-{next(self._numbers)}"

    def suffix(self) -> str:
        return f"{next(self._numbers):05d}"


def an_event(event_id: str = "1", event_type: str = MADE, **fields: Any) -> CloudEvent:
    event = CloudEvent(
        event_id, "//example.com/shop", event_type, data=b'{"a":1}', kind=DataKind.JSON,
        datacontenttype="application/json", extensions=(Extension("colour", "red"),),
    )  # fmt: skip
    return replace(event, **fields)


def a_trigger(name: str = "made", **fields: Any) -> EventTrigger:
    values: dict[str, Any] = {
        "uid": f"uid-of-{name}",
        "project": "local",
        "region": "us-central1",
        "name": name,
        "filters": (EventFilter("type", MADE),),
        "destination": HttpDestination(SINK),
    }
    return EventTrigger(**(values | fields))


def rooms(database: Database, **options: Any) -> tuple[Events, Declared, DeliveryStore]:
    """Events over a database, and what they work with."""
    deliveries, declared = open_deliveries(database), open_declared(database)
    kept = open_event_log(database)
    backlogs = Backlogs(options.pop("machine", None) or SystemClock())
    events = Events(declared.triggers, deliveries, kept, Numbers(), backlogs, **options)
    return events, declared, deliveries
