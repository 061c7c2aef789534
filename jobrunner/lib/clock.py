"""Time, of two kinds that are never mixed: of the machine, and of what is planned and recorded.

:class:`SystemClock` is the machine's. :class:`WallClock` plans by it; :class:`VirtualClock` stands
still until it is moved. :class:`FakeClock` is both kinds, for tests.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

Ring = Callable[[], None]


class SystemClock:
    """Wall time and monotonic time of the machine."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class WallClock:
    """What is planned happens when the wall clock of the machine says so."""

    virtual = False

    def now(self) -> float:
        return time.time()

    def wake(self, at: float, ring: Ring, *, rank: int = 0) -> Ring:
        # Most command lines read the time and never run a loop.
        import asyncio

        return asyncio.get_running_loop().call_later(max(0.0, at - self.now()), ring).cancel

    def join(self, worker: object, *, told: bool = False) -> None:
        """Nobody moves it, so nobody waits for those who work by it."""

    def rested(self) -> None: ...


class Alarms:
    """What is to ring at instants to come, in order: of one instant by rank, and of equals the one
    that was set first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int]] = []
        self._rings: dict[int, Ring] = {}
        self._numbers = itertools.count()

    def set(self, at: float, ring: Ring, rank: int = 0) -> Ring:
        """Returns what takes it back."""
        number = next(self._numbers)
        self._rings[number] = ring
        heapq.heappush(self._heap, (at, rank, number))
        return lambda: self._take_back(number)

    def _take_back(self, number: int) -> None:
        self._rings.pop(number, None)

    def next_at(self) -> float | None:
        while self._heap and self._heap[0][2] not in self._rings:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """All that are due, each once."""
        while (at := self.next_at()) is not None and at <= now:
            self._rings.pop(heapq.heappop(self._heap)[2])()

    def ring_first(self, now: float) -> None:
        """Of all that are due, those of the lowest rank."""
        due: list[tuple[float, int, int]] = []
        while (at := self.next_at()) is not None and at <= now:
            due.append(heapq.heappop(self._heap))
        first = min((rank for _, rank, _ in due), default=0)
        for alarm in due:
            if alarm[1] == first:
                self._rings.pop(alarm[2])()
            else:
                heapq.heappush(self._heap, alarm)


class VirtualClock:
    """Stands still until :meth:`move` is called. ``workers`` are all who act by it, ``untold``
    those of them who have to be asked to look; ``on_rest`` is called when one has finished."""

    virtual = True

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._alarms = Alarms()
        self.workers: list[Any] = []
        self.untold: list[Any] = []
        self.on_rest: Ring = lambda: None

    def now(self) -> float:
        return self._now

    def wake(self, at: float, ring: Ring, *, rank: int = 0) -> Ring:
        if at <= self._now:
            return _at_once(ring)
        return self._alarms.set(at, ring, rank)

    def join(self, worker: object, *, told: bool = False) -> None:
        self.workers.append(worker)
        if not told:
            self.untold.append(worker)

    def rested(self) -> None:
        self.on_rest()

    def next_at(self) -> float | None:
        """When the next alarm is set to ring."""
        return self._alarms.next_at()

    def move(self, at: float) -> None:
        """It is ``at`` now, which is not before what it was, and what is due rings, of one rank
        only: :meth:`next_at` says whether there is more, for which it is moved once more to where
        it stands."""
        if at < self._now:
            raise ValueError("time does not go back")
        self._now = at
        self._alarms.ring_first(at)


class _Wakes(Protocol):
    def now(self) -> float: ...

    def wake(self, at: float, ring: Ring) -> Ring: ...


class Paced:
    """Planned time in the shape of the machine's, for what stands in for a machine and is to live
    by the plan."""

    def __init__(self, clock: _Wakes) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        await pause(self._clock, seconds)


async def pause(clock: _Wakes, seconds: float) -> None:
    """Returns so many ``seconds`` later by ``clock``."""
    import asyncio

    over = asyncio.Event()
    silence = clock.wake(clock.now() + seconds, over.set)
    try:
        await over.wait()
    finally:
        silence()


class FakeClock:
    """Stands still until it is told to move."""

    virtual = False

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._alarms = Alarms()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def wake(self, at: float, ring: Ring, *, rank: int = 0) -> Ring:
        if at <= self._now:
            return _at_once(ring)
        return self._alarms.set(at, ring, rank)

    def join(self, worker: object, *, told: bool = False) -> None: ...

    def rested(self) -> None: ...

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._alarms.ring(self._now)


def _at_once(ring: Ring) -> Ring:
    import asyncio

    return asyncio.get_running_loop().call_soon(ring).cancel
