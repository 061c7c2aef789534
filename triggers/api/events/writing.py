"""Event triggers, events and services as JSON documents. Pure.

What can be written of a trigger is named as in YAML of kind ``EventTrigger``: a document that was
read can be written again.
"""

from __future__ import annotations

import json
from typing import Any

from jobrunner.core.durations import duration
from jobrunner.core.timestamps import format_time
from triggers.api.schedules.writing import target_body
from triggers.core.cloudevents.encode import encode_structured
from triggers.core.event_triggers import (
    Destination,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceAddress,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.records import JobTarget
from triggers.event_ports import Led, Logged
from triggers.service.event_triggers import Rehearsal

Document = dict[str, Any]


def trigger_document(trigger: EventTrigger) -> Document:
    return {
        "name": trigger.name,
        "project": trigger.project,
        "region": trigger.region,
        "uid": trigger.uid,
        **settings_document(trigger),
        "transport": {
            "topic": trigger.transport.topic,
            "subscription": trigger.transport.subscription,
        },
        "conditions": {
            one.name: {"code": one.code, "message": one.message} for one in trigger.conditions
        },
        "createdAt": format_time(trigger.created_at),
        "updatedAt": format_time(trigger.updated_at),
        "resourceVersion": trigger.resource_version,
    }


def settings_document(trigger: EventTrigger) -> Document:
    """What people set, complete."""
    retry = trigger.retry
    return {
        "eventFilters": [_filter(one) for one in trigger.filters],
        "expression": trigger.expression,
        "channel": trigger.channel,
        "transportTopic": trigger.transport.topic if trigger.transport.own_topic else "",
        "destination": _destination(trigger.destination),
        "serviceAccount": trigger.service_account,
        "eventDataContentType": trigger.content_type,
        "retryPolicy": {
            "maxAttempts": retry.max_attempts,
            "minBackoff": duration(retry.min_backoff),
            "maxBackoff": duration(retry.max_backoff),
            "lifetime": duration(retry.lifetime),
        },
        "deadLetterPolicy": (
            {
                "deadLetterTopic": trigger.dead_letter_topic,
                "maxDeliveryAttempts": retry.max_delivery_attempts,
            }
            if trigger.dead_letter_topic
            else None
        ),
        "deadline": duration(trigger.deadline),
        "backlog": trigger.backlog,
        "labels": dict(trigger.labels),
    }


def logged_document(entry: Logged) -> Document:
    event: Document = json.loads(encode_structured(entry.event))
    # Half of a surrogate pair is JSON to its sender, and no text that an answer can have.
    whole = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
    return {
        "position": entry.position,
        "time": format_time(entry.at),
        "project": entry.scope.project,
        "region": entry.scope.region,
        "channel": entry.channel,
        "event": json.loads(whole),
        "bytes": entry.size,
        "triggers": [_led(one) for one in entry.led],
    }


def rehearsal_document(found: Rehearsal) -> Document:
    return {
        "matches": found.matches,
        "reasons": list(found.reasons),
        "refusals": list(found.refusals),
        "captures": dict(found.captures),
    }


def service_document(address: ServiceAddress) -> Document:
    return {
        "name": address.name,
        "project": address.project,
        "region": address.region,
        "url": address.url,
        "updatedAt": format_time(address.updated_at),
    }


def _filter(one: EventFilter) -> Document:
    found = {"attribute": one.attribute, "value": one.value}
    return {**found, "operator": one.operator} if one.operator else found


def _destination(destination: Destination) -> Document:
    match destination:
        case ServiceDestination(service, path, region):
            return {"cloudRun": {"service": service, "path": path, "region": region}}
        case JobDestination(job, project, region, overrides, ack):
            body = target_body(JobTarget(job, project, region, overrides, ack))
            return {"cloudRun": body["jobTarget"]}
        case HttpDestination(uri):
            return {"httpEndpoint": {"uri": uri}}
        case TopicDestination(topic):
            return {"topic": topic}


def _led(one: Led) -> Document:
    found: Document = {"trigger": one.trigger, "project": one.project, "region": one.region}
    if one.delivery:
        found |= {"delivery": one.delivery, "again": one.again}
    if one.problem:
        found["problem"] = one.problem
    return found
