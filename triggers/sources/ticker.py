"""Wakes up when the next occurrence of all schedules is due; decides nothing.

One alarm for the earliest instant, whatever the number of schedules. What is due then, and what was
missed, is found from what is stored, so it does not matter who wakes up, how often, or how late. A
look each second sees what other processes have changed, a clock that was set, and a machine that
was asleep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from jobrunner.ports import RANK_BEGINS, Clock

POLL_SECONDS = 1.0
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""

Tick = Callable[[], Awaitable[float | None]]
"""Opens all that is due, and says when the next is (Unix seconds), or ``None``."""

log = logging.getLogger("jobrunner.schedules")


class Alarm(Protocol):
    """One wake-up at a time."""

    def start(self, ring: Callable[[], None]) -> None:
        """``ring`` is called in the running loop."""
        ...

    def set(self, at: float | None) -> None:
        """The only one from now on; ``None`` for none. One that is past rings at once."""
        ...

    def stop(self) -> None: ...


class Ticker:
    def __init__(
        self,
        tick: Tick,
        alarm: Alarm,
        *,
        poll: float = POLL_SECONDS,
        rested: Callable[[], None] = lambda: None,
        apart: bool = False,
    ) -> None:
        """``rested`` is called when a look has come to its end; ``apart`` see :class:`Bell`."""
        self._tick = tick
        self._alarm = alarm
        self._poll = poll
        self._rested = rested
        self._news = Bell(apart=apart)
        self._waiting = False

    def doing(self) -> Sequence[str]:
        """See :class:`jobrunner.ports.Worker`."""
        return ["schedules are looked at"] if self._news.rung or not self._waiting else []

    def look(self) -> None:
        """A schedule was made or changed."""
        self._news.ring()

    async def run(self) -> None:
        """Until it is cancelled."""
        self._alarm.start(self.look)
        try:
            while True:
                self._news.silence()
                try:
                    self._alarm.set(await self._tick())
                except JobrunnerError as error:
                    log.warning("Schedules wait: %s", error)
                    await asyncio.sleep(FAULT_SECONDS)
                    continue
                except Exception:
                    log.exception("A turn of the schedules broke")
                    await asyncio.sleep(FAULT_SECONDS)
                    continue
                self._waiting = True
                self._rested()
                await self._news.heard(self._poll)
                self._waiting = False
        finally:
            self._alarm.stop()


class ClockAlarm:
    """An alarm on a clock that is moved by hand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: Callable[[], None] = lambda: None
        self._silence: Callable[[], None] = lambda: None

    def start(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def set(self, at: float | None) -> None:
        self._silence()
        if at is None:
            self._silence = lambda: None
        else:
            self._silence = self._clock.wake(at, self._ring, rank=RANK_BEGINS)

    def stop(self) -> None:
        self._silence()


class SchedulerAlarm:
    """An alarm of APScheduler, on the running loop."""

    def __init__(self) -> None:
        self._scheduler: Any = None
        self._ring: Callable[[], None] = lambda: None
        self._at: float | None = None

    def start(self, ring: Callable[[], None]) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._ring = ring
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.start()

    def set(self, at: float | None) -> None:
        if at == self._at:
            return
        self._at = at
        if at is None:
            self._scheduler.remove_all_jobs()
            return
        # However late it is: what became of the moment is decided elsewhere.
        self._scheduler.add_job(
            self._rung,
            "date",
            run_date=datetime.fromtimestamp(at, UTC),
            id="next",
            replace_existing=True,
            misfire_grace_time=None,
        )

    def stop(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)

    async def _rung(self) -> None:
        self._at = None
        self._ring()
