"""What messages of subscriptions tell beside themselves: that an object of Cloud Storage changed,
or what an audit log was told. Such a message goes to the target of its subscription, and as an
event to the triggers that wait for it."""

from __future__ import annotations

import logging

from triggers.core.cloudevents.jsontext import read_json
from triggers.core.events import CloudEvent, PubsubMessage
from triggers.core.google_events import (
    AUDIT,
    NOTIFICATIONS,
    from_audit_entry,
    from_notification,
    hops_of,
    is_audit_entry,
    is_notification,
)
from triggers.core.subscriptions import Subscription
from triggers.errors import InvalidEvent
from triggers.service.events import Events
from triggers.service.telling import tell

log = logging.getLogger("jobrunner.subscriptions")


class MessageEvents:
    def __init__(self, events: Events) -> None:
        self._events = events

    def taken(self, subscription: Subscription, message: PubsubMessage, now: float) -> None:
        """Inside the transaction that opens the delivery of a message. Raises StoreFault."""
        try:
            event = self._told(message)
        except InvalidEvent as error:
            log.warning(
                "Message %s of subscription %s is told to no trigger: %s",
                message.message_id, subscription.name, error.message,
            )  # fmt: skip
            return
        if event is not None:
            hops = hops_of(message)
            told = event.with_hops(hops) if hops else event
            tell(self._events, [(subscription.scope, told)], now)

    def _told(self, message: PubsubMessage) -> CloudEvent | None:
        """``None`` for any other message, and where nobody waits. Raises InvalidEvent."""
        if is_notification(message):
            kind = NOTIFICATIONS.get(message.attribute("eventType") or "")
            wanted = kind is not None and self._events.awaited(kind)
            return from_notification(message) if wanted else None
        if b'"protoPayload"' not in message.data or not self._events.awaited(AUDIT):
            return None
        try:
            entry = read_json(message.data.decode())
        except ValueError:
            return None
        return from_audit_entry(entry) if is_audit_entry(entry) else None
