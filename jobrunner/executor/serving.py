"""The executor of a server: it takes up what the store says is to be driven, as long as it runs.

What is wrong with one execution stops none of the others: it is let go, told, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from jobrunner.core.records import Abort, Execution
from jobrunner.core.states import AttemptState
from jobrunner.errors import JobrunnerError, NotFound, Refused, StaleWrite, StoreFault
from jobrunner.executor.acting import Acting
from jobrunner.executor.adoption import Adoption
from jobrunner.executor.audience import Audience
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import AbortFact, Driver
from jobrunner.executor.errands import Errands
from jobrunner.executor.inbox import Inbox
from jobrunner.executor.leases import LEASE_SECONDS, Leases
from jobrunner.executor.means import Means
from jobrunner.executor.patience import Patience
from jobrunner.executor.recovery import Surveyor
from jobrunner.executor.roster import Roster
from jobrunner.executor.troubles import Troubles
from jobrunner.executor.turns import Turns
from jobrunner.executor.unsettled import unsettled
from jobrunner.lib.bell import Bell, stroke
from jobrunner.lib.identity import is_gone

log = logging.getLogger("jobrunner.runner")

CLAIM_SECONDS = 2.0
"""How often the store is asked for what nobody has told of."""
WISH_SECONDS = 1.0
LOOK_PAUSE_SECONDS = 0.005
"""What is asked for within this time is answered by one look."""
DRAIN_LOOK_SECONDS = 0.01
LEAST_HELD = 256
BATCH = 64
"""At most so many are claimed in one transaction."""
MANY = 1_000_000


class ServingExecutor:
    """The port :class:`jobrunner.ports.Runner`, and the loops behind it. ``run`` until ``drain``;
    belongs to one event loop.

    At most ``room`` executions are held at once, more than can have attempts running: what waits
    for a slot waits in the store.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        # On a virtual clock nothing more comes while one waits for it.
        self._inbox = Inbox(0.0) if means.clock.virtual else Inbox()
        self._roster = Roster(means.limits)
        self._errands = Errands(self.failed, means.observer.warning)
        self._acting = Acting(means, self._inbox, self._errands)
        self._turns = Turns(means, self._roster, self._inbox, self._acting, self)
        self._surveyor = Surveyor()
        self._leases = Leases(means)
        self._troubles = Troubles()
        self._audience = Audience(means.store, self._is_held)
        self._adoptions: dict[str, tuple[Adoption, asyncio.Task[None]]] = {}
        self._news = Bell(apart=means.clock.virtual)
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False
        self._looking = True
        self._store_away = ""
        self._next_wishes = 0.0
        self.room = max(LEAST_HELD, 2 * means.limits.slots)

    # ------------------------------------------------------------ the port

    def look(self) -> None:
        self._news.ring()

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        return await self._audience.settled(uid, within)

    def accepts(self) -> bool:
        return not self._draining

    def trouble(self, uid: str) -> str | None:
        return self._troubles.why(uid)

    # ------------------------------------------------------------ for who moves the clock

    def doing(self) -> Sequence[str]:
        return list(self._doing())

    def _doing(self) -> Iterator[str]:
        if self._news.rung or self._looking:
            yield "executions are looked for"
        if self._inbox.rings or not self._turns.waiting or self._audience.unheard():
            yield "executions are planned and recorded"
        if self._store_away:
            yield f"the database cannot be used: {self._store_away}"
        for adoption, _ in self._adoptions.values():
            yield f"execution {adoption.name} is taken up"
        for why in self._troubles.facts().values():
            yield f"an execution cannot be driven now: {why}"
        yield from unsettled(self._means, self._roster)

    # ------------------------------------------------------------ for the server

    def facts(self) -> Mapping[str, str]:
        """How it goes, for people: what is held, and what cannot be driven now and why."""
        facts = {
            "executions": str(self.held()),
            "attempts": str(self._roster.live),
            "slots": str(self._means.limits.slots),
            "troubles": str(len(self._troubles)),
        }
        if self._store_away:
            facts["store"] = self._store_away
        for uid, why in self._troubles.facts().items():
            facts[f"trouble/{uid}"] = why
        return facts

    def held(self) -> int:
        """Executions that are driven here, and have not ended."""
        return len(self._roster) + len(self._adoptions)

    def uses(self, backend: str) -> bool:
        """Whether something that is held runs there, or should."""
        return any(driver.execution.backend == backend for driver in self._roster)

    def start(self) -> None:
        self._loops = [
            asyncio.ensure_future(work)
            for work in (self._turn_for_ever(), self._claim_for_ever(), self._watch_for_ever())
        ]

    async def drain(self, within: float) -> None:
        """Starts nothing more, stores what has happened, and gives up the leases, so that the next
        runner goes on at once. What runs goes on. Takes at most ``within`` seconds."""
        self._draining = True
        self._turns.closed = True
        self._audience.close()
        turning, *others = self._loops
        for task in others:
            task.cancel()
        for _, task in self._adoptions.values():
            task.cancel()
        self._inbox.ring()
        # A launch on its way will be known in a moment; then nobody has to look for it.
        for _ in range(int(within / 2 / DRAIN_LOOK_SECONDS)):
            if not self._is_launching():
                break
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        turning.cancel()
        await asyncio.wait([*self._loops, *(t for _, t in self._adoptions.values())], timeout=1.0)
        with contextlib.suppress(TimeoutError, JobrunnerError):
            async with asyncio.timeout(within / 4):
                await self._turns.now()
        self._inbox.close()
        self._let_go_of([*self._roster.uids(), *self._adoptions])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within / 4):
                await self._surveyor.close()
                await self._errands.close()

    def _is_launching(self) -> bool:
        return any(
            attempt.state is AttemptState.STARTING
            for driver in self._roster
            for attempt in driver.snapshot.live.values()
        )

    # ------------------------------------------------------------ what the turns tell

    def ended(self, driver: Driver) -> None:
        self._errands.call_off(driver.uid)
        self._audience.tell(driver.execution)
        if self._troubles.over(driver.uid):
            log.info("Execution %s could be driven to its end.", driver.execution.name)
        if len(self._roster) + len(self._adoptions) <= self.room * 3 // 4:
            self._news.ring()

    def lost(self, driver: Driver, error: StaleWrite) -> None:
        self._errands.call_off(driver.uid)
        log.warning(
            "Another runner has taken execution %s over: %s", driver.execution.name, error.message
        )

    def failed(self, uid: str, error: BaseException) -> None:
        driver = self._roster.remove(uid)
        if driver is not None:
            self._inbox.touch(*self._roster.waiting())
        elif uid in self._adoptions:
            self._adoptions[uid][1].cancel()
        else:
            return
        name = driver.execution.name if driver is not None else uid
        self._errands.call_off(uid)
        self._means.launcher.forget(uid)
        self._in_trouble(uid, name, error)
        self._let_go_of([uid])

    def patience(self) -> Patience:
        """Without its store a server can only wait for it."""

        def tell(message: str) -> None:
            self._store_away = message
            self._means.observer.warning(message)

        return Patience(self._means.machine, tell, limit=None)

    def _store_is_back(self) -> None:
        if self._store_away:
            self._store_away = ""
            log.info("The database can be used again.")

    # ------------------------------------------------------------ loops

    async def _turn_for_ever(self) -> None:
        while True:
            try:
                await self._turns.one()
                self._store_is_back()
            except Exception as error:
                # A bug. What is held is taken up anew from the store, which is right.
                log.exception("A turn failed")
                for uid in self._roster.uids():
                    self.failed(uid, error)
                await asyncio.sleep(1.0)

    async def _claim_for_ever(self) -> None:
        self._free_leases_of_the_dead()
        while True:
            self._looking = True
            self._news.silence()
            try:
                self._hear_wishes()
                more = self._claim()
                self._store_is_back()
            except StoreFault as error:
                self._store_away = error.message
                more = False
            except Exception:
                log.exception("Looking for work failed")
                more = False
            if more:
                await asyncio.sleep(0)
                continue
            self._looking = False
            self._means.clock.rested()
            if await self._news.heard(CLAIM_SECONDS) and not self._means.clock.virtual:
                await asyncio.sleep(LOOK_PAUSE_SECONDS)

    async def _watch_for_ever(self) -> None:
        while True:
            await stroke(WISH_SECONDS)
            try:
                self._hear_wishes()
            except Exception:
                log.exception("Looking after leases failed")

    # ------------------------------------------------------------ claiming

    def _is_held(self, uid: str) -> bool:
        return uid in self._roster or uid in self._adoptions

    def _held(self) -> list[str]:
        return [*self._roster.uids(), *self._adoptions]

    def _claim(self) -> bool:
        """Says whether there may be more to claim right now."""
        means = self._means
        now = means.machine.now()
        room = max(0, min(BATCH, self.room - len(self._roster) - len(self._adoptions)))
        # What is to be ended needs no slot, and is not kept waiting for one.
        uids = self._to_be_ended(now)
        if room:
            uids += self._troubles.due(means.machine.monotonic())[:room]
            limit = room + len(self._troubles)
            uids += [
                uid
                for uid in means.store.claimable(now=now, limit=limit)
                if uid not in self._troubles and not self._is_held(uid)
            ][:room]
        uids = list(dict.fromkeys(uids))
        if not uids:
            return False
        claim = partial(means.store.claim, owner=means.owner, now=now, ttl=LEASE_SECONDS)
        answers = means.store.group([partial(claim, uid) for uid in uids])
        crash_point("claimed")
        for uid, answer in zip(uids, answers, strict=True):
            if isinstance(answer, Execution):
                self._adopt(answer)
            elif isinstance(answer, Refused | NotFound):
                # Somebody was faster, or it is over.
                self._troubles.over(uid)
            elif isinstance(answer, Exception):
                self._in_trouble(uid, uid, answer)
        return len(uids) >= room > 0

    def _to_be_ended(self, now: float) -> list[str]:
        moment = self._means.machine.monotonic()
        if moment < self._next_wishes:
            return []
        self._next_wishes = moment + WISH_SECONDS / 4
        wished = self._means.store.wished(now=now, limit=BATCH)
        due = set(self._troubles.due(moment))
        return [
            uid
            for uid in wished
            if not self._is_held(uid) and (uid in due or uid not in self._troubles)
        ]

    def _adopt(self, claimed: Execution) -> None:
        uid = claimed.uid
        adoption = Adoption(self._means, self._acting, self._errands, self._surveyor, claimed)
        task = asyncio.ensure_future(self._take_in(adoption, claimed))
        self._adoptions[uid] = adoption, task

    async def _take_in(self, adoption: Adoption, claimed: Execution) -> None:
        uid = claimed.uid
        try:
            driver = await adoption.run()
        except NotFound:
            self._troubles.over(uid)
        except StaleWrite as error:
            self._errands.call_off(uid)
            self._means.launcher.forget(uid)
            self._troubles.over(uid)
            log.warning("Another runner has taken execution %s over: %s", claimed.name, error)
        except Exception as error:
            self._errands.call_off(uid)
            self._means.launcher.forget(uid)
            self._in_trouble(uid, claimed.name, error)
            self._let_go_of([uid])
        else:
            if adoption.resumed:
                log.info("Execution %s is taken up where it was.", claimed.name)
            if self._troubles.over(uid):
                log.info("Execution %s can be driven again.", claimed.name)
            if not self._draining:
                self._turns.add(driver)
        finally:
            if not self._draining:
                del self._adoptions[uid]

    def _in_trouble(self, uid: str, name: str, error: BaseException) -> None:
        why = error.message if isinstance(error, JobrunnerError) else f"{error!r} (a bug)"
        if self._troubles.add(uid, f"{name}: {why}", self._means.machine.monotonic()):
            bug = None if isinstance(error, JobrunnerError) else error
            log.warning("Execution %s cannot be driven now: %s", name, why, exc_info=bug)

    def _let_go_of(self, uids: Sequence[str]) -> None:
        """A lease that stays costs the next runner some seconds, no more."""
        means = self._means
        with contextlib.suppress(StoreFault):
            for start in range(0, len(uids), BATCH):
                batch = uids[start : start + BATCH]
                means.store.group([partial(means.store.release, uid, means.owner) for uid in batch])

    def _free_leases_of_the_dead(self) -> None:
        """No need to wait for the lease of a runner of this machine that is not there any more."""
        means = self._means
        try:
            free = set(means.store.claimable(now=means.machine.now(), limit=MANY))
            held = (u for u in means.store.claimable(now=float("inf"), limit=MANY) if u not in free)
            dead: list[tuple[str, str]] = []
            for uid in held:
                lease = means.store.get_execution_by_uid(uid).lease
                if lease is not None and is_gone(lease.owner):
                    dead.append((uid, lease.owner))
            for start in range(0, len(dead), BATCH):
                batch = dead[start : start + BATCH]
                means.store.group([partial(means.store.release, *each) for each in batch])
        except JobrunnerError as error:
            log.warning("Leases of earlier runners could not be looked at: %s", error.message)

    # ------------------------------------------------------------ wishes

    def _hear_wishes(self) -> None:
        for uid in self._leases.look(self._wished, self._held):
            driver = self._roster.remove(uid)
            if driver is not None:
                self.lost(driver, StaleWrite("the lease had run out."))
                self._inbox.touch(*self._roster.waiting())
            elif uid in self._adoptions:
                self._errands.call_off(uid)
                self._adoptions[uid][1].cancel()
        for uid in self._troubles:
            try:
                if self._means.store.get_execution_by_uid(uid).abort is not None:
                    self._troubles.hasten(uid)
            except NotFound:
                self._troubles.over(uid)

    def _wished(self, uid: str, abort: Abort) -> None:
        driver = self._roster.get(uid)
        if driver is not None:
            if driver.execution.abort is None:
                self._inbox.put(driver, AbortFact(abort))
        elif uid in self._adoptions:
            self._adoptions[uid][0].abort(abort)
