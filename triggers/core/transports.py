"""What carries events to a trigger in Pub/Sub: names of its topic and its subscription. Pure."""

from __future__ import annotations

import hashlib

from jobrunner.core.records import Scope
from triggers.core.event_triggers import EventTrigger, Transport

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


def _digits(seed: str) -> int:
    return int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16) % 900 + 100
