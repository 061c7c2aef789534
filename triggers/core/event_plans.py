"""Which deliveries an event leads to, and why not. What comes out are values; nothing happens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jobrunner.errors import InvalidSpec
from triggers.core.cloudevents.encode import encode_binary
from triggers.core.cloudevents.pubsub_binding import encode_message
from triggers.core.event_filters import FilterAnswer, all_agree, answers
from triggers.core.event_triggers import (
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.event_variables import as_file, rendered, with_event
from triggers.core.events import CloudEvent
from triggers.core.expression import evaluate
from triggers.core.google_events import AUDIT, MESSAGE_PUBLISHED, OBJECT, in_uri, topic_source
from triggers.core.lifecycle_events import MAX_HOPS, goes_round
from triggers.core.records import (
    Delivery,
    HttpTarget,
    JobTarget,
    OidcToken,
    Payload,
    PubsubTarget,
    SourceKind,
    Target,
)
from triggers.core.service_urls import Resolve, url_of, with_mode
from triggers.core.templates import Context


@dataclass(frozen=True, slots=True)
class TriggerVerdict:
    """``reasons`` has a sentence for each filter, the expression and the rest; ``refusals`` those
    of them that said no. ``captures`` is what path patterns kept by name."""

    trigger: EventTrigger
    matches: bool
    reasons: tuple[str, ...]
    refusals: tuple[str, ...]
    captures: dict[str, str]


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """Of a trigger that matches. Without a ``delivery`` it cannot be made, and ``problem`` says
    why: a template asks for what the event does not have."""

    trigger: EventTrigger
    delivery: Delivery | None
    problem: str = ""


# ---------------------------------------------------------------- events


def verdict_on(trigger: EventTrigger, event: CloudEvent, channel: str = "") -> TriggerVerdict:
    """Would it match, and if not, who says no. ``channel`` is the full name of where the event came
    in, empty for none. Raises InvalidSpec for a trigger that breaks a rule."""
    given = answers(trigger.filters, event)
    said = [(answer.agrees, answer.reason) for answer in given]
    if trigger.channel != channel:
        where = f"by channel {channel}" if channel else "by no channel"
        wants = f"channel {trigger.channel}" if trigger.channel else "no channel"
        said.append((False, f"the event came {where}, and the trigger has {wants}"))
    if not _by_its_topic(trigger, event):
        problem = f"the message is of {event.source}, and the trigger's topic is"
        said.append((False, f"{problem} {trigger.transport.topic}"))
    topic = topic_of(trigger)
    if topic and event.source != topic:
        said.append((False, f"the event is of {event.source}, and the trigger has {topic}"))
    if trigger.expression.strip():
        found = evaluate(trigger.expression, event)
        said.append((found.passes, found.reason))
    if problem := goes_round(event.hops):
        said.append((False, problem))
    refusals = tuple(reason for agrees, reason in said if not agrees)
    reasons = tuple(reason for _, reason in said)
    return TriggerVerdict(trigger, not refusals, reasons, refusals, _captures(given))


def wanted_by(trigger: EventTrigger, event: CloudEvent, channel: str = "") -> bool:
    """As :func:`verdict_on`, without words."""
    if trigger.channel != channel or event.hops > MAX_HOPS:
        return False
    if topic_of(trigger) not in ("", event.source):
        return False
    if not all_agree(trigger.filters, event) or not _by_its_topic(trigger, event):
        return False
    return not trigger.expression.strip() or evaluate(trigger.expression, event).passes


def _by_its_topic(trigger: EventTrigger, event: CloudEvent) -> bool:
    """A trigger of messages gets those of its topic, if it names one."""
    topic = trigger.transport.topic
    if event.type != MESSAGE_PUBLISHED or not topic:
        return True
    return event.source == f"//pubsub.googleapis.com/{in_uri(topic)}"


def topic_of(trigger: EventTrigger) -> str:
    """The source of all events that a trigger for the messages of a topic wants; empty for any
    other trigger."""
    if trigger.event_type != MESSAGE_PUBLISHED or not trigger.transport.topic:
        return ""
    return topic_source(trigger.transport.topic)


def plan_event(
    event: CloudEvent,
    triggers: Iterable[EventTrigger],
    *,
    now: float,
    new_uid: Callable[[], str],
    resolve: Resolve,
    channel: str = "",
    with_modes: bool = False,
) -> list[TriggerPlan]:
    """One for each trigger that matches. ``with_modes`` puts the query behind URLs of services that
    they get in production. Raises InvalidSpec for a trigger that breaks a rule."""
    plans = []
    for trigger in triggers:
        if not wanted_by(trigger, event, channel):
            continue
        try:
            delivery = delivery_of(
                trigger, event, now=now, uid=new_uid(), resolve=resolve, with_modes=with_modes
            )
        except InvalidSpec as error:
            plans.append(TriggerPlan(trigger, None, error.message))
        else:
            plans.append(TriggerPlan(trigger, delivery))
    return plans


def delivery_of(
    trigger: EventTrigger,
    event: CloudEvent,
    *,
    now: float,
    uid: str,
    resolve: Resolve,
    with_modes: bool = False,
) -> Delivery:
    """The duty of a trigger that matches. Raises InvalidSpec if a template asks for what the event
    does not have."""
    target, payload = _addressed(trigger, event, resolve, with_modes)
    return Delivery(
        uid=uid,
        project=trigger.project,
        region=trigger.region,
        source=SourceKind.EVENT_TRIGGER,
        source_name=trigger.name,
        key=event_key(trigger, event),
        target=target,
        retry=trigger.retry,
        payload=payload,
        created_at=now,
        queued_at=now,
        not_before=now,
        hops=event.hops,
    )


def event_key(trigger: EventTrigger, event: CloudEvent) -> str:
    """The same for the same event, however often it comes: source and id make it one of a kind;
    with the time where the id is that of a message of Pub/Sub, whose emulator counts from 1 again
    when it is started again."""
    name = f"{event.source}\0{event.id}"
    if event.type == MESSAGE_PUBLISHED or event.type.startswith(OBJECT):
        name += f"\0{event.time or ''}"
    name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{trigger.uid}/{name[:40]}"


def _as_delivered(header: tuple[str, str]) -> tuple[str, str]:
    """The name of a log has a ``%2F`` in it, and Eventarc does not encode its ``%`` again."""
    name, value = header
    return (name, value.replace("%252F", "%2F")) if name == "ce-id" else header


def _addressed(
    trigger: EventTrigger, event: CloudEvent, resolve: Resolve, with_modes: bool
) -> tuple[Target, Payload | None]:
    match trigger.destination:
        case ServiceDestination() | HttpDestination():
            account = trigger.service_account
            headers, body = encode_binary(event)
            if event.type == AUDIT:
                headers = tuple(map(_as_delivered, headers))
            url = url_of(trigger, resolve)
            if with_modes and isinstance(trigger.destination, ServiceDestination):
                url = with_mode(url, event)
            target = HttpTarget(
                url,
                token=OidcToken(account) if account else None,
                deadline=trigger.deadline,
                follow_redirects=False,
            )
            return target, Payload(body, headers)
        case JobDestination() as job:
            captures = _captures(answers(trigger.filters, event))
            overrides = with_event(rendered(job.overrides, Context(event, captures)), event)
            project, region = job.project or trigger.project, job.region or trigger.region
            return JobTarget(job.job, project, region, overrides, job.ack), as_file(event)
        case TopicDestination(topic):
            attributes, data = encode_message(event)
            return PubsubTarget(topic, data, attributes), None


def _captures(given: Iterable[FilterAnswer]) -> dict[str, str]:
    found: dict[str, str] = {}
    for answer in given:
        found |= answer.captures
    return found
