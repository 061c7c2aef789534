"""Says when a container engine that is needed goes away, and when it is back.

What runs in its containers is followed all the while, and goes on when the engine does: nobody
would hear of it otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobrunner.ports import Backend

GLANCE_SECONDS = 10.0
PATIENCE_SECONDS = 5.0

log = logging.getLogger("jobrunner.server")


class EngineWatch:
    """``make`` gives a backend that has not been opened: one that has met its engine remembers
    what it said. ``needed`` says whether anything that is driven depends on it."""

    def __init__(self, make: Callable[[], Backend], needed: Callable[[], bool]) -> None:
        self._make = make
        self._needed = needed
        self._away = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(GLANCE_SECONDS)
            if self._needed() or self._away:
                self.note(*await self._look())

    async def _look(self) -> tuple[bool, str]:
        backend = self._make()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                health = await backend.probe()
        except TimeoutError:
            return False, f"It has not answered for {PATIENCE_SECONDS:.0f} s."
        finally:
            await backend.close()
        return health.ok, health.detail

    def note(self, ok: bool, detail: str) -> None:
        if ok == (not self._away):
            return
        self._away = not ok
        if ok:
            log.info("The container engine is back: %s", detail)
        else:
            log.warning("The container engine is away, what runs there is not seen: %s", detail)
