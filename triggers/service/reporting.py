"""Tells whoever watches a server of the events that come in and of the deliveries that they and all
the rest open, in the order in which they became durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from jobrunner.core.news import News, Tone
from jobrunner.errors import JobrunnerError
from triggers.core.lifecycle_events import goes_round
from triggers.core.records import Delivery, DeliveryAttempt
from triggers.core.states import SETTLED_DELIVERIES, DeliveryState
from triggers.event_ports import EventLog, Logged
from triggers.ports import Move, place_of

LOOK_SECONDS = 0.1
LOOK_LIMIT = 500
PENDING = ".service.invalid"

log = logging.getLogger("jobrunner.deliveries")


class Reporting:
    """``tell`` returns at once."""

    def __init__(self, kept: EventLog, tell: Callable[[News], None]) -> None:
        self._kept = kept
        self._tell = tell
        self._last: int | None = None

    async def run(self) -> None:
        """What no delivery follows is looked for, until this is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Tells of the events since the last look."""
        try:
            if self._last is None:
                latest = self._kept.listing(limit=1)
                self._last = latest[-1].position if latest else 0
                return
            while True:
                found = self._kept.listing(after=self._last, limit=LOOK_LIMIT)
                for entry in found:
                    self._last = entry.position
                    self._tell(_event(entry))
                if len(found) < LOOK_LIMIT:
                    return
        except JobrunnerError as error:
            log.debug("Events are not told: %s", error)

    def moved(self, moves: Sequence[Move]) -> None:
        """Of moves that are durable. What led to them is told first."""
        told = [move for move in moves if _worth_telling(move)]
        if told:
            self.look()
        for move in told:
            self._tell(delivery_news(move.after, move.attempt))


def _worth_telling(move: Move) -> bool:
    after = move.after
    return (
        move.attempt is not None
        or after.state in SETTLED_DELIVERIES
        or after.state is DeliveryState.FOLLOWING
    )


def _event(entry: Logged) -> News:
    event = entry.event
    names = [led.trigger for led in entry.led]
    problems = [f"{led.trigger}: {led.problem}" for led in entry.led if led.problem]
    detail = f"→ {', '.join(names)}" if names else goes_round(event.hops) or "no trigger wants it"
    again = bool(names) and all(led.again for led in entry.led)
    state = "failed" if problems else "again" if again else "matched" if names else "unmatched"
    subject = f" {event.subject}" if event.subject else ""
    if problems:
        detail = "; ".join(problems)
    return News(
        entry.at,
        "event",
        event.type + subject,
        state,
        detail,
        Tone.BAD if problems else Tone.GOOD if names else Tone.PLAIN,
        {
            "type": event.type,
            "id": event.id,
            "source": event.source,
            "subject": event.subject or "",
            "triggers": names,
        },
    )


_TONES = {
    DeliveryState.DELIVERED: Tone.GOOD,
    DeliveryState.DEAD: Tone.BAD,
    DeliveryState.EXPIRED: Tone.BAD,
    DeliveryState.CANCELLED: Tone.BAD,
    DeliveryState.PENDING: Tone.BUSY,
}
_WORDS = {DeliveryState.PENDING: "retry", DeliveryState.FOLLOWING: "started"}


def _called(place: str) -> str:
    """A service that goes by its name has no address before it is called."""
    return f"service {place.partition('.')[0]}" if PENDING in place else place


def delivery_news(one: Delivery, attempt: DeliveryAttempt | None) -> News:
    state = _WORDS.get(one.state, one.state.value.lower())
    place = _called(place_of(one.target))
    detail = f"→ {place}"
    fields: dict[str, object] = {
        "delivery": one.uid,
        "source": one.source.value,
        "sourceName": one.source_name,
        "target": place,
        "attempts": one.attempts,
    }
    settled = one.state in SETTLED_DELIVERIES and one.state is not DeliveryState.DELIVERED
    if attempt is not None:
        said = attempt.error or ("" if attempt.status is None else str(attempt.status))
        # The reason begins with it where both are told.
        detail += f"  {said}" if said and not (settled and one.reason.startswith(said)) else ""
        fields |= {"number": attempt.number, "status": attempt.status, "error": attempt.error}
    if one.state is DeliveryState.PENDING:
        detail += f"  attempt {one.attempts}"
    elif one.reason and one.state is not DeliveryState.DELIVERED:
        detail += f"  {one.reason}"
    at = one.settled_at
    if at is None and attempt is not None:
        at = attempt.ended_at or attempt.started_at
    if at is None:
        at = one.last_attempt_at or one.created_at
    tone = _TONES.get(one.state, Tone.BUSY)
    return News(
        at, "delivery", f"{one.source.value} {one.source_name}", state, detail, tone, fields
    )
