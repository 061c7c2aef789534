"""Purges of queues, in portions: a hundred thousand tasks are not one transaction, and what goes on
beside them is not held up.

The instant of a purge and the last task that it takes are stored first. Whoever was killed in the
middle of it goes on with the next start, and so do other servers of the same store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobrunner.core.records import Scope
from jobrunner.errors import JobrunnerError, NotFound
from jobrunner.ports import Clock, Commit
from jobrunner.service.rounds import Rounds
from triggers.core.queues import Queue
from triggers.service.queues import PURGED, REMOVED, Queues

AT_ONCE = 1000
"""Tasks of one transaction, some 20 ms."""
ROUND_SECONDS = 60.0

log = logging.getLogger("jobrunner.queues")


class Purges:
    """``look`` tells the dispatcher that there is something new."""

    def __init__(
        self,
        queues: Queues,
        commit: Commit,
        look: Callable[[], None],
        *,
        at_once: int = AT_ONCE,
    ) -> None:
        self._queues = queues
        self._commit = commit
        self._look = look
        self._at_once = at_once

    async def purge(self, scope: Scope, name: str) -> Queue:
        """Withdraws every task that was created before now; tasks may go meanwhile. Raises
        NotFound, StoreFault."""
        queue = await self._commit(lambda: self._queues.purge(scope, name))
        self._queues.halted(queue, emptied=True)
        await self._withdraw(queue.uid, PURGED)
        return queue

    async def delete(self, scope: Scope, name: str) -> None:
        """With its tasks; a call under way is broken off, a run goes on. Raises NotFound,
        StoreFault."""
        queue = await self._commit(lambda: self._queues.condemn(scope, name))
        self._queues.halted(queue, emptied=True)
        await self._withdraw(queue.uid, REMOVED)
        await self._commit(lambda: self._queues.delete(scope, name))
        self._look()

    async def run(self, clock: Clock) -> None:
        """Ends the purges that somebody was killed in, until it is cancelled."""
        await Rounds(clock, ROUND_SECONDS, self._one_round, "the purge of queues").run()

    async def _one_round(self) -> None:
        try:
            await self.round()
        except JobrunnerError as error:
            log.warning("Queues could not be purged: %s", error)

    async def round(self) -> None:
        """Raises StoreFault."""
        for queue in self._queues.unpurged():
            await self._withdraw(queue.uid, PURGED)

    async def _withdraw(self, uid: str, reason: str) -> None:
        more = True
        while more:
            try:
                more = await self._commit(
                    lambda: self._queues.purge_some(uid, self._at_once, reason)
                )
            except NotFound:
                return
            self._look()
            await asyncio.sleep(0)
