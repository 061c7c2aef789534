"""The state machines of the trigger layer. This file owns them, and they are tables.

A Delivery is the durable duty to call one Target with one payload, at least once. An Occurrence is
one due moment of a Schedule. An event that has no cell raises :class:`IllegalTransition` and
changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from triggers.errors import IllegalTransition


class DeliveryState(StrEnum):
    PENDING = "PENDING"
    """Waits until its ``not_before``."""
    SENDING = "SENDING"
    """A runner holds it by a lease; a request may be on the wire."""
    FOLLOWING = "FOLLOWING"
    """Its execution is stored and runs; neither a lease nor an in-flight slot is held."""
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    """Given up; it stays as a dead letter and can be replayed."""
    EXPIRED = "EXPIRED"
    """Grew older than its source keeps messages, before anybody took it."""
    CANCELLED = "CANCELLED"


class DeliveryEvent(StrEnum):
    CLAIMED = "claimed"
    FOLLOWING = "following"
    ACCEPTED = "accepted"
    RETRYABLE = "retryable"
    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    LEASE_EXPIRED = "lease_expired"
    WITHDRAWN = "withdrawn"
    AGED_OUT = "aged_out"


class OccurrenceState(StrEnum):
    WAITING = "WAITING"
    """Due, and held back by the overlap rule."""
    OPEN = "OPEN"
    """Its delivery, or the run that it started, has not ended."""
    CLOSED = "CLOSED"
    SKIPPED = "SKIPPED"
    """The overlap rule forbade it, or something newer took its place."""
    MISSED = "MISSED"
    """Nobody was there when it was due, and the rule for missed runs left it out."""


class OccurrenceEvent(StrEnum):
    ADMITTED = "admitted"
    DROPPED = "dropped"
    ENDED = "ended"


_D, _V = DeliveryState, DeliveryEvent
_O, _W = OccurrenceState, OccurrenceEvent

SETTLED_DELIVERIES = frozenset({_D.DELIVERED, _D.DEAD, _D.EXPIRED, _D.CANCELLED})
SETTLED_OCCURRENCES = frozenset({_O.CLOSED, _O.SKIPPED, _O.MISSED})

DELIVERIES: dict[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {
    (_D.PENDING, _V.CLAIMED): _D.SENDING,
    (_D.PENDING, _V.WITHDRAWN): _D.CANCELLED,
    (_D.PENDING, _V.AGED_OUT): _D.EXPIRED,
    (_D.SENDING, _V.FOLLOWING): _D.FOLLOWING,
    (_D.SENDING, _V.ACCEPTED): _D.DELIVERED,
    (_D.SENDING, _V.RETRYABLE): _D.PENDING,
    (_D.SENDING, _V.EXHAUSTED): _D.DEAD,
    (_D.SENDING, _V.REJECTED): _D.DEAD,
    (_D.SENDING, _V.LEASE_EXPIRED): _D.PENDING,
    (_D.SENDING, _V.WITHDRAWN): _D.CANCELLED,
    (_D.FOLLOWING, _V.ACCEPTED): _D.DELIVERED,
    (_D.FOLLOWING, _V.RETRYABLE): _D.PENDING,
    (_D.FOLLOWING, _V.EXHAUSTED): _D.DEAD,
    (_D.FOLLOWING, _V.REJECTED): _D.DEAD,
    (_D.FOLLOWING, _V.WITHDRAWN): _D.CANCELLED,
}

OCCURRENCES: dict[tuple[OccurrenceState, OccurrenceEvent], OccurrenceState] = {
    (_O.WAITING, _W.ADMITTED): _O.OPEN,
    (_O.WAITING, _W.DROPPED): _O.SKIPPED,
    (_O.OPEN, _W.ENDED): _O.CLOSED,
}


def step(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state of a delivery after ``event``. Raises :class:`IllegalTransition`."""
    try:
        return DELIVERIES[state, event]
    except KeyError:
        raise IllegalTransition(f"a delivery that is {state} cannot take {event}") from None


def step_occurrence(state: OccurrenceState, event: OccurrenceEvent) -> OccurrenceState:
    """The state of an occurrence after ``event``. Raises :class:`IllegalTransition`."""
    try:
        return OCCURRENCES[state, event]
    except KeyError:
        raise IllegalTransition(f"an occurrence that is {state} cannot take {event}") from None
