"""What is given up is said in the log of a server, for whoever waits for no event of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from triggers.core.dead_letters import sender_goes_on
from triggers.core.states import DeliveryState
from triggers.ports import Move, place_of

log = logging.getLogger("jobrunner.deliveries")


def say_given_up(moves: Sequence[Move]) -> None:
    """Of moves that are durable: a line for each dead letter."""
    for move in moves:
        after = move.after
        if after.state is DeliveryState.DEAD or after.state is DeliveryState.EXPIRED:
            if sender_goes_on(after):
                log.info(
                    "Delivery %s was refused, and Pub/Sub goes on: %s", after.uid, after.reason
                )
                continue
            source = f"{after.source.value} {after.source_name}".rstrip()
            log.warning(
                "Delivery %s (%s to %s) was given up: %s",
                after.uid,
                source,
                place_of(after.target),
                after.reason,
            )
