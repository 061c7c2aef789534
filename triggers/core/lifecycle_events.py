"""What happens in jobrunner itself, as events: executions, missed occurrences, dead letters.

Types begin with ``dev.jobrunner.``; docs/reference/events.md lists them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jobrunner.core.records import ExecutionChange
from jobrunner.core.timestamps import format_time
from triggers.core.events import CloudEvent, DataKind, Extension
from triggers.core.google_events import in_uri
from triggers.core.records import (
    Delivery,
    HttpTarget,
    JobTarget,
    Occurrence,
    PubsubTarget,
    Schedule,
    SourceKind,
)
from triggers.core.states import DeliveryState

PREFIX = "dev.jobrunner."
EXECUTION = f"{PREFIX}execution.v1."
EXECUTION_KINDS = (
    "created", "started", "stopping", "resumed", "succeeded", "failed", "cancelled",
)  # fmt: skip
MISSED = f"{PREFIX}schedule.v1.missed"
DEAD = f"{PREFIX}delivery.v1.dead"
EXPIRED = f"{PREFIX}delivery.v1.expired"
DEAD_LETTERS = frozenset({DEAD, EXPIRED})

MAX_HOPS = 8
"""An event that more of ours than that led to is delivered to nobody."""


def goes_round(hops: int) -> str:
    """Why nobody gets an event that so many of our own led to; empty where somebody may."""
    if hops <= MAX_HOPS:
        return ""
    return f"{hops} events of our own led to it; more than {MAX_HOPS} go round"


_SCHEMAS = "https://jobrunner.dev/schemas/"
_PLURALS = {
    SourceKind.SCHEDULE: "schedules",
    SourceKind.QUEUE: "queues",
    SourceKind.SUBSCRIPTION: "subscriptions",
    SourceKind.EVENT_TRIGGER: "triggers",
    SourceKind.MANUAL: "manual",
}


def execution_event(
    change: ExecutionChange, *, project: str, region: str, job: str, name: str, hops: int = 0
) -> CloudEvent:
    """One entry of the feed. ``hops`` are those of the event itself: one more than of the delivery
    that opened the execution, 0 if none did."""
    data: dict[str, object] = {
        "project": project,
        "region": region,
        "job": job,
        "execution": name,
        "uid": change.execution,
        "sequence": change.sequence,
        "change": change.kind,
    }
    places = {"project", "region", "job", "name"}
    data |= {key: value for key, value in change.data.items() if key not in places}
    return _event(
        f"{change.execution}-{change.sequence}",
        f"{_scope(project, region)}/jobs/{in_uri(job)}",
        f"{EXECUTION}{change.kind}",
        f"executions/{name}",
        change.at,
        "execution.v1.json",
        {"project": project, "region": region, "job": job, "execution": name},
        data,
        hops,
    )


def missed_event(schedule: Schedule, occurrence: Occurrence, at: float) -> CloudEvent:
    """An occurrence that the rule for missed runs left out. ``at`` is when that was decided."""
    nominal = f"{format_time(occurrence.key.nominal)[:19]}Z"
    return _event(
        f"{occurrence.key}/missed",
        f"{_scope(schedule.project, schedule.region)}/schedules/{in_uri(schedule.name)}",
        MISSED,
        f"occurrences/{nominal}",
        at,
        "schedule.v1.json",
        {"project": schedule.project, "region": schedule.region, "schedule": schedule.name},
        {
            "project": schedule.project,
            "region": schedule.region,
            "schedule": schedule.name,
            "uid": schedule.uid,
            "scheduledTime": nominal,
            "reason": occurrence.reason,
        },
        0,
    )


def dead_letter_event(delivery: Delivery, target: str) -> CloudEvent | None:
    """Of a delivery that was given up or grew too old; ``target`` names what it was for. ``None``
    where the delivery itself carried a dead letter: they would chase one another."""
    if carried_type(delivery) in DEAD_LETTERS:
        return None
    expired = delivery.state is DeliveryState.EXPIRED
    kind = _PLURALS[delivery.source]
    at = delivery.settled_at if delivery.settled_at is not None else delivery.created_at
    data: dict[str, object] = {
        "project": delivery.project,
        "region": delivery.region,
        "source": str(delivery.source),
        "sourceName": delivery.source_name,
        "delivery": delivery.uid,
        "target": target,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "createTime": format_time(delivery.created_at),
    }
    if delivery.last_status is not None:
        data["lastStatus"] = delivery.last_status
    if delivery.execution:
        data["execution"] = delivery.execution
    return _event(
        f"{delivery.uid}/{'expired' if expired else 'dead'}",
        f"{_scope(delivery.project, delivery.region)}/{kind}/{in_uri(delivery.source_name)}",
        EXPIRED if expired else DEAD,
        f"deliveries/{delivery.uid}",
        at,
        "delivery.v1.json",
        {
            "project": delivery.project,
            "region": delivery.region,
            "sourcekind": str(delivery.source),
            "sourcename": delivery.source_name,
        },
        data,
        delivery.hops + 1,
    )


def carried_type(delivery: Delivery) -> str:
    """The type of the event that a delivery carries; empty if it carries none."""
    match delivery.target:
        case HttpTarget() if delivery.payload is not None:
            return _named(delivery.payload.headers, "ce-type")
        case PubsubTarget(_, _, attributes):
            return _named(attributes, "ce-type")
        case JobTarget(_, _, _, overrides):
            for container in overrides.containers:
                for variable in container.env:
                    if variable.name == "CE_TYPE":
                        return variable.value or ""
    return ""


def _named(pairs: tuple[tuple[str, str], ...], name: str) -> str:
    return next((value for key, value in pairs if key.lower() == name), "")


def _scope(project: str, region: str) -> str:
    return f"//jobrunner.dev/projects/{in_uri(project)}/locations/{in_uri(region)}"


def _event(
    event_id: str,
    source: str,
    event_type: str,
    subject: str,
    at: float,
    schema: str,
    extensions: Mapping[str, str],
    data: Mapping[str, object],
    hops: int,
) -> CloudEvent:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    event = CloudEvent(
        event_id,
        source,
        event_type,
        subject,
        format_time(at),
        "application/json",
        f"{_SCHEMAS}{schema}",
        tuple(Extension(name, value) for name, value in extensions.items() if value),
        text.encode("utf-8", "replace"),
        DataKind.JSON,
    )
    return event.with_hops(hops)
