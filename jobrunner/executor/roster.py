"""The executions that are driven, and what a turn asks of all of them together.

Kept by change: a turn costs as much as the executions that it touches and those that wait for a
slot, not as all that are held.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from jobrunner.core.admission import Ask, Capacity, admit
from jobrunner.executor.driver import Driver
from jobrunner.executor.limits import Limits


class Roster:
    """``live`` is how many attempts of all executions have not ended."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._drivers: dict[str, Driver] = {}
        self._live: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._alarms: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._memory = 0
        self.live = 0

    def __len__(self) -> int:
        return len(self._drivers)

    def __iter__(self) -> Iterator[Driver]:
        return iter(list(self._drivers.values()))

    def __contains__(self, uid: object) -> bool:
        return uid in self._drivers

    def get(self, uid: str) -> Driver | None:
        return self._drivers.get(uid)

    def uids(self) -> list[str]:
        return list(self._drivers)

    def waiting(self) -> list[str]:
        """Executions that would start more if slots were free."""
        return list(self._wanted)

    def add(self, driver: Driver, now: float) -> None:
        uid = driver.uid
        self._drivers[uid] = driver
        self._live[uid] = 0
        self.count(driver, now)
        self.set_alarm(driver)

    def remove(self, uid: str) -> Driver | None:
        driver = self._drivers.pop(uid, None)
        if driver is not None:
            live = self._live.pop(uid)
            self.live -= live
            self._memory -= live * driver.memory
            self._wanted.pop(uid, None)
            self._alarms.pop(uid, None)
        return driver

    def count(self, driver: Driver, now: float) -> None:
        """After the facts or the plan of ``driver`` have changed it."""
        uid = driver.uid
        live = len(driver.snapshot.live)
        more = live - self._live[uid]
        if more:
            self._live[uid] = live
            self.live += more
            self._memory += more * driver.memory
        wanted = driver.snapshot.wanted(now)
        if wanted:
            self._wanted[uid] = wanted
        else:
            self._wanted.pop(uid, None)

    def set_alarm(self, driver: Driver) -> None:
        """Notes when a plan of ``driver`` may differ without any news."""
        uid = driver.uid
        wake = driver.snapshot.wake_at()
        if wake is None:
            self._alarms.pop(uid, None)
        elif self._alarms.get(uid) != wake:
            self._alarms[uid] = wake
            heapq.heappush(self._heap, (wake, uid))

    def next_alarm(self) -> float | None:
        """The earliest instant that an execution waits for."""
        heap = self._heap
        while heap and self._alarms.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now: float) -> list[str]:
        """Executions whose instant has come; each must be given a new one."""
        due = []
        while (at := self.next_alarm()) is not None and at <= now:
            uid = heapq.heappop(self._heap)[1]
            del self._alarms[uid]
            due.append(uid)
        return due

    def shift(self, seconds: float) -> None:
        """The wall clock was set by so much: every instant ahead moves with it."""
        self._heap.clear()
        self._alarms.clear()
        for driver in self._drivers.values():
            driver.snapshot.shift(seconds)
            self.set_alarm(driver)

    def admit(self) -> dict[str, int]:
        """How many attempts each execution may start now."""
        slots = self._limits.slots - self.live
        if slots <= 0 or not self._wanted:
            return {}
        memory = self._limits.memory
        if memory is not None:
            memory -= self._memory
        asks = []
        for uid, wanted in self._wanted.items():
            driver = self._drivers[uid]
            asks.append(Ask(uid, wanted, self._live[uid], driver.memory, driver.order))
        return admit(asks, Capacity(slots, memory))
