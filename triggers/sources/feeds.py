"""Looks whether our own feeds have grown, and has them read; decides nothing.

A look is one small read for each feed. What is found is read in transactions of the group commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from jobrunner.errors import JobrunnerError
from jobrunner.ports import Clock, Commit
from triggers.service.crashpoints import crash_point
from triggers.service.reading import Feed, Read

POLL_SECONDS = 0.2
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""

log = logging.getLogger("jobrunner.events")


class FeedReader:
    """``opened`` is called when there is something to send."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        commit: Commit,
        clock: Clock,
        opened: Callable[[], None],
        *,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._feeds = feeds
        self._commit = commit
        self._clock = clock
        self._opened = opened
        self._poll = poll
        self._stands: dict[str, int] = {}
        self._news = asyncio.Event()
        self._waiting = False

    def look(self) -> None:
        """See :class:`jobrunner.ports.Worker`."""
        self._news.set()

    def doing(self) -> Sequence[str]:
        """See :class:`jobrunner.ports.Worker`."""
        return ["what happened is told"] if self._news.is_set() or not self._waiting else []

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._news.clear()
            try:
                for feed in self._feeds:
                    await self.catch_up(feed)
            except JobrunnerError as error:
                log.warning("What happened is told later: %s", error)
                await asyncio.sleep(FAULT_SECONDS)
                continue
            except Exception:
                log.exception("A look at what happened broke")
                await asyncio.sleep(FAULT_SECONDS)
                continue
            self._waiting = True
            self._clock.rested()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._poll)
            self._waiting = False

    async def catch_up(self, feed: Feed) -> None:
        """Reads ``feed`` to its end, unless another runner is at it. Raises StoreFault."""
        while feed.last() != self._stands.get(feed.name):
            done = await self._commit(lambda: self._read(feed))
            if done.position is None:
                return
            if done.opened:
                crash_point("changes-told")
                self._opened()
            self._stands[feed.name] = done.position

    def _read(self, feed: Feed) -> Read:
        return feed.read(self._clock.now())
