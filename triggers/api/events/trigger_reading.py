"""Documents of event triggers as values, named as Eventarc's where it has them. Pure. Everything
that is wrong is found and named by its path."""

from __future__ import annotations

from typing import Any

from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from triggers.api.schedules.reading import job_target
from triggers.core.event_triggers import (
    Destination,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TopicDestination,
    Transport,
)
from triggers.core.records import EventRetry
from triggers.core.retry import MAX_DELIVERY_ATTEMPTS, MIN_DELIVERY_ATTEMPTS

Settings = dict[str, Any]
OUTPUT = ("uid", "createdAt", "updatedAt", "conditions", "transport")
"""What the server writes and nobody sets."""
NEW = EventTrigger("", "", "", "", (), HttpDestination(""))
DESTINATIONS = ("cloudRun", "httpEndpoint", "topic")


def settings_of(spec: Node, problems: Problems) -> Settings:
    """The fields of a trigger that a document says, defaults included."""
    default = EventTrigger("", "", "", "", (), HttpDestination(""))
    deadline = read_duration(spec, "deadline")
    backlog = spec.whole("backlog")
    topic, most = _dead_letters(spec.node("deadLetterPolicy"))
    found: Settings = {
        "filters": tuple(_filter(node) for node in spec.nodes("eventFilters")),
        "expression": spec.text("expression"),
        "channel": spec.text("channel"),
        "transport": with_topic(spec.text("transportTopic")),
        "destination": _destination(spec.node("destination"), problems),
        "service_account": spec.text("serviceAccount"),
        "content_type": spec.text("eventDataContentType") or default.content_type,
        "retry": _retry(spec.node("retryPolicy"), most),
        "dead_letter_topic": topic,
        "deadline": default.deadline if deadline is None else deadline,
        "backlog": default.backlog if backlog is None else backlog,
        "labels": spec.text_map("labels"),
    }
    return found


def with_topic(topic: str) -> Transport:
    return Transport(topic=topic, own_topic=True) if topic else Transport()


def _filter(node: Node) -> EventFilter:
    found = EventFilter(node.text("attribute"), node.text("value"), node.text("operator"))
    node.end()
    return found


def _destination(node: Node, problems: Problems) -> Destination:
    given = [key for key in DESTINATIONS if node.has(key)]
    if len(given) != 1:
        said = f"{' and '.join(given)} are set" if given else "there is none"
        problems.add(node.path, f"{said}; allowed: one of {', '.join(DESTINATIONS)}")
    found: Destination
    if "cloudRun" in given:
        found = _cloud_run(node.node("cloudRun"), problems)
    elif "topic" in given:
        found = TopicDestination(node.text("topic"))
    else:
        endpoint = node.node("httpEndpoint")
        found = HttpDestination(endpoint.text("uri"))
        endpoint.end()
    node.end()
    return found


def _cloud_run(node: Node, problems: Problems) -> Destination:
    if not node.has("job"):
        found = ServiceDestination(node.text("service"), node.text("path"), node.text("region"))
        node.end()
        return found
    for key in ("service", "path"):
        if node.has(key):
            problems.add(node.at(key), "it cannot stand beside 'job'")
    target = job_target(node)
    return JobDestination(target.job, target.project, target.region, target.overrides, target.ack)


def _retry(node: Node, most: int | None) -> EventRetry:
    default = EventRetry()

    def seconds(key: str, otherwise: float) -> float:
        found = read_duration(node, key)
        return otherwise if found is None else found

    policy = EventRetry(
        min_backoff=seconds("minBackoff", default.min_backoff),
        max_backoff=seconds("maxBackoff", default.max_backoff),
        max_attempts=node.whole("maxAttempts"),
        max_delivery_attempts=most,
        lifetime=seconds("lifetime", default.lifetime),
    )
    node.end()
    return policy


def _dead_letters(node: Node) -> tuple[str, int | None]:
    """The topic, and after how many attempts."""
    topic, most = node.text("deadLetterTopic"), node.whole("maxDeliveryAttempts")
    node.end()
    if most is not None and not MIN_DELIVERY_ATTEMPTS <= most <= MAX_DELIVERY_ATTEMPTS:
        form = f"from {MIN_DELIVERY_ATTEMPTS} to {MAX_DELIVERY_ATTEMPTS}"
        node.problems.add(node.at("maxDeliveryAttempts"), f"{most} is not {form}")
    if not topic:
        return "", None
    return topic, MIN_DELIVERY_ATTEMPTS if most is None else most
