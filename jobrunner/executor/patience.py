"""Trouble that may pass: a database that is locked or restarted, a backend that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrunner.errors import RunnerFault
from jobrunner.ports import Clock

PATIENCE_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Patience:
    """One piece of work that is tried again. ``warn`` hears of the first failure."""

    def __init__(self, clock: Clock, warn: Callable[[str], None]) -> None:
        self._clock = clock
        self._warn = warn
        self._until: float | None = None
        self._pause = FIRST_PAUSE

    @property
    def tried(self) -> bool:
        return self._until is not None

    async def bear(self, error: RunnerFault) -> None:
        """Returns after a moment; raises ``error`` once it has lasted for PATIENCE_SECONDS."""
        now = self._clock.monotonic()
        if self._until is None:
            self._until = now + PATIENCE_SECONDS
            self._warn(f"{error.message.rstrip('.')}: trying again for {PATIENCE_SECONDS:.0f} s.")
        elif now >= self._until:
            raise error
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
