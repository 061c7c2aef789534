"""Event triggers as documents of the Eventarc API. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from jobrunner.core.documents import Document, filled
from jobrunner.core.timestamps import format_time
from triggers.core.event_triggers import (
    Destination,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TriggerCondition,
)


def trigger_document(trigger: EventTrigger, more: Iterable[TriggerCondition] = ()) -> Document:
    """What is empty is left out. ``more`` are conditions that are not kept with it."""
    said = written(trigger)
    conditions = (*trigger.conditions, *more)
    return filled(
        name=said["name"],
        uid=trigger.uid,
        createTime=format_time(trigger.created_at),
        updateTime=format_time(trigger.updated_at),
        eventFilters=said["eventFilters"],
        serviceAccount=said.get("serviceAccount"),
        destination=said.get("destination"),
        transport={
            "pubsub": filled(
                topic=trigger.transport.topic, subscription=trigger.transport.subscription
            )
        },
        labels=trigger.labels,
        channel=trigger.channel,
        conditions={one.name: {"code": one.code, "message": one.message} for one in conditions},
        eventDataContentType=trigger.content_type,
        retryPolicy=said.get("retryPolicy"),
        etag=trigger.etag,
    )


def public(document: Document) -> Document:
    """Without what the published messages of the API have no field for: the job of a destination.
    What is read by its exact type has to do without."""
    destination = document.get("destination")
    run = destination.get("cloudRun") if isinstance(destination, dict) else None
    if not isinstance(run, dict) or "job" not in run:
        return document
    plain = {key: value for key, value in run.items() if key != "job"}
    return {**document, "destination": {"cloudRun": plain}}


def written(trigger: EventTrigger) -> Document:
    """What a caller can write."""
    filters = [
        filled(attribute=one.attribute, value=one.value, operator=one.operator)
        for one in trigger.filters
    ]
    return {
        "name": trigger.full_name,
        **filled(
            eventFilters=filters,
            serviceAccount=trigger.service_account,
            destination=_destination(trigger.destination, trigger.region),
            labels=trigger.labels,
            channel=trigger.channel,
            eventDataContentType=trigger.content_type,
            retryPolicy=filled(maxAttempts=trigger.retry.max_attempts),
        ),
    }


def _destination(destination: Destination, region: str) -> Document:
    """A topic is nothing that the API could say."""
    match destination:
        case ServiceDestination(service, path, where):
            return {"cloudRun": filled(service=service, path=path, region=where or region)}
        case JobDestination() as job:
            return {"cloudRun": filled(job=job.job, region=job.region or region)}
        case HttpDestination(uri):
            return {"httpEndpoint": {"uri": uri}}
    return {}
