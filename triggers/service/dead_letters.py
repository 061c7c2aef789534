"""Messages that a subscription of ours gives up go to its dead-letter topic: a delivery of their
own, opened in the transaction in which the message is recorded as DEAD."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jobrunner.core.records import Scope
from jobrunner.ports import Clock, Ids
from triggers.core.dead_letters import dead_letter, is_given_up
from triggers.core.states import DeliveryState
from triggers.errors import InvalidEvent
from triggers.event_ports import SubscriptionStore
from triggers.ports import DeliveryStore, Move

log = logging.getLogger("jobrunner.subscriptions")


class DeadLetters:
    def __init__(
        self, store: SubscriptionStore, deliveries: DeliveryStore, clock: Clock, ids: Ids
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
            if letter.state is not DeliveryState.DEAD or not is_given_up(letter):
                continue
            scope = Scope(letter.project, letter.region)
            subscription = self._store.find(scope, letter.source_name)
            if subscription is None or not subscription.dead_letter_topic:
                continue
            now = self._clock.now()
            try:
                copy = dead_letter(letter, subscription, uid=self._ids.uid(), now=now)
            except InvalidEvent as error:
                log.error("Delivery %s cannot be a dead letter: %s", letter.uid, error.message)
                continue
            self._deliveries.open(copy)
