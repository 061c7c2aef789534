"""One claimed execution on its way into the turns: its tasks loaded, its image made available, and
what an earlier runner has left running taken up again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from jobrunner.core.records import Abort, AbortKind, Attempt, Execution, ExitStatus
from jobrunner.core.states import AttemptState
from jobrunner.errors import LaunchFailed, StaleWrite
from jobrunner.executor.acting import Acting
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import (
    AbortFact,
    Driver,
    LaunchedFact,
    LaunchFailedFact,
    VanishedFact,
)
from jobrunner.executor.errands import Errands
from jobrunner.executor.means import Means
from jobrunner.executor.recovery import Surveyor, remove
from jobrunner.executor.snapshots import make_snapshot
from jobrunner.executor.turns import same_lease
from jobrunner.ports import Backend, Found, Launched, Running, Vanished


class Adoption:
    """``run`` once. ``driver`` is there as soon as the tasks are loaded."""

    def __init__(
        self,
        means: Means,
        acting: Acting,
        errands: Errands,
        surveyor: Surveyor,
        claimed: Execution,
    ) -> None:
        self._means = means
        self._acting = acting
        self._errands = errands
        self._surveyor = surveyor
        self._claimed = claimed
        self._wish: Abort | None = claimed.abort
        self._preparing: asyncio.Future[str | None] | None = None
        self.driver: Driver | None = None
        self.resumed = False
        """Whether a runner before this one had begun it."""

    @property
    def uid(self) -> str:
        return self._claimed.uid

    @property
    def name(self) -> str:
        return self._claimed.name

    @property
    def aborting(self) -> bool:
        return self._wish is not None

    def abort(self, wish: Abort) -> None:
        """Nothing is pulled to end a run."""
        if self._wish is not None:
            return
        self._wish = wish
        if self.driver is not None:
            self.driver.facts.append(AbortFact(wish))
        if self._preparing is not None:
            self._preparing.cancel()

    async def run(self) -> Driver:
        """The driver, ready for its first turn. Raises BackendFault where nothing can be said now,
        StoreFault, NotFound, and StaleWrite when the claim is not good any more."""
        claimed = self._claimed
        backend = self._means.backends(claimed.backend)
        # Begun before the tasks are loaded: a supervisor starts, or an image is looked up.
        preparing = asyncio.ensure_future(self._prepare(backend))
        await asyncio.sleep(0)
        try:
            loaded = self._means.store.load(claimed.uid)
            if not same_lease(loaded.execution, claimed):
                # This process stood still since its claim. With what was loaded it would drive
                # under the lease of whoever has taken over.
                raise StaleWrite("the lease ran out before the first turn.")
            snapshot, fresh = make_snapshot(loaded)
        except BaseException:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            raise
        driver = self.driver = Driver(snapshot, order=claimed.created_at)
        if self._wish is not None and driver.execution.abort is None:
            driver.facts.append(AbortFact(self._wish))
        await self._pin(driver, preparing)
        if not fresh:
            self.resumed = True
            driver.notes.append(("resumed", {"runner": self._means.owner}))
            await self._recover(driver, backend)
        crash_point("recovered")
        return driver

    async def _prepare(self, backend: Backend) -> str | None:
        if self._wish is not None:
            return None

        def tell(message: str) -> None:
            self._means.observer.preparing(self._claimed, message)

        return await backend.prepare(self._means.launcher.image_of(self._claimed), tell)

    async def _pin(self, driver: Driver, preparing: asyncio.Future[str | None]) -> None:
        self._preparing = preparing
        if self._wish is not None:
            preparing.cancel()
        image = None
        try:
            image = await preparing
        except LaunchFailed as error:
            now = self._means.clock.now()
            wish = Abort(AbortKind.LAUNCH, now, error.message, error.reason)
            driver.facts.append(AbortFact(wish))
            return
        except asyncio.CancelledError:
            # A wish to abort ends the preparing, not this.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self._preparing = None
            preparing.cancel()
        execution = driver.execution
        if image is not None and image != execution.image_digest:
            driver.snapshot.execution = replace(execution, image_digest=image)
        template = self._means.launcher.compile(driver.execution, warn=self._means.observer.warning)
        if template.image is not None:
            driver.memory = template.memory or 0

    # ------------------------------------------------------------ recovery

    async def _recover(self, driver: Driver, backend: Backend) -> None:
        """Asks the backend what it still has and takes up every thread."""
        lease = driver.execution.lease
        assert lease is not None
        await backend.fence(driver.uid, lease.epoch)
        live = {attempt.key for attempt in driver.snapshot.live.values()}
        found: dict[object, Found] = {}
        for item in await self._surveyor.look(backend, driver.uid):
            if item.key in live:
                found[item.key] = item
            else:
                # Its end is stored already.
                self._errands.chore(remove(backend, item))
        for attempt in list(driver.snapshot.live.values()):
            seen = found.get(attempt.key)
            self._take_up(driver, backend, attempt, seen)
            if seen is not None and isinstance(seen.sighting, ExitStatus):
                # Known before the first plan, or an attempt that ended in time while nobody
                # looked would be judged by a deadline that has passed since.
                await self._acting.await_end(driver, backend, attempt.key, seen.handle)

    def _take_up(
        self, driver: Driver, backend: Backend, attempt: Attempt, found: Found | None
    ) -> None:
        key = attempt.key
        if found is None and attempt.handle is None:
            if attempt.state is AttemptState.STOPPING:
                error = LaunchFailed("It was stopped before it was launched.", permanent=False)
                driver.facts.append(LaunchFailedFact(key, error))
            else:
                self._acting.launch(driver, backend, key)
            return
        if found is None or isinstance(found.sighting, Vanished):
            detail = found.sighting.detail if found and isinstance(found.sighting, Vanished) else ""
            driver.facts.append(VanishedFact(key, detail))
            if found is not None:
                self._errands.chore(remove(backend, found))
            return
        if attempt.handle is None:
            since = found.sighting.since if isinstance(found.sighting, Running) else None
            if isinstance(found.sighting, ExitStatus):
                since = found.sighting.started_at
            at = since if since is not None else attempt.claimed_at
            driver.facts.append(LaunchedFact(key, Launched(found.handle, at)))
        if isinstance(found.sighting, ExitStatus):
            return
        self._acting.follow(driver, backend, key, found.handle)
        if attempt.state is AttemptState.STOPPING and attempt.handle is not None:
            self._acting.stop(driver, replace(attempt, handle=found.handle))
