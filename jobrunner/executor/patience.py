"""Trouble that may pass: a database that is locked or restarted, a backend that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrunner.errors import RunnerFault
from jobrunner.ports import MachineClock

PATIENCE_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Patience:
    """One piece of work that is tried again. ``warn`` hears of the first failure. ``limit`` in
    seconds, ``None``: for ever."""

    def __init__(
        self,
        clock: MachineClock,
        warn: Callable[[str], None],
        *,
        limit: float | None = PATIENCE_SECONDS,
    ) -> None:
        self._clock = clock
        self._warn = warn
        self._limit = limit
        self._begun: float | None = None
        self._pause = FIRST_PAUSE

    @property
    def tried(self) -> bool:
        return self._begun is not None

    async def bear(self, error: RunnerFault) -> None:
        """Returns after a moment; raises ``error`` once it has lasted for too long."""
        now = self._clock.monotonic()
        if self._begun is None:
            self._begun = now
            how_long = "" if self._limit is None else f" for {self._limit:.0f} s"
            self._warn(f"{error.message.rstrip('.')}: trying again{how_long}.")
        elif self._limit is not None and now >= self._begun + self._limit:
            raise error
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
