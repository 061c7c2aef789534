"""Where events come from, as data: providers, their types of events, and what can be filtered.

``type`` is a filtering attribute of every one. Events of a channel are not listed: their types are
their publishers', and any attribute can be filtered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobrunner.core.nearest import nearest
from jobrunner.core.problems import Problems
from triggers.core.event_triggers import EventFilter
from triggers.core.google_events import AUDIT, MESSAGE_PUBLISHED, NOTIFICATIONS
from triggers.core.lifecycle_events import (
    DEAD,
    EXECUTION,
    EXECUTION_KINDS,
    EXPIRED,
    MISSED,
)

_SCHEMAS = "https://googleapis.github.io/google-cloudevents/jsonschema/google/events/cloud/"


@dataclass(frozen=True, slots=True)
class FilteringAttribute:
    """Named as in a filter, which may be spelled differently in the event: ``serviceName``."""

    name: str
    description: str
    required: bool = False
    path_pattern: bool = False


@dataclass(frozen=True, slots=True)
class EventType:
    type: str
    description: str
    attributes: tuple[FilteringAttribute, ...]
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """``id`` is the last part of its full name."""

    id: str
    display_name: str
    types: tuple[EventType, ...]

    def full_name(self, project: str, region: str) -> str:
        return f"projects/{project}/locations/{region}/providers/{self.id}"


_TYPE = FilteringAttribute("type", "The type of the event.", required=True)
_BUCKET = FilteringAttribute("bucket", "The bucket that holds the object.", required=True)
_OBJECTS = {
    "finalized": "An object was created or overwritten.",
    "deleted": "An object was deleted for good.",
    "archived": "A live version of an object became a noncurrent one.",
    "metadataUpdated": "The metadata of an object changed.",
}
_AUDITED = (
    _TYPE,
    FilteringAttribute("serviceName", "The service that was called.", required=True),
    FilteringAttribute("methodName", "The method that was called.", required=True),
    FilteringAttribute("resourceName", "The resource that it was called for.", path_pattern=True),
)
_PLACE = (
    FilteringAttribute("project", "The project."),
    FilteringAttribute("region", "The region."),
)
_OF_EXECUTIONS = (
    _TYPE,
    FilteringAttribute("job", "The name of the job.", path_pattern=True),
    FilteringAttribute("execution", "The name of the execution.", path_pattern=True),
    *_PLACE,
)
_CHANGES = {
    "created": "An execution was created.",
    "started": "The first task of an execution started.",
    "stopping": "An execution is being cancelled or stopped.",
    "resumed": "A runner took an execution over from one that was gone.",
    "succeeded": "All tasks of an execution succeeded.",
    "failed": "An execution ended and did not succeed.",
    "cancelled": "An execution was cancelled.",
}
_OF_SCHEDULES = (
    _TYPE,
    FilteringAttribute("schedule", "The name of the schedule.", path_pattern=True),
    *_PLACE,
)
_OF_DELIVERIES = (
    _TYPE,
    FilteringAttribute("sourcekind", "schedule, queue, subscription or event-trigger."),
    FilteringAttribute("sourcename", "The name of what it came from.", path_pattern=True),
    *_PLACE,
)

PROVIDERS = (
    Provider(
        "cloudaudit.googleapis.com",
        "Cloud Audit Logs",
        (
            EventType(
                AUDIT,
                "An entry was written to an audit log.",
                _AUDITED,
                f"{_SCHEMAS}audit/v1/LogEntryData.json",
            ),
        ),
    ),
    Provider(
        "jobrunner.dev",
        "jobrunner",
        (
            *(
                EventType(f"{EXECUTION}{kind}", _CHANGES[kind], _OF_EXECUTIONS)
                for kind in EXECUTION_KINDS
            ),
            EventType(MISSED, "A schedule left out a run that was due.", _OF_SCHEDULES),
            EventType(DEAD, "A delivery was given up.", _OF_DELIVERIES),
            EventType(EXPIRED, "A delivery grew too old.", _OF_DELIVERIES),
        ),
    ),
    Provider(
        "pubsub.googleapis.com",
        "Cloud Pub/Sub",
        (
            EventType(
                MESSAGE_PUBLISHED,
                "A message was published to a topic.",
                (_TYPE,),
                f"{_SCHEMAS}pubsub/v1/MessagePublishedData.json",
            ),
        ),
    ),
    Provider(
        "storage.googleapis.com",
        "Cloud Storage",
        tuple(
            EventType(
                kind,
                _OBJECTS[kind.rpartition(".")[2]],
                (_TYPE, _BUCKET),
                f"{_SCHEMAS}storage/v1/StorageObjectData.json",
            )
            for kind in NOTIFICATIONS.values()
        ),
    ),
)
"""By id."""

_BY_ID = {provider.id: provider for provider in PROVIDERS}
_BY_TYPE = {kind.type: kind for provider in PROVIDERS for kind in provider.types}


def provider(provider_id: str) -> Provider | None:
    return _BY_ID.get(provider_id)


def event_type(name: str) -> EventType | None:
    """``None`` for a type of somebody else's making."""
    return _BY_TYPE.get(name)


def check_attributes(problems: Problems, filters: Iterable[EventFilter], channel: str) -> None:
    """Holds the filters of a trigger to what its type offers. Nothing is said about a type that no
    provider has, nor about one with a channel."""
    given = list(filters)
    kind = next((one.value for one in given if one.attribute == "type"), "")
    known = _BY_TYPE.get(kind)
    if known is None or channel:
        return
    offered = {attribute.name: attribute for attribute in known.attributes}
    for place, one in enumerate(given):
        where = f"eventFilters[{place}]"
        attribute = offered.get(one.attribute)
        if attribute is None:
            guess = nearest(one.attribute, offered)
            hint = f"; did you mean '{guess}'?" if guess else ""
            form = f"allowed: {', '.join(offered)}{hint}"
            problems.add(
                f"{where}.attribute", f"'{one.attribute}' is not filtered for {kind}; {form}"
            )
        elif one.operator and not attribute.path_pattern and one.attribute != "type":
            problems.add(f"{where}.operator", f"'{one.attribute}' is compared exactly for {kind}")
    have = {one.attribute for one in given}
    missing = [name for name, one in offered.items() if one.required and name not in have]
    for name in missing:
        problems.add(
            "eventFilters", f"there is none for the attribute '{name}', which {kind} needs"
        )
