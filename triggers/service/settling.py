"""Waiting for a delivery to settle: who answers a sender only when the target has accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from triggers.core.records import Delivery
from triggers.core.states import SETTLED_DELIVERIES
from triggers.ports import DeliveryStore, Move

POLL_SECONDS = 1.0
"""How soon something is seen that another runner, or the command line, has settled."""


class Settlements:
    """Told by the dispatcher of this runner; of the others it asks the store."""

    def __init__(self, store: DeliveryStore) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[Delivery]]] = {}

    def told(self, moves: Sequence[Move]) -> None:
        """Of moves that are durable."""
        if not self._waiting:
            return
        for move in moves:
            if move.after.state in SETTLED_DELIVERIES:
                self._settled(move.after)

    async def settled(self, uid: str, within: float) -> Delivery | None:
        """The delivery once it has settled, or ``None`` after ``within`` seconds. Raises NotFound,
        StoreFault."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Delivery] = loop.create_future()
        self._waiting.setdefault(uid, []).append(future)
        until = loop.time() + within
        try:
            while True:
                found = self._store.get(uid)
                if found.state in SETTLED_DELIVERIES:
                    return found
                left = until - loop.time()
                if left <= 0:
                    return None
                await asyncio.wait([future], timeout=min(left, POLL_SECONDS))
                if future.done():
                    return future.result()
        finally:
            self._forget(uid, future)

    def _settled(self, delivery: Delivery) -> None:
        for future in self._waiting.get(delivery.uid, ()):
            if not future.done():
                future.set_result(delivery)

    def _forget(self, uid: str, future: asyncio.Future[Delivery]) -> None:
        waiting = self._waiting[uid]
        waiting.remove(future)
        if not waiting:
            del self._waiting[uid]
