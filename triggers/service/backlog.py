"""How many deliveries of a source have not settled, well enough to stop at a bound.

Counting costs time in proportion to what waits, so it is not done for each message: what was opened
since the last count is added, what has settled since is not known. Only when the sum reaches the
bound is there a new count, and no more often than :data:`SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobrunner.ports import MachineClock

SECONDS = 0.25
"""Between two counts of one source."""
STALE = 30.0
"""After so long others may have opened something, too."""
MOST_KNOWN = 10_000


@dataclass(slots=True)
class _Level:
    at: float
    count: int


class Backlogs:
    """By uid of whoever has one. For one runner."""

    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        self._levels: dict[str, _Level] = {}

    def full(self, uid: str, bound: int, count: Callable[[int], int]) -> bool:
        """``count(most)`` says how many there are, but no more than ``most``."""
        moment = self._clock.monotonic()
        level = self._levels.get(uid)
        if level is None:
            if len(self._levels) >= MOST_KNOWN:
                self._levels.clear()
            level = self._levels[uid] = _Level(moment, count(bound))
        age = moment - level.at
        if age >= STALE or (level.count >= bound and age >= SECONDS):
            level.at, level.count = moment, count(bound)
        return level.count >= bound

    def added(self, uid: str, count: int = 1) -> None:
        level = self._levels.get(uid)
        if level is not None:
            level.count += count

    def forget(self, uid: str) -> None:
        self._levels.pop(uid, None)
