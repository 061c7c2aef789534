"""Waiting for deliveries to settle: who answers a sender only when the target has accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from jobrunner.errors import JobrunnerError, NotFound
from triggers.core.records import Delivery
from triggers.core.states import SETTLED_DELIVERIES
from triggers.ports import DeliveryStore, Move

POLL_SECONDS = 1.0
"""How soon something is seen that another runner, or the command line, has settled."""

log = logging.getLogger("jobrunner.deliveries")


class Settlements:
    """Told by the dispatcher of this runner; of what the others do it asks the store, by one
    question for all that are waited for."""

    def __init__(self, store: DeliveryStore, *, poll: float = POLL_SECONDS) -> None:
        self._store = store
        self._poll = poll
        self._waiting: dict[str, list[asyncio.Future[Delivery]]] = {}
        self._fresh: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def told(self, moves: Sequence[Move]) -> None:
        """Of moves that are durable."""
        if not self._waiting:
            return
        for move in moves:
            if move.after.state in SETTLED_DELIVERIES:
                self._end(move.after.uid, move.after)

    async def settled(self, uid: str, within: float) -> Delivery | None:
        """The delivery once it has settled, or ``None`` after ``within`` seconds. Raises NotFound,
        StoreFault."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Delivery] = loop.create_future()
        self._waiting.setdefault(uid, []).append(future)
        # It may have settled before anybody waited; those of one batch are asked about together.
        if not self._fresh:
            loop.call_soon(self._first_look)
        self._fresh.add(uid)
        if self._timer is None:
            self._timer = loop.call_later(self._poll, self._look_again)
        try:
            await asyncio.wait([future], timeout=max(0.0, within))
            return future.result() if future.done() else None
        finally:
            self._forget(uid, future)

    def _first_look(self) -> None:
        fresh, self._fresh = self._fresh & self._waiting.keys(), set()
        try:
            self._look(fresh)
        except JobrunnerError as error:
            for uid in fresh:
                self._end(uid, error)

    def _look_again(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        try:
            self._look(self._waiting)
        except JobrunnerError as error:
            log.warning("Whether deliveries have settled is not known: %s", error)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._poll, self._look_again)

    def _look(self, uids: Iterable[str]) -> None:
        asked = sorted(uids)
        if not asked:
            return
        standing = self._store.standing(asked)
        for uid, found in self._store.get_all([u for u in asked if standing.get(u)]).items():
            self._end(uid, found)
        for uid in asked:
            if uid not in standing:
                self._end(uid, NotFound(f"There is no delivery '{uid}'."))

    def _end(self, uid: str, end: Delivery | JobrunnerError) -> None:
        for future in self._waiting.get(uid, ()):
            if future.done():
                continue
            if isinstance(end, Delivery):
                future.set_result(end)
            else:
                future.set_exception(end)

    def _forget(self, uid: str, future: asyncio.Future[Delivery]) -> None:
        if future.done() and not future.cancelled():
            # Somebody who was cancelled meanwhile does not want to hear of it.
            future.exception()
        waiting = self._waiting[uid]
        waiting.remove(future)
        if not waiting:
            del self._waiting[uid]
