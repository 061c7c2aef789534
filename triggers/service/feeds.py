"""Feeds of our own that are read from where the last reader stood, by one runner at a time.

A look whether they have grown is one small read for each, soon after this process has written, and
now and then for what others write. What is found is read in transactions of the group commit, and
what is opened there is written with where the reader stands then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from jobrunner.ports import Clock, Commit
from triggers.service.crashpoints import crash_point

REST_SECONDS = 0.2
"""Between two looks, however much is written."""
POLL_SECONDS = 1.0
"""Between two looks while this process writes nothing."""
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""

log = logging.getLogger("jobrunner.events")


@dataclass(frozen=True, slots=True)
class Read:
    """``position`` is where the reader stands now, ``None`` if another runner reads at the
    moment."""

    position: int | None
    opened: int = 0


class Feed(Protocol):
    """Something whose entries have positions, which grow and become visible in their order."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def last(self) -> int:
        """The position of the newest entry. Cheap enough to ask for several times a second."""
        ...

    def read(self, now: float) -> Read:
        """Inside a transaction: goes on a bit. Raises StoreFault; then nothing was written."""
        ...


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
        rest: float = REST_SECONDS,
    ) -> None:
        self._feeds = feeds
        self._commit = commit
        self._clock = clock
        self._opened = opened
        self._poll = poll
        self._rest = rest
        self._stands: dict[str, int] = {}
        self._news = Bell(apart=clock.virtual)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stirred = False
        self._sleeping = False
        self._waiting = False
        self._runs = False

    def look(self) -> None:
        """See :class:`jobrunner.ports.Worker`."""
        self._news.ring()

    def stirred(self) -> None:
        """Something was written, by whatever thread of this process."""
        self._stirred = True
        if self._sleeping and self._loop is not None:
            self._sleeping = False
            self._loop.call_soon_threadsafe(self._news.ring)

    def doing(self) -> Sequence[str]:
        """See :class:`jobrunner.ports.Worker`."""
        busy = self._runs and (self._news.rung or not self._waiting)
        return ["what happened is told"] if busy else []

    async def run(self) -> None:
        """Until it is cancelled."""
        self._runs = True
        self._loop = asyncio.get_running_loop()
        while True:
            self._news.silence()
            rests, self._stirred = self._stirred, False
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
            if not (rests and await self._news.heard(self._rest)):
                await self._sleep()
            self._waiting = False

    async def _sleep(self) -> None:
        # In this order: a writer in another thread may come between any two steps.
        self._sleeping = True
        if not self._stirred:
            await self._news.heard(self._poll)
        self._sleeping = False

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
