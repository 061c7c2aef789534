"""Looks after servers on the same database that stand still in the middle of a transaction."""

from __future__ import annotations

import logging
import threading

from jobrunner.lib.database import FROZEN_SECONDS, Database, DatabaseError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


class FrozenWatch:
    """A thread of its own: when a frozen neighbour has the lock that this server needs next, the
    event loop stands still within the statement that waits for it."""

    def __init__(
        self, database: Database, every: float = LOOK_SECONDS, after: float = FROZEN_SECONDS
    ) -> None:
        self._database = database
        self._every, self._after = every, after
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frozen neighbours", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; a look that has begun may go on for a moment."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                freed = self._database.free_frozen(self._after)
            except DatabaseError as error:
                log.debug("Nobody looks after frozen neighbours: %s", error)
                continue
            if freed:
                log.warning(
                    "%d transactions of other servers stood still and were ended: what they had"
                    " locked is free. Look for a stopped process or machine.",
                    freed,
                )
