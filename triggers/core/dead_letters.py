"""What a subscription publishes when it gives a message up: the message, and where it came from."""

from __future__ import annotations

import json
from dataclasses import replace

from jobrunner.core.timestamps import format_time, parse_time
from triggers.core.envelopes import decode_wrapped
from triggers.core.events import PubsubMessage
from triggers.core.records import (
    Delivery,
    EventRetry,
    JobTarget,
    Payload,
    PubsubTarget,
    PushRetry,
    SourceKind,
)
from triggers.core.subscriptions import Subscription, Wrapping
from triggers.errors import InvalidEvent

ORIGIN = "x-jobrunner-message"
"""A header of a payload that does not say all of its message: the rest, for the dead letter. It is
never sent."""

COUNT = "CloudPubSubDeadLetterSourceDeliveryCount"
SUBSCRIPTION = "CloudPubSubDeadLetterSourceSubscription"
PROJECT = "CloudPubSubDeadLetterSourceSubscriptionProject"
PUBLISH_TIME = "CloudPubSubDeadLetterSourceTopicPublishTime"


def with_origin(delivery: Delivery, subscription: Subscription, message: PubsubMessage) -> Delivery:
    """``delivery`` as it is if its payload says all of ``message``, or nobody will ask."""
    payload = delivery.payload
    if not subscription.dead_letter_topic or payload is None:
        return delivery
    if isinstance(delivery.target, JobTarget) or subscription.sends is Wrapping.WRAPPED:
        return delivery
    text = json.dumps(
        {
            "id": message.message_id,
            "time": message.publish_time,
            "attributes": dict(message.attributes),
            "key": message.ordering_key,
        },
        separators=(",", ":"),
    )
    return replace(delivery, payload=Payload(payload.body, (*payload.headers, (ORIGIN, text))))


def is_given_up(delivery: Delivery) -> bool:
    """Whether a DEAD delivery is a message that goes to the dead-letter topic, if there is one: by
    our own engine, and not a dead letter itself."""
    return _is_message(delivery) and isinstance(delivery.retry, PushRetry)


def sender_goes_on(delivery: Delivery) -> bool:
    """Whether it was one attempt of a message that is acknowledged when it is finished: Pub/Sub
    has the message, and sends it again. A replay of such an attempt is nobody's but ours."""
    once = isinstance(delivery.retry, EventRetry) and delivery.parent is None
    return _is_message(delivery) and once


def _is_message(delivery: Delivery) -> bool:
    """One that a subscription of ours has taken in, and no copy for a dead-letter topic."""
    of_ours = delivery.source is SourceKind.SUBSCRIPTION
    return of_ours and not isinstance(delivery.target, PubsubTarget)


def dead_letter(
    delivery: Delivery, subscription: Subscription, *, uid: str, now: float
) -> Delivery:
    """The duty to publish the message of ``delivery``. Raises InvalidEvent for a payload that is no
    message any more."""
    message = _message(delivery)
    attributes = dict(message.attributes) | {
        COUNT: str(delivery.attempts),
        SUBSCRIPTION: subscription.full_name.rpartition("/")[2],
        PROJECT: subscription.full_name.split("/")[1],
        PUBLISH_TIME: format_time(message.published_at),
    }
    topic = subscription.dead_letter_topic
    target = PubsubTarget(topic, message.data, tuple(attributes.items()), message.ordering_key)
    return Delivery(
        uid=uid,
        project=delivery.project,
        region=delivery.region,
        source=SourceKind.SUBSCRIPTION,
        source_name=delivery.source_name,
        key=f"{delivery.key}/dead-letter/{delivery.uid}",
        target=target,
        retry=PushRetry(min_backoff=1.0),
        created_at=now,
        queued_at=now,
        not_before=now,
        hops=delivery.hops,
    )


def _message(delivery: Delivery) -> PubsubMessage:
    payload = delivery.payload or Payload()
    if isinstance(delivery.target, JobTarget):
        # The data of the event is the envelope.
        try:
            document = json.loads(payload.body)["data"]
        except (ValueError, KeyError, TypeError):
            raise InvalidEvent("it is not the event of a message", field="payload") from None
        return decode_wrapped(json.dumps(document).encode()).message
    for name, value in payload.headers:
        if name == ORIGIN:
            return _with_data(value, payload.body)
    return decode_wrapped(payload.body).message


def _with_data(origin: str, data: bytes) -> PubsubMessage:
    try:
        said = json.loads(origin)
        return PubsubMessage(
            said["id"],
            said["time"],
            parse_time(said["time"]),
            data,
            tuple(said["attributes"].items()),
            said["key"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidEvent("it is not the origin of a message", field=ORIGIN) from None
