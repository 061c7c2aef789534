"""What an event trigger publishes when it gives an event up: the event as a message, and where it
came from. Pure."""

from __future__ import annotations

from triggers.core.cloudevents.decode import decode, decode_structured
from triggers.core.cloudevents.pubsub_binding import encode_message
from triggers.core.dead_letters import COUNT, PROJECT, SUBSCRIPTION
from triggers.core.envelopes import decode_wrapped
from triggers.core.event_triggers import EventTrigger
from triggers.core.events import CloudEvent
from triggers.core.google_events import MESSAGE_PUBLISHED
from triggers.core.records import (
    Delivery,
    EventRetry,
    Headers,
    JobTarget,
    Payload,
    PubsubTarget,
    SourceKind,
)
from triggers.core.states import DeliveryState
from triggers.errors import InvalidEvent

GIVEN_UP = frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED})
_LETTER = "/dead-letter/"
_RETRY = EventRetry(min_backoff=1.0, lifetime=7 * 86_400.0)


def is_given_up(delivery: Delivery) -> bool:
    """Whether its event goes to the dead-letter topic, if there is one: it is no letter itself."""
    return (
        delivery.source is SourceKind.EVENT_TRIGGER
        and delivery.state in GIVEN_UP
        and _LETTER not in delivery.key
    )


def dead_letter(delivery: Delivery, trigger: EventTrigger, *, uid: str, now: float) -> Delivery:
    """The duty to publish the event of ``delivery``. Raises InvalidEvent for a payload that is no
    event any more."""
    attributes, data = _message(delivery)
    name = trigger.transport.subscription.rpartition("/")[2] or trigger.name
    told = ((COUNT, str(delivery.attempts)), (SUBSCRIPTION, name), (PROJECT, trigger.project))
    return Delivery(
        uid=uid,
        project=delivery.project,
        region=delivery.region,
        source=SourceKind.EVENT_TRIGGER,
        source_name=delivery.source_name,
        key=f"{delivery.key}{_LETTER}{delivery.uid}",
        target=PubsubTarget(trigger.dead_letter_topic, data, (*attributes, *told)),
        retry=_RETRY,
        created_at=now,
        queued_at=now,
        not_before=now,
        hops=delivery.hops,
    )


def _message(delivery: Delivery) -> tuple[Headers, bytes]:
    """Attributes and data, as they came to the transport topic."""
    if isinstance(delivery.target, PubsubTarget):
        return delivery.target.attributes, delivery.target.data
    event = _event(delivery)
    if event.type == MESSAGE_PUBLISHED:
        message = decode_wrapped(event.data).message
        return message.attributes, message.data
    return encode_message(event)


def _event(delivery: Delivery) -> CloudEvent:
    payload = delivery.payload or Payload()
    if not isinstance(delivery.target, JobTarget):
        return decode(payload.headers, payload.body, limit=len(payload.body) + 2**20)[0]
    try:
        return decode_structured(payload.body.decode())
    except UnicodeDecodeError:
        raise InvalidEvent("it is not the event of a delivery", field="payload") from None
