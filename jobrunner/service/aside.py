"""Reads that may take long, beside an event loop that has other things to do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from jobrunner.lib.database import Database, DatabaseError
from jobrunner.transactions import fault

T = TypeVar("T")

MOST = 2
"""Reads at once; others wait for their turn."""


class Aside:
    """Each read has a thread and a connection of its own; it sees what is durable. One whose caller
    has gone keeps its turn until it ends. A database in memory has one connection, on which it is
    read at once. Raises StoreFault, and whatever ``work`` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = asyncio.Semaphore(MOST)

    async def __call__(self, work: Callable[[Database], T]) -> T:
        if not self._database.shared:
            return work(self._database)
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(settles: Callable[[], None]) -> None:
            self._turns.release()
            if not answer.done():
                settles()

        def run() -> None:
            end: Callable[[], None]
            try:
                end = partial(answer.set_result, self._read(work))
            except BaseException as error:
                end = partial(answer.set_exception, error)
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, end)

        # Whoever ends the server does not wait for it.
        threading.Thread(target=run, name="long read", daemon=True).start()
        return await answer

    def _read(self, work: Callable[[Database], T]) -> T:
        try:
            database = self._database.beside()
        except DatabaseError as error:
            raise fault(error) from error
        try:
            return work(database)
        finally:
            database.close()
