"""How long settled deliveries are kept."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from jobrunner.errors import JobrunnerError
from jobrunner.ports import Clock, Commit
from jobrunner.service.rounds import Rounds
from triggers.core.states import DeliveryState
from triggers.ports import DeliveryFilter, DeliveryStore

DAY = 86_400.0
AT_ONCE = 200
PAUSE_SECONDS = 0.2
"""Between two portions, so that deliveries go on meanwhile."""
ROUND_SECONDS = 3600.0

log = logging.getLogger("jobrunner.deliveries")


@dataclass(frozen=True, slots=True)
class KeepingTimes:
    """Seconds since the end. ``done`` is for what was delivered or withdrawn, ``letters`` for what
    was given up. A key is known as long as its delivery is kept."""

    done: float = 7 * DAY
    letters: float = 31 * DAY


class Keeping:
    def __init__(
        self, store: DeliveryStore, commit: Commit, clock: Clock, times: KeepingTimes
    ) -> None:
        self._store = store
        self._commit = commit
        self._clock = clock
        self._ages = (
            (frozenset({DeliveryState.DELIVERED, DeliveryState.CANCELLED}), times.done),
            (frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED}), times.letters),
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        name = "the removal of old deliveries"
        await Rounds(self._clock, ROUND_SECONDS, self._one_round, name).run()

    async def _one_round(self) -> None:
        try:
            gone = await self.round()
            if gone:
                log.info("%d old deliveries were removed.", gone)
        except JobrunnerError as error:
            log.warning("Old deliveries could not be removed: %s", error)

    async def round(self) -> int:
        """Removes all that is too old, in portions; returns how many. Raises StoreFault."""
        total = 0
        for states, age in self._ages:
            before = self._clock.now() - age
            while True:
                gone = await self._portion(states, before)
                total += gone
                if gone < AT_ONCE:
                    break
                await asyncio.sleep(PAUSE_SECONDS)
        return total

    async def _portion(self, states: frozenset[DeliveryState], before: float) -> int:
        wanted = DeliveryFilter(states=states)
        return await self._commit(
            lambda: self._store.purge(wanted, settled_before=before, limit=AT_ONCE)
        )
