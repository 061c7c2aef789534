"""Notifications of storage and entries of audit logs that come by a subscription of ours, and
entries that are posted as they are."""

import json
from typing import Any

import pytest

from jobrunner.lib.clock import SystemClock
from jobrunner.lib.database import connect
from tests.support.deliveries import NOW
from tests.support.events import Numbers, a_trigger
from tests.support.subscriptions import Room, a_message, a_subscription
from triggers.api.events.log_entries import read_entries
from triggers.core.event_triggers import EventFilter
from triggers.core.google_events import AUDIT, OBJECT, audit_entry
from triggers.core.records import Delivery, SourceKind
from triggers.errors import InvalidEvent
from triggers.ports import DeliveryFilter
from triggers.service.arrivals import Result
from triggers.service.backlog import Backlogs
from triggers.service.events import Events
from triggers.service.message_events import MessageEvents
from triggers.store import open_event_log

FINALIZED = f"{OBJECT}finalized"
NOTICE = (
    ("eventType", "OBJECT_FINALIZE"), ("bucketId", "photos"), ("objectId", "a/Ü.jpg"),
    ("objectGeneration", "17"), ("payloadFormat", "NONE"), ("ce-jobrunnerhops", "2"),
)  # fmt: skip
ENTRY = audit_entry(
    project="p",
    service="storage.googleapis.com",
    method="storage.objects.create",
    resource="projects/_/buckets/b/objects/o",
    at=NOW,
    insert_id="i1",
)
JSON = [("Content-Type", "application/json; charset=utf-8")]


class Desk:
    """A subscription whose messages are looked at for events."""

    def __init__(self, *kinds: str) -> None:
        database = connect("sqlite:///:memory:")
        self.room = Room(database)
        for kind in kinds:
            trigger = a_trigger(kind.rpartition(".")[2], filters=(EventFilter("type", kind),))
            self.room.declared.triggers.create(trigger)
        events = Events(
            self.room.declared.triggers, self.room.deliveries, open_event_log(database), Numbers(),
            Backlogs(SystemClock()),
        )  # fmt: skip
        self.room.arrivals.listen(MessageEvents(events).taken)
        self.subscription = self.room.subscriptions.create(a_subscription())

    def take(self, **fields: Any) -> Result:
        message = a_message(**fields)
        return self.room.arrivals.accept(self.subscription, message, NOW).result

    def told(self) -> list[Delivery]:
        wanted = DeliveryFilter(source=SourceKind.EVENT_TRIGGER)
        return list(self.room.deliveries.listing(wanted, oldest_first=True))


def test_a_notification_of_storage_reaches_triggers_beside_the_target() -> None:
    desk = Desk(FINALIZED)
    assert desk.take(attributes=NOTICE, data=b"") is Result.OPENED
    [event] = desk.told()
    assert event.payload is not None
    headers = dict(event.payload.headers)
    assert (headers["ce-bucket"], headers["ce-type"]) == ("photos", FINALIZED)
    assert headers["ce-subject"] == "objects/a/%C3%9C.jpg"
    assert json.loads(event.payload.body)["generation"] == "17"
    assert event.hops == 2
    assert desk.take(attributes=NOTICE, data=b"") is Result.AGAIN
    assert len(desk.told()) == 1


def test_an_entry_of_an_audit_log_does_too() -> None:
    desk = Desk(AUDIT)
    desk.take(data=json.dumps(ENTRY).encode())
    [event] = desk.told()
    assert event.payload is not None
    assert dict(event.payload.headers)["ce-methodname"] == "storage.objects.create"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": b'{"protoPayload": 1'},
        {"data": b'{"protoPayload": {}, "logName": "projects/p/logs/other"}'},
        {"attributes": (*NOTICE[1:], ("eventType", "OBJECT_SEEN"))},
        {"attributes": NOTICE, "data": b"\xff", "broken": True},
    ],
)
def test_any_other_message_goes_to_its_target_alone(fields: dict[str, Any]) -> None:
    desk = Desk(FINALIZED, AUDIT)
    if fields.pop("broken", False):
        shown = ("payloadFormat", "JSON_API_V1")
        attributes = tuple(shown if one[0] == shown[0] else one for one in NOTICE)
        fields["attributes"] = attributes
    assert desk.take(**fields) is Result.OPENED
    assert desk.told() == []


def test_what_nobody_waits_for_is_not_made() -> None:
    desk = Desk()
    assert desk.take(attributes=NOTICE, data=b"") is Result.OPENED
    assert desk.told() == []


@pytest.mark.parametrize(
    "body", [ENTRY, [ENTRY, ENTRY], {"entries": [ENTRY], "logName": "ignored"}]
)
def test_entries_are_read_alone_in_a_list_and_as_logging_takes_them(body: Any) -> None:
    found = read_entries(JSON, json.dumps(body).encode())
    assert found is not None
    assert {one.type for one in found} == {AUDIT}
    assert len(found) == (2 if isinstance(body, list) else 1)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b"{}"),
        (JSON, b'{"protoPayload"'),
        (JSON, b'["protoPayload"]'),
        (JSON, b'{"entries": [], "protoPayload": {}}'),
        ([], json.dumps(ENTRY).encode()),
        ([("content-type", "application/cloudevents+json")], json.dumps(ENTRY).encode()),
        ([*JSON, ("ce-id", "1")], json.dumps(ENTRY).encode()),
    ],
)
def test_anything_else_is_read_as_an_event(headers: list[tuple[str, str]], body: bytes) -> None:
    assert read_entries(headers, body) is None


def test_a_broken_entry_is_refused_by_the_name_of_its_field() -> None:
    broken = {**ENTRY, "timestamp": "yesterday"}
    with pytest.raises(InvalidEvent) as refused:
        read_entries(JSON, json.dumps(broken).encode())
    assert refused.value.violations[0].field == "timestamp"
    with pytest.raises(InvalidEvent, match="too many"):
        read_entries(JSON, json.dumps([ENTRY] * 1001).encode())
