"""What is under way for executions beside the turns: launches, waits, stops, and cleaning up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from jobrunner.errors import RunnerFault

Failed = Callable[[str, BaseException], None]


class Errands:
    """``failed`` hears of the first errand of an execution that broke; ``warn`` of a chore."""

    def __init__(self, failed: Failed, warn: Callable[[str], None]) -> None:
        self._failed = failed
        self._warn = warn
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._chores: set[asyncio.Task[None]] = set()

    def send(self, uid: str, work: Coroutine[Any, Any, None]) -> None:
        """For what the execution cannot do without."""
        task = asyncio.ensure_future(work)
        mine = self._tasks.setdefault(uid, set())
        mine.add(task)

        def done(task: asyncio.Task[None]) -> None:
            # Of what was called off nobody wants to hear.
            if task in mine:
                mine.discard(task)
                if not mine and self._tasks.get(uid) is mine:
                    del self._tasks[uid]
                self._done(uid, task)

        task.add_done_callback(done)

    def _done(self, uid: str, task: asyncio.Task[None]) -> None:
        error = RunnerFault("A step was broken off.") if task.cancelled() else task.exception()
        if error is not None:
            self._failed(uid, error)

    def chore(self, work: Coroutine[Any, Any, None]) -> None:
        """For cleaning up: what is left behind is found again by the next runner."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._warn(f"What is left of an attempt could not be removed: {error}")

    def call_off(self, uid: str) -> None:
        """Whoever waits, waits for what a later runner will ask for."""
        mine = self._tasks.pop(uid, set())
        tasks = list(mine)
        mine.clear()
        for task in tasks:
            task.cancel()

    async def finish_chores(self) -> None:
        while self._chores:
            await asyncio.gather(*self._chores, return_exceptions=True)

    async def close(self) -> None:
        left: list[asyncio.Task[None]] = [*self._chores]
        for mine in self._tasks.values():
            left += mine
            mine.clear()
        self._tasks.clear()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
