"""Which deliveries an event or a message leads to, and why not. Nothing happens here: what comes
out are values.

A service that is known by its name only gets a URL under ``.service.invalid``, which no network
answers: whoever sends looks the name up, and until it is there the delivery is retried.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.errors import InvalidSpec
from triggers.core.cloudevents.attributes import text_of
from triggers.core.cloudevents.encode import STRUCTURED_TYPE, encode_binary, encode_structured
from triggers.core.cloudevents.pubsub_binding import encode_message
from triggers.core.envelopes import encode_push
from triggers.core.event_filters import FilterAnswer, all_agree, answers
from triggers.core.event_triggers import (
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.event_validation import is_url
from triggers.core.events import CloudEvent, PubsubMessage
from triggers.core.expression import evaluate
from triggers.core.google_events import message_published
from triggers.core.lifecycle_events import MAX_HOPS
from triggers.core.message_filters import explain_filter, passes
from triggers.core.records import (
    Delivery,
    EventRetry,
    HttpTarget,
    JobTarget,
    OidcToken,
    Payload,
    PubsubTarget,
    RetryPolicy,
    SourceKind,
    Target,
)
from triggers.core.subscriptions import AckPolicy, Subscription
from triggers.core.templates import Context, parse_template, render

FILE_VARIABLE = "CLOUDEVENT_FILE"
"""The path of a file with the event in JSON; set by whoever starts the job, who knows it."""
MAX_VARIABLE = 32 * 1024
"""Bytes; a longer value is in the file only, because no process takes much longer ones."""

_PENDING = re.compile(
    r"http://(?P<name>[^./]+)\.(?P<region>[^./]+)\.(?P<project>[^/]+)\.service\.invalid"
    r"(?P<path>/.*)?",
    re.DOTALL,
)

Resolve = Callable[[Scope, str], str | None]
"""The URL of a service by its name; ``None`` if nobody has said it yet."""


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


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """Without a ``delivery`` the filter has said no, and ``reason`` says why: the message is
    acknowledged, and that is all. With a ``problem`` the delivery cannot be made: a template asks
    for what the message does not have."""

    delivery: Delivery | None
    reason: str
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
    if trigger.expression.strip():
        found = evaluate(trigger.expression, event)
        said.append((found.passes, found.reason))
    if event.hops > MAX_HOPS:
        problem = f"{event.hops} events of our own led to it; more than {MAX_HOPS} go round"
        said.append((False, problem))
    refusals = tuple(reason for agrees, reason in said if not agrees)
    reasons = tuple(reason for _, reason in said)
    return TriggerVerdict(trigger, not refusals, reasons, refusals, _captures(given))


def wanted_by(trigger: EventTrigger, event: CloudEvent, channel: str = "") -> bool:
    """As :func:`verdict_on`, without words."""
    if trigger.channel != channel or event.hops > MAX_HOPS:
        return False
    if not all_agree(trigger.filters, event):
        return False
    return not trigger.expression.strip() or evaluate(trigger.expression, event).passes


def plan_event(
    event: CloudEvent,
    triggers: Iterable[EventTrigger],
    *,
    now: float,
    new_uid: Callable[[], str],
    resolve: Resolve,
    channel: str = "",
) -> list[TriggerPlan]:
    """One for each trigger that matches. Raises InvalidSpec for a trigger that breaks a rule."""
    plans = []
    for trigger in triggers:
        if not wanted_by(trigger, event, channel):
            continue
        try:
            delivery = delivery_of(trigger, event, now=now, uid=new_uid(), resolve=resolve)
        except InvalidSpec as error:
            plans.append(TriggerPlan(trigger, None, error.message))
        else:
            plans.append(TriggerPlan(trigger, delivery))
    return plans


def delivery_of(
    trigger: EventTrigger, event: CloudEvent, *, now: float, uid: str, resolve: Resolve
) -> Delivery:
    """The duty of a trigger that matches. Raises InvalidSpec if a template asks for what the event
    does not have."""
    target, payload = _addressed(trigger, event, resolve)
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
    """The same for the same event, however often it comes: source and id make it one of a kind."""
    name = f"{event.source}\0{event.id}".encode("utf-8", "surrogatepass")
    return f"{trigger.uid}/{hashlib.sha256(name).hexdigest()[:40]}"


def _addressed(
    trigger: EventTrigger, event: CloudEvent, resolve: Resolve
) -> tuple[Target, Payload | None]:
    match trigger.destination:
        case ServiceDestination() | HttpDestination():
            account = trigger.service_account
            headers, body = encode_binary(event)
            target = HttpTarget(
                url_of(trigger, resolve),
                token=OidcToken(account) if account else None,
                deadline=trigger.deadline,
                follow_redirects=False,
            )
            return target, Payload(body, headers)
        case JobDestination() as job:
            captures = _captures(answers(trigger.filters, event))
            overrides = with_event(rendered(job.overrides, Context(event, captures)), event)
            project, region = job.project or trigger.project, job.region or trigger.region
            return JobTarget(job.job, project, region, overrides, job.ack), _as_file(event)
        case TopicDestination(topic):
            attributes, data = encode_message(event)
            return PubsubTarget(topic, data, attributes), None


def _as_file(event: CloudEvent) -> Payload:
    return Payload(encode_structured(event), (("content-type", STRUCTURED_TYPE),))


def _captures(given: Iterable[FilterAnswer]) -> dict[str, str]:
    found: dict[str, str] = {}
    for answer in given:
        found |= answer.captures
    return found


# ---------------------------------------------------------------- services


def url_of(trigger: EventTrigger, resolve: Resolve) -> str:
    """Where its calls go. Raises TypeError for a destination that is not called."""
    match trigger.destination:
        case HttpDestination(uri):
            return uri
        case ServiceDestination(service, path, region):
            if is_url(service):
                return _joined(service, path)
            scope = Scope(trigger.project, region or trigger.region)
            known = resolve(scope, service)
            return _joined(known, path) if known else pending_url(scope, service, path)
        case other:
            raise TypeError(f"{type(other).__name__} has no URL")


def pending_url(scope: Scope, service: str, path: str = "") -> str:
    """Stands for a service whose URL is not known."""
    return _joined(f"http://{service}.{scope.region}.{scope.project}.service.invalid", path)


def read_pending_url(url: str) -> tuple[Scope, str, str] | None:
    """Scope, name and path of the service that a URL stands for; ``None`` for a real URL."""
    found = _PENDING.fullmatch(url)
    if found is None:
        return None
    return Scope(found["project"], found["region"]), found["name"], found["path"] or ""


def resolved_url(url: str, resolve: Resolve) -> str | None:
    """The URL to call; ``None`` while the service that it stands for is not known."""
    pending = read_pending_url(url)
    if pending is None:
        return url
    scope, name, path = pending
    known = resolve(scope, name)
    return _joined(known, path) if known else None


def _joined(base: str, path: str) -> str:
    if not path:
        return base
    if path.startswith("?"):
        return base + path
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


# ---------------------------------------------------------------- jobs


def event_variables(event: CloudEvent) -> tuple[EnvVar, ...]:
    """``CE_TYPE``, ``CE_ID``, … and one for each extension. A value that is too long for the
    environment of a process is left out."""
    found = []
    for name, value in event.attributes():
        text = text_of(value)
        if len(text.encode("utf-8", "surrogatepass")) <= MAX_VARIABLE:
            found.append(EnvVar(f"CE_{name.upper()}", text))
    return tuple(found)


def with_event(overrides: Overrides, event: CloudEvent) -> Overrides:
    """``overrides`` and the variables of an event, in each container that they name, or in the one
    that there is. A variable that they set themselves stays."""
    containers = overrides.containers or (ContainerOverride(),)
    variables = event_variables(event)
    changed = []
    for container in containers:
        own = {variable.name for variable in container.env}
        added = tuple(variable for variable in variables if variable.name not in own)
        changed.append(replace(container, env=(*added, *container.env)))
    return replace(overrides, containers=tuple(changed))


def rendered(overrides: Overrides, context: Context) -> Overrides:
    """With their templates filled in. Raises InvalidSpec."""
    containers = []
    for container in overrides.containers:
        args = tuple(
            render(parse_template(text, f"args[{place}]"), context, f"args[{place}]")
            for place, text in enumerate(container.args)
        )
        env = tuple(
            variable
            if variable.value is None
            else replace(variable, value=_filled(variable.value, context, variable.name))
            for variable in container.env
        )
        containers.append(replace(container, args=args, env=env))
    return replace(overrides, containers=tuple(containers))


def _filled(text: str, context: Context, name: str) -> str:
    return render(parse_template(text, f"env[{name}]"), context, f"env[{name}]")


# ---------------------------------------------------------------- messages


def plan_message(
    subscription: Subscription,
    message: PubsubMessage,
    *,
    now: float,
    uid: str,
    attempt: int = 0,
) -> MessagePlan:
    """What a message of a subscription leads to. ``attempt`` is for one that is acknowledged when
    it is finished: how many of its deliveries have been given up. Raises InvalidSpec for a
    subscription whose filter is none."""
    attributes = dict(message.attributes)
    if not passes(subscription.filter, attributes):
        return MessagePlan(None, explain_filter(subscription.filter, attributes).reason)
    event = message_published(message, subscription.topic, subscription.full_name)
    if event.hops > MAX_HOPS:
        problem = f"{event.hops} events of our own led to it; more than {MAX_HOPS} go round"
        return MessagePlan(None, problem)
    retry: RetryPolicy = subscription.retry
    numbered = message
    if subscription.ack is AckPolicy.DURABLE:
        # These attempts are ours, and count from the first.
        number = 1 if subscription.counts_attempts else None
        numbered = replace(message, delivery_attempt=number)
    else:
        retry = EventRetry(max_attempts=1, lifetime=subscription.retry.retention)
    try:
        target, payload = _directed(subscription, numbered, event)
    except InvalidSpec as error:
        return MessagePlan(None, "the filter agrees", error.message)
    delivery = Delivery(
        uid=uid,
        project=subscription.project,
        region=subscription.region,
        source=SourceKind.SUBSCRIPTION,
        source_name=subscription.name,
        key=message_key(subscription, message, attempt),
        target=target,
        retry=retry,
        payload=payload,
        order_key=(message.ordering_key or None) if subscription.ordered else None,
        created_at=now,
        queued_at=message.published_at,
        not_before=now,
        hops=event.hops,
    )
    return MessagePlan(
        delivery, "the filter agrees" if subscription.filter else "there is no filter"
    )


def message_key(subscription: Subscription, message: PubsubMessage, attempt: int = 0) -> str:
    """The same for the same message, however often it is delivered, until that attempt of it was
    given up."""
    key = str(message.key(subscription.uid))
    return f"{key}/{attempt}" if attempt else key


def _directed(
    subscription: Subscription, message: PubsubMessage, event: CloudEvent
) -> tuple[Target, Payload]:
    target = subscription.target
    if isinstance(target, JobTarget):
        overrides = with_event(rendered(target.overrides, Context(event)), event)
        return replace(target, overrides=overrides), _as_file(event)
    headers, body = encode_push(message, subscription.full_name, subscription.sends)
    called = replace(target, deadline=subscription.ack_deadline, follow_redirects=False)
    return called, Payload(body, headers)
