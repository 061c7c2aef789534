"""The first commit of a busy second, at the second: it is written a moment before, and committed
when the second has come.

Writing many rows takes longer than committing them. What is written can be seen by nobody before it
is committed, so it can be written before it is due; what was prepared for that instant is written,
and the rest is left to those who come when it is due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from jobrunner.errors import StoreFault
from jobrunner.ports import Clock, Commit, MachineClock
from triggers.errors import DamagedRow
from triggers.service.crashpoints import crash_point
from triggers.service.schedules_together import Together

BUSY = 128
"""Schedules of one instant, from which on this is worth its while."""
MOST_LEAD_SECONDS = 0.1
"""Of the loop, and of everybody else who wants to write."""
SPARE_SECONDS = 0.004
"""For what takes longer than it took the last time."""
FIRST_GUESS_SECONDS = 50e-6
"""For one schedule, before any was written."""
STEP_SECONDS = 0.005
"""Between two looks at a clock that may be set meanwhile."""


log = logging.getLogger("jobrunner.schedules")


class TooEarly(Exception):
    """The clock was set back. Nothing was written."""


class Punctual:
    def __init__(
        self,
        together: Together,
        commit: Commit,
        clock: Clock,
        machine: MachineClock,
        pause: Callable[[float], None] | None,
    ) -> None:
        """``pause`` holds this thread for so many seconds; ``None``: nothing is written ahead."""
        self._together = together
        self._commit = commit
        self._clock = clock
        self._machine = machine
        self._pause = pause
        self._each = FIRST_GUESS_SECONDS

    def lead(self, count: int) -> float:
        """How long before they are due so many schedules are to be written, in seconds."""
        if self._pause is None or count < BUSY:
            return 0.0
        return min(count * self._each + SPARE_SECONDS, MOST_LEAD_SECONDS)

    async def fire(self, uids: Sequence[str], at: float) -> int:
        """Opens those of ``uids`` at ``at`` that were prepared for it; returns how many: none if
        something is wrong with one of them, which shows when they are due. Raises StoreFault."""
        crash_point("schedule-before-turn")
        try:
            opened = await self._commit(lambda: self._write(uids, at))
        except Exception as error:
            if is_the_store(error):
                raise
            log.debug("Nothing is opened ahead: %r", error)
            return 0
        crash_point("schedule-opened")
        return opened

    def _write(self, uids: Sequence[str], at: float) -> int:
        began = self._machine.now()
        opened = self._together.fire_prepared(uids, at)
        ended = self._machine.now()
        if opened:
            self._each += ((ended - began) / opened - self._each) / 2
            self._until(at, ended + MOST_LEAD_SECONDS)
        return opened

    def _until(self, at: float, patience: float) -> None:
        assert self._pause is not None
        while (left := at - self._clock.now()) > 0:
            if self._machine.now() > patience:
                raise TooEarly
            self._pause(min(left, STEP_SECONDS))


def is_the_store(error: Exception) -> bool:
    """And not one damaged row of it, which is in the way of nothing else."""
    return isinstance(error, StoreFault) and not isinstance(error, DamagedRow)
