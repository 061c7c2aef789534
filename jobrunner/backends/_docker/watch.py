"""Whether the engine has been there all the time: one quiet connection that ends when it does.

A socket that systemd holds accepts connections while the engine behind it is being replaced, so a
request that is answered late proves nothing. A connection that was served by the engine breaks
when that engine ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobrunner.backends._docker.http import EngineAway
from jobrunner.backends._docker.wire import BadAnswer

if TYPE_CHECKING:
    from jobrunner.backends._docker.engine import Engine

QUIET = '{"type":["daemon"]}'


class Watch:
    """``broke_at`` is when the connection last broke (Unix seconds)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None
        self._standing = asyncio.Event()
        self._asking = asyncio.Lock()
        self.broke_at: float | None = None

    async def stand(self) -> None:
        """Returns when the connection stands. Raises EngineAway."""
        if self._standing.is_set():
            return
        async with self._asking:
            if self._standing.is_set():
                return
            task = asyncio.ensure_future(self._hold())
            self._task = task
            standing = asyncio.ensure_future(self._standing.wait())
            await asyncio.wait({task, standing}, return_when=asyncio.FIRST_COMPLETED)
            standing.cancel()
            if task.done() and (error := task.exception()) is not None:
                raise error

    async def _hold(self) -> None:
        stream = await self._engine.stream("GET", "/events", {"filters": QUIET})
        async with stream as (head, pieces):
            self._standing.set()
            if head.status >= 400:
                # Some proxies before an engine hide its events; then there is no watch.
                return
            try:
                async for _ in pieces:
                    pass
            except (EngineAway, BadAnswer):
                pass
            finally:
                self._standing.clear()
                self.broke_at = time.time()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
