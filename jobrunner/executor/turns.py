"""The turn: collect facts, plan, store, act, and again.

One turn stores everything that happened since the last one, and every start that follows from it,
in one transaction; only then are the starts, stops and discards carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from jobrunner.core.records import Execution
from jobrunner.errors import JobrunnerError, StaleWrite, StoreFault
from jobrunner.executor.acting import Acting
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import Draft, Driver
from jobrunner.executor.inbox import Inbox
from jobrunner.executor.means import Means
from jobrunner.executor.patience import Patience
from jobrunner.executor.roster import Roster
from jobrunner.executor.wallclock import Wallclock
from jobrunner.ports import Turn

LAST_WORDS_SECONDS = 0.02
CROWD = 8
CROWD_SHARE = 3
CROWD_SECONDS = 0.001


class Owner(Protocol):
    """Who hears of executions that leave the roster, or should."""

    def ended(self, driver: Driver) -> None: ...

    def lost(self, driver: Driver, error: StaleWrite) -> None:
        """Another runner has taken it over."""
        ...

    def failed(self, uid: str, error: BaseException) -> None:
        """The execution cannot be driven on here; it is still on the roster."""
        ...

    def patience(self) -> Patience:
        """With a store that fails."""
        ...


class Entry(NamedTuple):
    driver: Driver
    draft: Draft
    turn: Turn
    settled: bool


class Turns:
    """Belongs to one event loop. While ``closed`` nothing new is started."""

    def __init__(
        self, means: Means, roster: Roster, inbox: Inbox, acting: Acting, owner: Owner
    ) -> None:
        self._means = means
        self._roster = roster
        self._inbox = inbox
        self._acting = acting
        self._owner = owner
        self._wallclock = Wallclock(means.machine)
        self.closed = False
        self.waiting = False
        """Whether nothing is under way before there is news or something is due."""

    def add(self, driver: Driver) -> None:
        self._roster.add(driver, self._now())
        self._inbox.touch(driver.uid)

    async def one(self) -> None:
        """Waits for news, or until something is due, and does one turn."""
        inbox, roster = self._inbox, self._roster
        if not inbox:
            self.waiting = True
            self._means.clock.rested()
            try:
                await self._sleep()
            finally:
                self.waiting = False
        if roster.live >= CROWD and inbox.urgent * CROWD_SHARE < roster.live:
            # Where many run, a slot that waits a moment costs nothing, and a commit that carries
            # several ends costs what it costs for one.
            await asyncio.sleep(CROWD_SECONDS)
        await self.now()
        if roster:
            # Facts of the same burst share the next turn.
            await asyncio.sleep(0)

    async def now(self) -> None:
        """One turn over what there is to do at this moment."""
        inbox, roster = self._inbox, self._roster
        inbox.begin()
        now = self._now()
        due = roster.take_due(now)
        if any(d.snapshot.overdue(now) for uid in due if (d := roster.get(uid)) is not None):
            # This process may have been stopped for an hour: an end that is already on its way
            # to us came before the deadline.
            await asyncio.sleep(LAST_WORDS_SECONDS)
            now = self._now()
        touched = inbox.take()
        touched.update(dict.fromkeys(due))
        drafts: dict[str, tuple[Driver, Draft]] = {}
        for uid in touched:
            self._look_at(uid, drafts, now)
        grants = {} if self.closed else roster.admit()
        for uid in grants:
            if uid not in drafts:
                self._look_at(uid, drafts, now)
        entries = []
        for uid, (driver, draft) in drafts.items():
            entry = self._plan(driver, draft, now, grants.get(uid, 0))
            if entry is not None:
                entries.append(entry)
        if entries:
            await self._store(entries)

    def _now(self) -> float:
        clock = self._means.clock
        if not clock.virtual:
            _, step = self._wallclock.look()
            if step:
                self._roster.shift(step)
        return clock.now()

    async def _sleep(self) -> None:
        alarm, clock = self._roster.next_alarm(), self._means.clock
        if not clock.virtual:
            left = None if alarm is None else max(0.0, alarm - self._now())
            await self._inbox.wait(left)
            return
        silence = None if alarm is None else clock.wake(alarm, self._inbox.ring)
        try:
            await self._inbox.wait(None)
        finally:
            if silence is not None:
                silence()

    # ------------------------------------------------------------ planning

    def _look_at(self, uid: str, drafts: dict[str, tuple[Driver, Draft]], now: float) -> None:
        driver = self._roster.get(uid)
        if driver is None:
            return
        try:
            drafts[uid] = driver, driver.take_facts(now)
            self._roster.count(driver, now)
        except Exception as error:
            self._owner.failed(uid, error)

    def _plan(self, driver: Driver, draft: Draft, now: float, slots: int) -> Entry | None:
        try:
            driver.plan_turn(draft, now, slots)
            turn = driver.finish_turn(draft, now)
        except Exception as error:
            self._owner.failed(driver.uid, error)
            return None
        if driver.uid in self._roster:
            self._roster.count(driver, now)
            self._roster.set_alarm(driver)
        if turn is None:
            return None
        return Entry(driver, draft, turn, driver.snapshot.settled)

    # ------------------------------------------------------------ storing

    async def _store(self, entries: list[Entry]) -> None:
        for entry in entries:
            crash_point("before-settle" if entry.settled else "before-record")
        answers = await self._record(entries)
        for entry, answer in zip(entries, answers, strict=True):
            driver = entry.driver
            if driver.uid not in self._roster:
                continue
            if isinstance(answer, StaleWrite):
                self._leave(driver)
                self._owner.lost(driver, answer)
                continue
            if isinstance(answer, Exception):
                self._owner.failed(driver.uid, answer)
                continue
            crash_point("after-settle" if entry.settled else "after-record")
            self._acting.carry_out(driver, entry.draft.orders)
            turn = entry.turn
            self._means.observer.turn(
                turn.execution, turn.opened, [move.attempt for move in turn.moved], turn.tasks
            )
            if entry.settled:
                self._leave(driver)
                self._means.observer.settled(driver.execution)
                self._owner.ended(driver)

    def _leave(self, driver: Driver) -> None:
        """Its slots are free."""
        self._roster.remove(driver.uid)
        self._means.launcher.forget(driver.uid)
        self._acting.forget(driver.uid)
        self._inbox.touch(*self._roster.waiting())

    async def _record(self, entries: list[Entry]) -> list[object]:
        """One answer per entry: an error, or anything else. What fails for a moment is stored
        again, for as long as the owner's patience lasts."""
        patience = self._owner.patience()
        answers: list[object] = [None] * len(entries)
        left = list(range(len(entries)))
        while left:
            failed: list[int] = []
            fault: StoreFault | None = None
            for place, answer in zip(left, self._try([entries[i] for i in left]), strict=True):
                answers[place] = answer
                if isinstance(answer, StaleWrite):
                    # The answer was lost, not the turn, where nobody else can have written it.
                    if patience.tried and self._is_mine(entries[place].turn):
                        answers[place] = None
                elif isinstance(answer, StoreFault):
                    failed.append(place)
                    fault = answer
            left = failed
            if fault is not None:
                await patience.bear(fault)
        return answers

    def _try(self, entries: list[Entry]) -> Sequence[object]:
        store = self._means.store
        try:
            if len(entries) == 1 and not entries[0].settled:
                store.record(entries[0].turn)
                return (None,)
            return store.group([self._work(entry) for entry in entries])
        except StoreFault as error:
            return [error] * len(entries)

    def _work(self, entry: Entry) -> Callable[[], object]:
        store, owner = self._means.store, self._means.owner

        def work() -> None:
            store.record(entry.turn)
            if entry.settled:
                store.release(entry.driver.uid, owner)

        return work

    def _is_mine(self, turn: Turn) -> bool:
        try:
            stored = self._means.store.get_execution_by_uid(turn.execution.uid)
        except JobrunnerError:
            return False
        return same_lease(stored, turn.execution) or (
            stored.completed_at is not None
            and (stored.state, stored.completed_at)
            == (turn.execution.state, turn.execution.completed_at)
        )


def same_lease(stored: Execution, mine: Execution) -> bool:
    """Whether ``stored`` is held under the lease that ``mine`` was claimed with."""
    one, other = stored.lease, mine.lease
    if one is None or other is None:
        return False
    return (one.owner, one.epoch) == (other.owner, other.epoch)
