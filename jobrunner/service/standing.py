"""Planned time of a home, for whoever works on it beside its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from jobrunner.errors import RunnerFault
from jobrunner.lib import clockfile
from jobrunner.lib.clock import WallClock
from jobrunner.ports import Clock


class StandingClock:
    """Virtual time as the server of the home has last told it. Nobody can wait on it."""

    virtual = True

    def __init__(self, home: str, now: float) -> None:
        self._home = home
        self._last = now

    def now(self) -> float:
        found = standing_at(self._home)
        if found is not None:
            self._last = found
        return self._last

    def wake(self, at: float, ring: Callable[[], None], *, rank: int = 0) -> NoReturn:
        raise NotImplementedError("only the server of a home waits on its virtual clock")

    def join(self, worker: object, *, told: bool = False) -> None: ...

    def rested(self) -> None: ...


def standing_at(home: str) -> float | None:
    """Where virtual time of the home stands; ``None`` for a home on real time. Raises
    RunnerFault."""
    try:
        return clockfile.read(home)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no virtual time"
        raise RunnerFault(
            f"{clockfile.path_in(home)} cannot be read: {why}.",
            hint="Without this file the home is on real time.",
        ) from None


def clock_of(home: str) -> Clock:
    """Raises RunnerFault."""
    now = standing_at(home)
    return WallClock() if now is None else StandingClock(home, now)
