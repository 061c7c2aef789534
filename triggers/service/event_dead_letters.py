"""Events that a trigger gives up go to its dead-letter topic: a delivery of their own, opened in
the transaction in which that is recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jobrunner.ports import Clock, Ids
from triggers.core.event_dead_letters import dead_letter, is_given_up
from triggers.errors import InvalidEvent
from triggers.event_ports import EventTriggerStore
from triggers.ports import DeliveryStore, Move

log = logging.getLogger("jobrunner.events")


class EventDeadLetters:
    def __init__(
        self, store: EventTriggerStore, deliveries: DeliveryStore, clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._clock = clock
        self._ids = ids

    def recorded(self, moves: Sequence[Move]) -> None:
        """Inside the transaction that has written ``moves``. May be called again after a
        collision."""
        for move in moves:
            letter = move.after
            if not is_given_up(letter):
                continue
            trigger = self._store.find(letter.scope, letter.source_name)
            if trigger is None or not trigger.dead_letter_topic:
                continue
            now = self._clock.now()
            try:
                copy = dead_letter(letter, trigger, uid=self._ids.uid(), now=now)
            except InvalidEvent as error:
                log.error("Delivery %s cannot be a dead letter: %s", letter.uid, error.message)
                continue
            self._deliveries.open(copy)
