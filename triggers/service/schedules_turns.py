"""One look at all schedules: what is due is opened, what has ended is closed, in short commits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf

from jobrunner.ports import Clock, Commit, MachineClock, Runner
from triggers.core.records import OccurrenceKey
from triggers.ports import Ended
from triggers.service.crashpoints import crash_point
from triggers.service.schedules import Schedules
from triggers.service.schedules_firing import PUT_OFF_SECONDS
from triggers.service.schedules_punctual import BUSY, Punctual, is_the_store

BATCH = 560
"""Schedules of one commit; the loop breathes between two. More than half of the thousand of a busy
second, or its median would be the second commit."""
SETTLED = 128
"""Ends of one commit: fewer, because what is due does not wait well."""
MOST_QUIET = 2 * BATCH
"""Schedules that are opened before the first of their calls leave: first all are on the disk."""
SPARE_SECONDS = 0.25
"""Until the next is due; in less nothing is put away."""
AHEAD_SECONDS = 1.5
"""How long before they are due schedules are read; more than the ticker lets pass between looks."""
MOST_AHEAD = 2048
SLICE = 64
"""Schedules that are prepared at once."""
KEEP_SECONDS = 31 * 86_400.0
"""How long settled occurrences are kept."""
PRUNE_SECONDS = 3600.0
LOOKS = 200.0
"""Runs that go on and are looked at in a second."""
MOST_REST_SECONDS = 10.0

log = logging.getLogger("jobrunner.schedules")


class Turns:
    """``opened`` is called when there is something to send, ``put_away`` in a thread of its own
    after busy looks, when nothing is due for a moment; ``pause`` see :class:`Punctual`."""

    def __init__(
        self,
        schedules: Schedules,
        commit: Commit,
        runner: Runner,
        clock: Clock,
        opened: Callable[[], None],
        *,
        machine: MachineClock,
        put_away: Callable[[], None] | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._schedules = schedules
        self._store = schedules.store
        self._commit = commit
        self._runner = runner
        self._clock = clock
        self._machine = machine
        self._opened = opened
        self._put_away = put_away
        # A clock that stands still is nothing to wait for.
        pause = None if clock.virtual else pause
        self._punctual = Punctual(schedules.together, commit, clock, machine, pause)
        self._putting: asyncio.Future[None] | None = None
        self._prune_at = 0.0
        self._prepared: float | None = None
        self._tried: float | None = None
        self._look_at: dict[OccurrenceKey, float] = {}

    async def tick(self) -> float | None:
        """Returns when it wants to look again because of what is due next. Raises StoreFault."""
        now = self._clock.now()
        next_at = self._store.next_at()
        fired = 0
        if next_at is not None and now < next_at <= now + self._lead(next_at):
            self._tried = next_at
            fired = await self._punctual.fire(self._store.due(next_at, limit=BATCH), next_at)
            now = self._clock.now()
        if fired or (next_at is not None and next_at <= now):
            fired = await self._fire(now, fired)
            next_at = self._store.next_at()
            if fired >= BUSY:
                self._put(inf if next_at is None else next_at)
        await self._settle(now, inf if next_at is None else next_at)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            await self._commit(lambda: self._store.prune(now - KEEP_SECONDS))
        if next_at is not None and next_at - AHEAD_SECONDS <= now:
            await self._prepare(next_at)
        return None if next_at is None else next_at - self._lead(next_at)

    def _lead(self, next_at: float) -> float:
        """How long before that work begins."""
        prepared = min(self._schedules.together.prepared, BATCH)
        ahead = next_at == self._prepared and next_at != self._tried
        return self._punctual.lead(prepared) if ahead else 0.0

    async def _fire(self, now: float, quiet: int) -> int:
        """``quiet``: how many were opened and nobody was told of. Returns how many schedules were
        due, with those."""
        firing, together = self._schedules.firing, self._schedules.together
        seen: set[str] = set()
        before = quiet
        try:
            while uids := [uid for uid in self._store.due(now, limit=BATCH) if uid not in seen]:
                seen.update(uids)
                crash_point("schedule-before-turn")
                await self._each(
                    uids,
                    lambda uid: firing.fire(uid, now),
                    lambda uids=uids: together.fire(uids, now),  # type: ignore[misc]
                )
                crash_point("schedule-opened")
                quiet += len(uids)
                if quiet >= MOST_QUIET:
                    quiet = 0
                    self._told()
        finally:
            if quiet:
                self._told()
        return before + len(seen)

    def _put(self, until: float) -> None:
        """Nobody waits for it: a slow disk must not hold up what is due."""
        idle = self._putting is None or self._putting.done()
        if self._put_away is None or self._clock.virtual or not idle:
            return
        if until - self._clock.now() >= SPARE_SECONDS:
            loop = asyncio.get_running_loop()
            self._putting = loop.run_in_executor(None, self._put_away)

    async def _prepare(self, next_at: float) -> None:
        """So that a busy second finds its work half done. It breathes, and ends in time."""
        if next_at == self._prepared:
            return
        self._prepared = next_at
        together = self._schedules.together
        together.forget()
        uids = self._store.due(next_at, limit=MOST_AHEAD)
        for start in range(0, len(uids), SLICE):
            if self._clock.now() >= next_at:
                break
            together.prepare(uids[start : start + SLICE], next_at)
            await asyncio.sleep(0)

    async def _settle(self, now: float, until: float) -> None:
        """What is not over by ``until``, when something is due, comes after that."""
        firing, together = self._schedules.firing, self._schedules.together
        runs = firing.runs
        moment = self._machine.now()
        after: OccurrenceKey | None = None
        running: list[OccurrenceKey] = []
        while ended := self._store.ended(after, limit=SETTLED):
            after = ended[-1].occurrence.key
            over: list[Ended] = []
            uids = list(dict.fromkeys(one.occurrence.key.schedule for one in ended))
            schedules = {one.schedule.uid: one.schedule for one in self._store.many(uids)}
            for one in ended:
                key = one.occurrence.key
                schedule = schedules.get(key.schedule)
                if schedule is None or self._rests(key, moment) or not runs.end_of(one, schedule):
                    running.append(key)
                else:
                    over.append(one)
            if over:
                await self._commit(lambda over=over: together.close(over, now))  # type: ignore[misc]
                crash_point("schedule-closed")
                self._told()
                if self._clock.now() >= until:
                    return
        self._rest(running, moment)
        waiting = [uid for uid in self._store.waiting() if runs.room(uid)]
        for start in range(0, len(waiting), BATCH):
            await self._each(waiting[start : start + BATCH], lambda uid: firing.release(uid, now))
            self._told()

    def _rests(self, key: OccurrenceKey, moment: float) -> bool:
        # A clock that was set back must not make it rest for long.
        return moment < self._look_at.get(key, 0.0) <= moment + MOST_REST_SECONDS

    def _rest(self, running: Sequence[OccurrenceKey], moment: float) -> None:
        """The more there are, the longer each of them rests."""
        if self._clock.virtual:
            return
        pause = min(len(running) / LOOKS, MOST_REST_SECONDS)
        self._look_at = {
            key: self._look_at[key] if self._rests(key, moment) else moment + pause
            for key in running
        }

    async def _each(
        self,
        uids: Sequence[str],
        work: Callable[[str], None],
        together: Callable[[], None] | None = None,
    ) -> None:
        """In one commit, by ``together`` if there is one; where one breaks, each in its own."""

        def all_of_them() -> None:
            for uid in uids:
                work(uid)

        try:
            await self._commit(together or all_of_them)
        except Exception as error:
            if is_the_store(error):
                raise
            for uid in uids:
                try:
                    await self._commit(lambda uid=uid: work(uid))  # type: ignore[misc]
                except Exception as fault:
                    if is_the_store(fault):
                        raise
                    log.exception("The schedule %s could not be looked at", uid)
                    await self._commit(lambda uid=uid: self._put_off(uid))  # type: ignore[misc]

    def _put_off(self, uid: str) -> None:
        """Nothing is lost by it: what is due is found by where the schedule stands."""
        armed = self._store.get(uid)
        if armed.next_at is not None:
            later = self._clock.now() + PUT_OFF_SECONDS
            self._store.advance(uid, armed.last, max(armed.next_at, later))

    def _told(self) -> None:
        self._opened()
        self._runner.look()
