"""Notices that the wall clock was set. What is to happen in a while then happens after that while,
not at an instant that the new clock has put an hour away or long behind.

A machine that slept counts as one whose clock was set: what it ran has slept as well.
"""

from __future__ import annotations

from jobrunner.ports import MachineClock

STEP_SECONDS = 1.0
"""Less is the gentle correction that a time service makes all the time."""


class Wallclock:
    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        self._ahead = clock.now() - clock.monotonic()

    def look(self) -> tuple[float, float]:
        """The wall time now, and by how many seconds it was set since the last look (mostly 0)."""
        now = self._clock.now()
        ahead = now - self._clock.monotonic()
        step, self._ahead = ahead - self._ahead, ahead
        return now, step if abs(step) >= STEP_SECONDS else 0.0
