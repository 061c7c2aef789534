"""Missed occurrences and dead letters become events, in the transactions that record them: each is
recorded once, so each is told once."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.ports import Clock
from triggers.core.dead_letters import sender_goes_on
from triggers.core.lifecycle_events import DEAD, EXPIRED, MISSED, dead_letter_event, missed_event
from triggers.core.records import Occurrence, Schedule
from triggers.core.states import DeliveryState
from triggers.ports import Move, place_of
from triggers.service.events import Events
from triggers.service.telling import tell

_TYPES = {DeliveryState.DEAD: DEAD, DeliveryState.EXPIRED: EXPIRED}


class Mishaps:
    """What nobody waits for costs one look for each type."""

    def __init__(self, events: Events, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    def recorded(self, moves: Sequence[Move]) -> None:
        """Inside the transaction that has written ``moves``; see
        :meth:`triggers.service.dispatch.Dispatcher.watch`."""
        given_up = [
            move.after
            for move in moves
            if move.after.state in _TYPES and not sender_goes_on(move.after)
        ]
        awaited = {
            state
            for state in {letter.state for letter in given_up}
            if self._events.awaited(_TYPES[state])
        }
        found = [
            (letter.scope, dead_letter_event(letter, place_of(letter.target)))
            for letter in given_up
            if letter.state in awaited
        ]
        told = [(scope, event) for scope, event in found if event is not None]
        if told:
            tell(self._events, told, self._clock.now())

    def missed(self, schedule: Schedule, occurrence: Occurrence, now: float) -> None:
        """Inside the transaction that records the occurrence."""
        if self._events.awaited(MISSED):
            tell(self._events, [(schedule.scope, missed_event(schedule, occurrence, now))], now)
