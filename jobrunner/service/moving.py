"""Moves a virtual clock, from one instant at which something is due to the next.

At each instant everybody who acts by the clock is asked to look until nobody finds anything to do:
what was started has been sent, answered, run and recorded by then, or waits for the clock itself.
Only then does it go on, so what is due later never overtakes what was due before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobrunner.errors import Refused, UsageError
from jobrunner.lib.clock import VirtualClock
from jobrunner.ports import MachineClock

PATIENCE_SECONDS = 60.0
MICROSECOND = 1e-6
"""Instants are told to the microsecond: those that are told alike are one."""
PAUSE_SECONDS = 0.02
"""Between two looks at whether everybody has finished, if nobody says that he has."""


@dataclass(frozen=True, slots=True)
class Moved:
    """``now`` is where the clock stands, ``target`` where it was to go, ``instants`` at how many it
    has stopped. ``doing`` is what had not settled when patience was over; empty where the clock has
    arrived, or time was up before it had."""

    now: float
    target: float
    instants: int
    doing: Sequence[str] = ()

    @property
    def arrived(self) -> bool:
        return not self.doing and self.now >= self.target


class Mover:
    """``keep`` stores where the clock stands, before it is there; ``changes`` counts what was
    written to the database, whatever it was."""

    def __init__(
        self,
        clock: VirtualClock,
        machine: MachineClock,
        keep: Callable[[float], None],
        changes: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._machine = machine
        self._keep = keep
        self._changes = changes
        self._moving = False
        self._rest = asyncio.Event()
        clock.on_rest = self._rest.set

    def now(self) -> float:
        return self._clock.now()

    async def advance(
        self,
        target: float,
        *,
        patience: float = PATIENCE_SECONDS,
        within: float | None = None,
    ) -> Moved:
        """Goes on to ``target``, but waits at no instant for longer than ``patience`` seconds of
        real time, and returns on the way once ``within`` seconds of it are over. Whatever was due
        until then, or less than a microsecond later, has settled when this returns with
        ``arrived``. Raises UsageError for a target in the past, and Refused while somebody else
        moves the clock."""
        if target < self._clock.now():
            raise UsageError("until: it is before the virtual now, and time does not go back")
        if self._moving:
            raise Refused("The clock is being moved already: wait until that has come to its end.")
        self._moving = True
        try:
            return await self._advance(target, patience, within)
        finally:
            self._moving = False

    async def _advance(self, target: float, patience: float, within: float | None) -> Moved:
        clock, instants = self._clock, 0
        begin = True
        end = None if within is None else self._machine.monotonic() + within
        while True:
            doing = await self._settle(patience, begin=begin)
            begin = False
            if doing:
                return Moved(clock.now(), target, instants, doing)
            following = clock.next_at()
            if following is None or following >= target + MICROSECOND:
                break
            if end is not None and self._machine.monotonic() >= end:
                return Moved(clock.now(), target, instants)
            instants += following > clock.now()
            self._move(following)
        if target > clock.now():
            self._move(target)
        return Moved(clock.now(), target, instants)

    def _move(self, at: float) -> None:
        self._keep(at)
        self._clock.move(at)

    async def _settle(self, patience: float, *, begin: bool) -> Sequence[str]:
        """Returns what goes on still when ``patience`` is over; nothing once all has settled. What
        other processes have written is seen at the ``begin``."""
        until = self._machine.monotonic() + patience
        seen = -1
        if begin:
            for worker in self._clock.workers:
                worker.look()
        while True:
            doing = await self._finished(until)
            if doing or (now := self._changes()) == seen:
                return doing
            seen = now
            for worker in self._clock.untold:
                worker.look()

    async def _finished(self, until: float) -> Sequence[str]:
        workers = self._clock.workers
        while True:
            self._rest.clear()
            # What rings now, or was looked for, is heard within this turn of the loop.
            await asyncio.sleep(0)
            if not any(worker.doing() for worker in workers):
                return ()
            if self._machine.monotonic() >= until:
                return [what for worker in workers for what in worker.doing()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._rest.wait()
