"""Work that comes round by the clock: house-keeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from jobrunner.ports import Clock

DAY = 86_400.0


class Rounds:
    """``work`` at once, and then after each ``seconds``; on a virtual clock, which passes a year in
    a minute, once a day. ``name`` is what it is, for people."""

    def __init__(
        self, clock: Clock, seconds: float, work: Callable[[], Awaitable[None]], name: str
    ) -> None:
        self._clock = clock
        self._seconds = max(seconds, DAY) if clock.virtual else seconds
        self._work = work
        self._name = name
        self._due = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        self._due.set()
        self._clock.join(self)
        while True:
            await self._work()
            self._due.clear()
            self._clock.rested()
            silence = self._clock.wake(self._clock.now() + self._seconds, self._due.set)
            try:
                await self._due.wait()
            finally:
                silence()

    def look(self) -> None:
        """There is no news for it."""

    def doing(self) -> Sequence[str]:
        return [f"{self._name} is under way"] if self._due.is_set() else []
