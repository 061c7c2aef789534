"""Who waits for the end of an execution, whoever drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrunner.core.records import Execution
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.ports import Store

POLL_SECONDS = 0.5
HELD_SECONDS = 2.0
"""An execution that is driven here may be taken over by another runner."""
CLOSED_PAUSE_SECONDS = 0.05


class Audience:
    """``held`` says whether an execution is driven here: then its end is told; otherwise it is
    looked for in the store."""

    def __init__(self, store: Store, held: Callable[[str], bool]) -> None:
        self._store = store
        self._held = held
        self._waiting: dict[str, set[asyncio.Future[Execution]]] = {}
        self._closed = False

    async def settled(self, uid: str, within: float | None) -> Execution:
        """See :class:`jobrunner.ports.Runner`. Once closed it is as if the time was over."""
        current = self._store.get_execution_by_uid(uid)
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        told: asyncio.Future[Execution] = loop.create_future()
        self._waiting.setdefault(uid, set()).add(told)
        try:
            while current.state not in SETTLED_EXECUTIONS and not self._closed:
                left = HELD_SECONDS if self._held(uid) else POLL_SECONDS
                if until is not None:
                    left = min(left, until - loop.time())
                if left <= 0:
                    break
                await asyncio.wait([told], timeout=left)
                if told.done():
                    return told.result()
                if not self._held(uid):
                    current = self._store.get_execution_by_uid(uid)
            if current.state in SETTLED_EXECUTIONS:
                return current
            # Whoever asks again and again must not keep the others from being answered.
            await asyncio.sleep(CLOSED_PAUSE_SECONDS if self._closed else 0)
            return self._store.get_execution_by_uid(uid)
        finally:
            waiting = self._waiting[uid]
            waiting.discard(told)
            if not waiting:
                del self._waiting[uid]

    def tell(self, execution: Execution) -> None:
        for told in self._waiting.get(execution.uid, ()):
            if not told.done():
                told.set_result(execution)

    def unheard(self) -> bool:
        """Whether somebody has been told of an end and has not taken note of it yet."""
        return any(told.done() for waiting in self._waiting.values() for told in waiting)

    def close(self) -> None:
        """Whoever waits hears how it is now."""
        self._closed = True
        for uid, waiting in list(self._waiting.items()):
            current: Execution | None = None
            error: Exception | None = None
            try:
                current = self._store.get_execution_by_uid(uid)
            except Exception as fault:
                error = fault
            for told in waiting:
                if told.done():
                    continue
                if current is not None:
                    told.set_result(current)
                elif error is not None:
                    told.set_exception(error)
