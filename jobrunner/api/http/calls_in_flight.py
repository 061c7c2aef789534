"""Calls in flight: how many, since when, and an end for those that take too long.

One timer for all of them, and none while there are no calls.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jobrunner.api.errors import Overloaded

SWEEPS = 8
"""How often per time limit the calls are looked at: one may take an eighth more than allowed."""


class CallsInFlight:
    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def enter(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Raises Overloaded if there are too many already."""
        if len(self._until) >= self._most:
            raise Overloaded(f"the server is busy with {self._most} calls; try again")
        self._until[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds / SWEEPS, self._sweep, loop)

    def leave(self, task: asyncio.Task[Any]) -> bool:
        """Whether the call was cancelled because it took too long."""
        self._until.pop(task, None)
        late = task in self._late
        self._late.discard(task)
        return late

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for task, until in self._until.items():
            if until <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._until:
            self._timer = loop.call_later(self._seconds / SWEEPS, self._sweep, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
