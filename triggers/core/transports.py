"""What carries events to a trigger in Pub/Sub: the names of its topic and its subscription, and the
events in the messages of that. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from jobrunner.core.records import Scope
from triggers.core.cloudevents.jsontext import read_json
from triggers.core.cloudevents.pubsub_binding import carries_event, decode_message
from triggers.core.event_triggers import EventTrigger, Transport
from triggers.core.events import CloudEvent, PubsubMessage
from triggers.core.google_events import (
    MESSAGE_PUBLISHED,
    from_audit_entry,
    from_notification,
    is_audit_entry,
    is_notification,
    message_published,
)
from triggers.errors import InvalidEvent

GOOGLE = "google."


def transport_of(trigger: EventTrigger, seed: str, channel_topic: str = "") -> Transport:
    """Names what has no name yet, as Eventarc does; ``seed`` chooses the digits at their end. The
    topic of a trigger with a channel is that of the channel."""
    given, number = trigger.transport, _digits(seed)
    stem = f"eventarc-{trigger.region}-{trigger.name}"
    at = f"projects/{trigger.project}"
    return Transport(
        given.topic or channel_topic or f"{at}/topics/{stem}-{number}",
        given.subscription or f"{at}/subscriptions/{stem}-sub-{number}",
        own_topic=given.own_topic or bool(channel_topic and not given.topic),
    )


def channel_topic(scope: Scope, name: str, seed: str) -> str:
    stem = f"eventarc-channel-{scope.region}-{name}"
    return f"projects/{scope.project}/topics/{stem}-{_digits(seed)}"


def carried(trigger: EventTrigger) -> bool:
    """Whether its events come by its transport. Those of a channel are published to the channel,
    and those of our own life and of anybody else come by themselves."""
    transport = trigger.transport
    if trigger.channel or not transport.topic or not transport.subscription:
        return False
    return trigger.event_type.startswith(GOOGLE)


def carried_event(trigger: EventTrigger, message: PubsubMessage) -> CloudEvent:
    """What a message of the transport tells. For a trigger that waits for messages it is that there
    is one; for others it is an event in the binding of Pub/Sub, a notification of Cloud Storage or
    an entry of an audit log. Raises InvalidEvent for anything else."""
    transport = trigger.transport
    if trigger.event_type == MESSAGE_PUBLISHED:
        plain = replace(message, delivery_attempt=None)
        return message_published(plain, transport.topic, transport.subscription)
    if carries_event(message):
        return decode_message(message)
    if is_notification(message):
        return from_notification(message)
    try:
        entry: object = read_json(message.data.decode())
    except ValueError:
        entry = None
    if not is_audit_entry(entry):
        raise InvalidEvent(
            "it is no event, no notification of storage and no entry of an audit log"
        )
    return from_audit_entry(entry)


def _digits(seed: str) -> int:
    return int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16) % 900 + 100
