"""An event loop whose time is virtual: when everything waits, it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

EPOCH = 1_750_000_000.0


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits for nothing: the time it should have waited has passed when it returns."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits and no timer is set: a deadlock")
        if not ready and timeout:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed


class LoopClock:
    """The Clock port on the time of the running loop, wherever it is asked."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return EPOCH + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    virtual = False

    def wake(self, at: float, ring: Callable[[], None], *, rank: int = 0) -> Callable[[], None]:
        return self._loop.call_later(max(0.0, at - self.now()), ring).cancel

    def join(self, worker: object, *, told: bool = False) -> None: ...

    def rested(self) -> None: ...


def run_virtually(work: Coroutine[Any, Any, Any], loop: VirtualLoop) -> Any:
    """Runs ``work`` on ``loop``; the loop may be used again."""
    asyncio.set_event_loop(None)
    return loop.run_until_complete(work)
