"""Stop orders: TERM, a grace, KILL. One order per container; the shorter grace wins."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from jobrunner.backends._docker.engine import Engine, EngineAway, EngineRefused, path_of
from jobrunner.backends._docker.wire import BadAnswer

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
TRIES = 10


@dataclass(slots=True)
class Order:
    """``due`` is when KILL follows, in the event loop's time."""

    due: float
    timer: asyncio.TimerHandle


class Stops:
    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def order(self, engine: Engine, container: str, grace: float) -> None:
        """TERM goes out at once, together with the engine's own promise to KILL after the grace
        (rounded up to its whole seconds), which holds if this process does not live to do it."""
        loop = asyncio.get_running_loop()
        due = loop.time() + grace
        known = self._orders.get(container)
        if known is not None:
            if due >= known.due:
                return
            known.timer.cancel()
        elif grace > 0:
            self._spawn(_insist(engine, container, "stop", {"t": str(math.ceil(grace))}))
        timer = loop.call_later(max(0.0, grace), self._kill, engine, container)
        self._orders[container] = Order(due, timer)

    def _kill(self, engine: Engine, container: str) -> None:
        self._spawn(_insist(engine, container, "kill", {"signal": "KILL"}))

    def forget(self, container: str) -> None:
        """It has ended."""
        known = self._orders.pop(container, None)
        if known is not None:
            known.timer.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for order in self._orders.values():
            order.timer.cancel()
        self._orders.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _insist(engine: Engine, container: str, verb: str, query: dict[str, str]) -> None:
    """Until the engine has taken the order or there is nothing left to stop."""
    pause, refused = FIRST_PAUSE, 0
    while True:
        try:
            await engine.post(path_of("containers", container, verb), query, patient=True)
            return
        except EngineRefused as error:
            refused += 1
            if error.status in (404, 409) or refused == TRIES:
                return
        except (EngineAway, BadAnswer):
            pass
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
