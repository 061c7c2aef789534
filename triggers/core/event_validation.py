"""Holds subscriptions, event triggers, channels and services to the bounds of the contract, and
says all that is wrong. Fields are named as in the contract's documents; our own by their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from jobrunner.core.label_rules import check_labels
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.core.cesql import parse_expression
from triggers.core.cron import show
from triggers.core.event_triggers import (
    MATCH_PATH_PATTERN,
    Channel,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceAddress,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.message_filters import parse_message_filter
from triggers.core.path_patterns import parse_path_pattern
from triggers.core.providers import check_attributes
from triggers.core.pubsub_names import check_pubsub_id, check_pubsub_name
from triggers.core.records import HttpTarget, JobTarget
from triggers.core.retry import check_retry
from triggers.core.subscriptions import AckPolicy, Intake, Subscription
from triggers.core.templates import check_templates
from triggers.core.validation import check_target

MIN_ACK_DEADLINE, MAX_ACK_DEADLINE = 10.0, 600.0
MAX_BACKLOG = 10_000_000
MAX_EVENT_DEADLINE = 3600.0

_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_CHANNEL = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/channels/[^/\s]+")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_ACCOUNT = re.compile(r"[^\s@]+@[^\s@]+")


def is_url(service: str) -> bool:
    """Whether what stands for a service is a URL rather than a name."""
    return service.lower().startswith(("http://", "https://"))


def check_subscription(subscription: Subscription) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    check_pubsub_id(problems, "name", subscription.name, "subscription")
    pull = subscription.intake is Intake.PULL
    if pull and not subscription.topic and not subscription.pubsub_subscription:
        problems.add("topic", "it is empty; to pull, name a topic or a subscription of Pub/Sub")
    if subscription.topic and subscription.topic != "_deleted-topic_":
        check_pubsub_name(problems, "topic", subscription.topic, "topic")
    if subscription.pubsub_subscription:
        check_pubsub_name(
            problems, "subscription", subscription.pubsub_subscription, "subscription"
        )
    _check_subscription_target(problems, subscription)
    _gather(problems, lambda: check_retry(subscription.retry, "retryPolicy"))
    if subscription.filter.strip():
        _gather(problems, lambda: parse_message_filter(subscription.filter))
    if subscription.dead_letter_topic:
        check_pubsub_name(
            problems, "deadLetterPolicy.deadLetterTopic", subscription.dead_letter_topic, "topic"
        )
    if subscription.exactly_once and not pull:
        problems.add("enableExactlyOnceDelivery", "only a subscription that pulls can have it")
    if subscription.ordered and subscription.ack is AckPolicy.FINISHED:
        problem = "with 'finished' Pub/Sub keeps no order of ours; allowed: ack 'durable'"
        problems.add("enableMessageOrdering", problem)
    if subscription.token is not None:
        if pull:
            problems.add("senderToken", "nobody signs what we pull")
        email = subscription.token.email
        if email and not _ACCOUNT.fullmatch(email):
            where = "senderToken.serviceAccountEmail"
            problems.add(where, f"'{show(email)}' is not an e-mail address")
    if pull and subscription.secret_hash:
        problems.add("pushToken", "nobody shows a token for what we pull")
    _check_backlog(problems, subscription.backlog)
    check_labels(problems, "labels", subscription.labels)
    _raise(problems)


def check_event_trigger(trigger: EventTrigger) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    _check_id(problems, "name", trigger.name, "trigger")
    _check_filters(problems, trigger.filters)
    if not problems.violations:
        check_attributes(problems, trigger.filters, trigger.channel)
    if trigger.expression.strip():
        _gather(problems, lambda: parse_expression(trigger.expression))
    _check_destination(problems, trigger)
    if trigger.service_account and not _ACCOUNT.fullmatch(trigger.service_account):
        problems.add(
            "serviceAccount", f"'{show(trigger.service_account)}' is not an e-mail address"
        )
    transport = trigger.transport
    if transport.topic:
        check_pubsub_name(problems, "transport.pubsub.topic", transport.topic, "topic")
    if transport.subscription:
        where = "transport.pubsub.subscription"
        check_pubsub_name(problems, where, transport.subscription, "subscription")
    if trigger.channel and not _CHANNEL.fullmatch(trigger.channel):
        form = "allowed: projects/PROJECT/locations/REGION/channels/CHANNEL"
        problems.add("channel", f"'{show(trigger.channel)}' is not a channel; {form}")
    if trigger.dead_letter_topic:
        check_pubsub_name(
            problems, "deadLetterPolicy.deadLetterTopic", trigger.dead_letter_topic, "topic"
        )
    if trigger.retry.max_attempts is not None and isinstance(trigger.destination, TopicDestination):
        problems.add("retryPolicy.maxAttempts", "a topic as destination has no retry policy")
    _gather(problems, lambda: check_retry(trigger.retry, "retryPolicy"))
    if not 1 <= trigger.deadline <= MAX_EVENT_DEADLINE:
        form = f"allowed: 1s to {MAX_EVENT_DEADLINE:g}s"
        problems.add("deadline", f"{trigger.deadline:g}s is out of bounds; {form}")
    _check_backlog(problems, trigger.backlog)
    check_labels(problems, "labels", trigger.labels)
    _raise(problems)


def _check_backlog(problems: Problems, backlog: int) -> None:
    if not 1 <= backlog <= MAX_BACKLOG:
        problems.add("backlog", f"{backlog} is not from 1 to {MAX_BACKLOG}")


def check_channel(channel: Channel) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    _check_id(problems, "name", channel.name, "channel")
    if channel.pubsub_topic:
        check_pubsub_name(problems, "pubsubTopic", channel.pubsub_topic, "topic")
    check_labels(problems, "labels", channel.labels)
    _raise(problems)


def check_service(address: ServiceAddress) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    _check_service_name(problems, "name", address.name)
    if not _URL.fullmatch(address.url) or "?" in address.url or "#" in address.url:
        form = "write it as https://host/path, without a query"
        problems.add("url", f"'{show(address.url)}' is not the URL of a service; {form}")
    _raise(problems)


# ---------------------------------------------------------------- parts


def _check_subscription_target(problems: Problems, subscription: Subscription) -> None:
    target = subscription.target
    if isinstance(target, HttpTarget):
        # A push is bound by its own deadline, which is shorter than any of a schedule.
        target = replace(target, deadline=180.0)
    _gather(problems, lambda: check_target(target))
    if isinstance(target, JobTarget):
        _gather(problems, partial(check_templates, target.overrides))
    if not MIN_ACK_DEADLINE <= subscription.ack_deadline <= MAX_ACK_DEADLINE:
        form = f"allowed: {MIN_ACK_DEADLINE:g} to {MAX_ACK_DEADLINE:g}"
        value = f"{subscription.ack_deadline:g} seconds are out of bounds"
        problems.add("ackDeadlineSeconds", f"{value}; {form}")


def _gather(problems: Problems, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidSpec as error:
        problems.violations.extend(error.violations)


def _check_filters(problems: Problems, filters: tuple[EventFilter, ...]) -> None:
    if not any(one.attribute == "type" for one in filters):
        problems.add("eventFilters", "there is none for the attribute 'type', which is required")
    seen: set[str] = set()
    for place, one in enumerate(filters):
        where = f"eventFilters[{place}]"
        if not _ATTRIBUTE.fullmatch(one.attribute):
            form = "allowed: letters and digits, the first a letter"
            problems.add(f"{where}.attribute", f"'{show(one.attribute)}' is no attribute; {form}")
        elif one.attribute.lower() in seen:
            problems.add(f"{where}.attribute", f"'{one.attribute}' is filtered twice")
        seen.add(one.attribute.lower())
        if not one.value:
            problems.add(f"{where}.value", "it is empty")
        if one.operator not in {"", MATCH_PATH_PATTERN}:
            form = f"allowed: none, or '{MATCH_PATH_PATTERN}'"
            problems.add(f"{where}.operator", f"'{show(one.operator)}' is no operator; {form}")
        elif one.operator and one.attribute == "type":
            problems.add(f"{where}.operator", "the type is compared exactly")
        elif one.operator:
            _gather(problems, partial(parse_path_pattern, one.value, f"{where}.value"))


def _check_destination(problems: Problems, trigger: EventTrigger) -> None:
    match trigger.destination:
        case ServiceDestination(service, path):
            if is_url(service):
                _check_url(problems, "destination.cloudRun.service", service)
            else:
                _check_service_name(problems, "destination.cloudRun.service", service)
            if any(c.isspace() or not c.isprintable() for c in path) or "#" in path:
                problems.add("destination.cloudRun.path", f"'{show(path)}' is not a path")
        case JobDestination(job, _, _, overrides):
            if not job:
                problems.add("destination.cloudRun.job", "it is empty; allowed: the name of a job")
            _gather(problems, partial(check_templates, overrides))
        case HttpDestination(uri):
            _check_url(problems, "destination.httpEndpoint.uri", uri)
        case TopicDestination(topic):
            check_pubsub_name(problems, "destination.topic", topic, "topic")


def _check_url(problems: Problems, field: str, url: str) -> None:
    if not _URL.fullmatch(url):
        problems.add(field, f"'{show(url)}' is not a URL; write it as https://host/path")


def _check_service_name(problems: Problems, field: str, name: str) -> None:
    if not _SERVICE.fullmatch(name):
        form = "allowed: lower-case letters, digits and -, at most 63, or a URL"
        problems.add(field, f"'{show(name)}' is not a name of a service; {form}")


def _check_id(problems: Problems, field: str, name: str, what: str) -> None:
    if not _ID.fullmatch(name):
        form = "allowed: lower-case letters, digits and -, a letter first, at most 63 characters"
        problems.add(field, f"'{show(name)}' is not a name of a {what}; {form}")


def _raise(problems: Problems) -> None:
    if problems.violations:
        raise InvalidSpec(problems.violations)
