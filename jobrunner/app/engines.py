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
    """``needed`` says whether anything that is driven depends on ``backend``."""

    def __init__(self, backend: Backend, needed: Callable[[], bool]) -> None:
        self._backend = backend
        self._needed = needed
        self._away = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(GLANCE_SECONDS)
            if self._needed() or self._away:
                self.note(*await self._look())

    async def _look(self) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                health = await self._backend.probe()
        except TimeoutError:
            return False, f"it has not answered for {PATIENCE_SECONDS:.0f} s"
        return health.ok, health.detail

    def note(self, ok: bool, detail: str) -> None:
        if ok == (not self._away):
            return
        self._away = not ok
        if ok:
            log.info("The backend %s is back: %s", self._backend.name, detail)
        else:
            log.warning(
                "The backend %s is away, and what runs there is not seen: %s",
                self._backend.name,
                detail,
            )
