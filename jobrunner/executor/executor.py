"""The executor of one command line: drives the executions it is given until they are settled."""

from __future__ import annotations

import asyncio
import contextlib

from jobrunner.core.records import Abort
from jobrunner.core.states import AttemptState
from jobrunner.errors import JobrunnerError, StaleWrite
from jobrunner.executor.acting import Acting
from jobrunner.executor.adoption import Adoption
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import AbortFact, Driver
from jobrunner.executor.errands import Errands
from jobrunner.executor.inbox import Inbox
from jobrunner.executor.leases import LEASE_SECONDS, Leases
from jobrunner.executor.means import Means
from jobrunner.executor.patience import Patience
from jobrunner.executor.recovery import Surveyor
from jobrunner.executor.roster import Roster
from jobrunner.executor.turns import Turns

ABORT_POLL_SECONDS = 0.25


class Executor:
    """Belongs to one event loop."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._inbox = Inbox()
        self._roster = Roster(means.limits)
        self._errands = Errands(self.failed, means.observer.warning)
        self._acting = Acting(means, self._inbox, self._errands)
        self._turns = Turns(means, self._roster, self._inbox, self._acting, self)
        self._surveyor = Surveyor()
        self._adoption: Adoption | None = None
        self._failure: BaseException | None = None
        self._wish: Abort | None = None
        self.lost_to_others: dict[str, StaleWrite] = {}
        """Executions another runner has taken over, by uid."""

    async def run(self, *uids: str) -> None:
        """Claims the executions, carries on where they are, and returns when all are settled or
        taken over (see ``lost_to_others``). Raises Refused if somebody alive drives one of them.

        StoreFault or BackendFault when the store or a backend failed for longer than patience
        lasts: what runs goes on, what is stored is true, and a later runner takes both up.
        """
        keeping = asyncio.ensure_future(self._keep_leases())
        try:
            for uid in uids:
                await self._adopt(uid)
            while self._roster:
                await self._turns.one()
                if self._failure is not None:
                    raise self._failure
            await self._errands.finish_chores()
        finally:
            self._inbox.close()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._surveyor.close()
            await self._errands.close()

    def abort(self, abort: Abort) -> None:
        """Stores the wish for every execution driven here, or about to be, and begins to carry it
        out."""
        self._wish = self._wish or abort
        for driver in self._roster:
            self._pass_on(driver)
        if self._adoption is not None:
            self._pass_on_early(self._adoption)

    def hurry(self) -> None:
        """Whatever is being stopped is killed now; no grace."""
        self._acting.hurry = True
        for driver in self._roster:
            for attempt in driver.snapshot.live.values():
                if attempt.state is AttemptState.STOPPING:
                    self._acting.stop(driver, attempt)

    # ------------------------------------------------------------ what the turns tell

    def ended(self, driver: Driver) -> None:
        self._errands.call_off(driver.uid)

    def lost(self, driver: Driver, error: StaleWrite) -> None:
        self._errands.call_off(driver.uid)
        self.lost_to_others[driver.uid] = error

    def failed(self, uid: str, error: BaseException) -> None:
        self._failure = self._failure or error
        self._inbox.ring()

    def patience(self) -> Patience:
        return self._means.patience()

    # ------------------------------------------------------------ inside

    async def _adopt(self, uid: str) -> None:
        means = self._means
        claimed = means.store.claim(uid, means.owner, now=means.machine.now(), ttl=LEASE_SECONDS)
        crash_point("claimed")
        adoption = Adoption(means, self._acting, self._errands, self._surveyor, claimed)
        self._adoption = adoption
        try:
            if self._wish is not None:
                self._pass_on_early(adoption)
            driver = await adoption.run()
        finally:
            self._adoption = None
        self._turns.add(driver)

    def _pass_on(self, driver: Driver) -> None:
        wish = self._wish
        if wish is None or driver.snapshot.settled or driver.execution.abort is not None:
            return
        self._inbox.put(driver, AbortFact(self._stored(driver.uid, wish)))

    def _pass_on_early(self, adoption: Adoption) -> None:
        if self._wish is not None and not adoption.aborting:
            adoption.abort(self._stored(adoption.uid, self._wish))

    def _stored(self, uid: str, wish: Abort) -> Abort:
        """The wish that counts. What the store does not take now, it takes with the next turn."""
        with contextlib.suppress(JobrunnerError):
            return self._means.store.request_abort(uid, wish).abort or wish
        return wish

    async def _keep_leases(self) -> None:
        leases = Leases(self._means)
        while True:
            await asyncio.sleep(ABORT_POLL_SECONDS)
            try:
                for uid in leases.look(self._wished, self._roster.uids):
                    if (driver := self._roster.remove(uid)) is not None:
                        self.lost(driver, StaleWrite("The lease is another runner's."))
                        self._inbox.ring()
            except Exception as error:
                self.failed("", error)
                return

    def _wished(self, uid: str, abort: Abort) -> None:
        driver = self._roster.get(uid)
        if driver is not None and driver.execution.abort is None:
            self._inbox.put(driver, AbortFact(abort))
        elif self._adoption is not None and self._adoption.uid == uid:
            self._adoption.abort(abort)


__all__ = ["LEASE_SECONDS", "Executor"]
