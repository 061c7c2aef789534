"""Triggers of the Eventarc API: a whole document, or the parts of one that a mask names. Pure.

Everything that is wrong is found and named by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jobrunner.core.documents import Node
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.api.eventarc.laying import laid
from triggers.api.eventarc.trigger_writing import written
from triggers.core.event_triggers import (
    Destination,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    Transport,
)
from triggers.core.google_events import MESSAGE_PUBLISHED

OUTPUT = ("name", "uid", "createTime", "updateTime", "conditions", "satisfiesPzs", "etag")
WRITABLE = (
    "eventFilters", "serviceAccount", "destination", "labels", "eventDataContentType",
    "retryPolicy",
)  # fmt: skip
LASTING = ("transport", "channel")
"""Given when it is created, and never changed."""
_KINDS = ("cloudRun", "httpEndpoint", "workflow", "gke", "cloudFunction")
_ELSEWHERE = ("workflow", "gke", "cloudFunction")
_ONE_OF: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "destination": tuple((kind,) for kind in _KINDS),
    "destination.cloudRun": (("job",), ("service", "path")),
}


def new_trigger(base: EventTrigger, body: object) -> EventTrigger:
    """``base`` has project, region and name; everything else is read. Raises InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    if not node.present:
        problems.add("trigger", "it is missing; allowed: a trigger")
    transport = _transport(node.node("transport"))
    trigger = replace(
        _read(base, node, problems, None), transport=transport, channel=node.text("channel")
    )
    if transport.own_topic and trigger.event_type != MESSAGE_PUBLISHED:
        problem = f"a topic can be named for events of the type {MESSAGE_PUBLISHED} only"
        problems.add("transport.pubsub.topic", problem)
    node.end()
    _raise(problems)
    return trigger


def patched(old: EventTrigger, body: object, mask: str) -> EventTrigger:
    """``old`` with what ``mask`` names taken from ``body``. What the API cannot say of ``old``
    stays as it is where the mask does not touch it. Raises InvalidSpec."""
    if not isinstance(body, dict):
        raise invalid("trigger", "it is missing; allowed: a trigger")
    before = written(old)
    fields = (*WRITABLE, *LASTING)
    document = laid(before, body, mask, fields, OUTPUT, "a trigger", _ONE_OF)
    channel = document.pop("channel", None) or ""
    if channel != old.channel and _names(mask, "channel"):
        raise invalid("channel", "it cannot be changed; allowed: a new trigger")
    topic = document.pop("transport", None)
    if topic is not None and _names(mask, "transport") and not _same_topic(topic, old):
        raise invalid("transport.pubsub.topic", "it cannot be changed; allowed: a new trigger")
    problems = Problems()
    node = Node(document, "", problems)
    same = document.get("destination") == before.get("destination")
    trigger = _read(old, node, problems, old.destination if same else None)
    node.end()
    _raise(problems)
    return trigger


def _read(
    base: EventTrigger, node: Node, problems: Problems, destination: Destination | None
) -> EventTrigger:
    """With a ``destination`` the one in the document is not read."""
    found = node.node("destination")
    retry = node.node("retryPolicy")
    attempts = retry.whole("maxAttempts")
    retry.end()
    trigger = replace(
        base,
        filters=_filters(node),
        destination=destination or _destination(found, base, problems),
        service_account=node.text("serviceAccount"),
        labels=node.text_map("labels"),
        content_type=node.text("eventDataContentType") or "application/json",
        retry=replace(base.retry, max_attempts=attempts or None),
    )
    if attempts not in (None, 0, 1):
        allowed = "allowed: 1, which is no retries, or nothing"
        problems.add("retryPolicy.maxAttempts", f"{attempts} is not allowed; {allowed}")
    if trigger.content_type != "application/json":
        # Data goes on as it came; nothing here would make protocol buffers of it.
        given = f"'{trigger.content_type[:60]}' is not supported yet by jobrunner"
        problems.add("eventDataContentType", f"{given}; allowed: application/json")
    node.skip(*OUTPUT)
    return trigger


def _filters(node: Node) -> tuple[EventFilter, ...]:
    found = []
    for each in node.nodes("eventFilters"):
        found.append(EventFilter(each.text("attribute"), each.text("value"), each.text("operator")))
        each.end()
    return tuple(found)


def _destination(node: Node, base: EventTrigger, problems: Problems) -> Destination:
    nothing = ServiceDestination("unknown")
    for kind in _ELSEWHERE:
        if node.raw(kind) not in (None, "", {}):
            allowed = "allowed: cloudRun, httpEndpoint"
            problems.add(node.at(kind), f"this server cannot call it; {allowed}")
            return nothing
    run, endpoint = node.node("cloudRun"), node.node("httpEndpoint")
    # There is one network here.
    node.skip("networkConfig")
    node.end()
    if run.present == endpoint.present:
        said = "both are there" if run.present else "it is missing"
        problems.add(node.path, f"{said}; allowed: one of cloudRun, httpEndpoint")
        return nothing
    if endpoint.present:
        uri = endpoint.text("uri")
        endpoint.end()
        return HttpDestination(uri)
    service, job, path = run.text("service"), run.text("job"), run.text("path")
    region = run.text("region")
    run.end()
    if not job:
        return ServiceDestination(service, path, region)
    if service or path:
        problems.add(run.at("job"), "beside a service or a path it is not allowed")
    old = base.destination
    if isinstance(old, JobDestination) and not old.project:
        # Its templates and its acknowledgement are ours, and the API does not speak of them.
        return replace(old, job=job, region=region)
    return JobDestination(job, region=region)


def _transport(node: Node) -> Transport:
    pubsub = node.node("pubsub")
    topic = pubsub.text("topic")
    pubsub.skip("subscription")
    pubsub.end()
    node.end()
    return Transport(topic, own_topic=bool(topic))


def _names(mask: str, field: str) -> bool:
    return any(one.strip().partition(".")[0] == field for one in mask.split(","))


def _same_topic(transport: Any, old: EventTrigger) -> bool:
    pubsub = transport.get("pubsub") if isinstance(transport, dict) else None
    topic = pubsub.get("topic") if isinstance(pubsub, dict) else None
    return topic in (None, "", old.transport.topic)


def _raise(problems: Problems) -> None:
    if problems.violations:
        raise InvalidSpec(problems.violations)
