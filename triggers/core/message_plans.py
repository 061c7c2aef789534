"""Which delivery a message of a subscription leads to, and why not. Nothing happens here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from jobrunner.errors import InvalidSpec
from triggers.core.envelopes import encode_push
from triggers.core.event_variables import as_file, rendered, with_event
from triggers.core.events import PubsubMessage
from triggers.core.google_events import hops_of, message_published
from triggers.core.lifecycle_events import goes_round
from triggers.core.making import quick
from triggers.core.message_filters import explain_filter, passes
from triggers.core.records import (
    Delivery,
    EventRetry,
    HttpTarget,
    JobTarget,
    Payload,
    RetryPolicy,
    SourceKind,
    Target,
)
from triggers.core.subscriptions import AckPolicy, Subscription
from triggers.core.templates import Context

_delivery = quick(Delivery)


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """Without a ``delivery`` the filter has said no, and ``reason`` says why: the message is
    acknowledged, and that is all. With a ``problem`` the delivery cannot be made: a template asks
    for what the message does not have."""

    delivery: Delivery | None
    reason: str
    problem: str = ""


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
    hops = hops_of(message)
    if problem := goes_round(hops):
        return MessagePlan(None, problem)
    retry: RetryPolicy = subscription.retry
    numbered = message
    if subscription.ack is AckPolicy.DURABLE:
        # These attempts are ours, and count from the first.
        number = 1 if subscription.counts_attempts else None
        if message.delivery_attempt != number:
            numbered = replace(message, delivery_attempt=number)
    else:
        retry = EventRetry(max_attempts=1, lifetime=subscription.retry.retention)
    try:
        target, payload = _directed(subscription, numbered)
    except InvalidSpec as error:
        return MessagePlan(None, "the filter agrees", error.message)
    delivery = _delivery(
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
        hops=hops,
    )
    return MessagePlan(
        delivery, "the filter agrees" if subscription.filter else "there is no filter"
    )


def message_key(subscription: Subscription, message: PubsubMessage, attempt: int = 0) -> str:
    """The same for the same message, however often it is delivered, until that attempt of it was
    given up."""
    key = str(message.key(subscription.uid))
    return f"{key}/{attempt}" if attempt else key


def _directed(subscription: Subscription, message: PubsubMessage) -> tuple[Target, Payload]:
    target = subscription.target
    if isinstance(target, JobTarget):
        event = message_published(message, subscription.topic, subscription.full_name)
        overrides = with_event(rendered(target.overrides, Context(event)), event)
        return replace(target, overrides=overrides), as_file(event)
    headers, body = encode_push(message, subscription.full_name, subscription.sends)
    return _called(target, subscription.ack_deadline), Payload(body, headers)


@lru_cache(maxsize=256)
def _called(target: HttpTarget, deadline: float) -> HttpTarget:
    """As a push calls it. The same few are asked for with every message."""
    return replace(target, deadline=deadline, follow_redirects=False)
