"""The loop that drives executions: collect facts, plan, store, act, and again.

One turn stores everything that happened since the last one, and every start that follows from it,
in one transaction per execution; only then are the starts, stops and discards carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jobrunner.core.admission import Ask, Capacity, admit
from jobrunner.core.records import Abort, AbortKind, Attempt, AttemptKey, Execution, ExitStatus
from jobrunner.core.states import AttemptState
from jobrunner.errors import (
    AttemptVanished,
    BackendFault,
    JobrunnerError,
    LaunchFailed,
    RunnerFault,
    StaleWrite,
    StoreFault,
)
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import (
    AbortFact,
    Driver,
    ExitedFact,
    Fact,
    LaunchedFact,
    LaunchFailedFact,
    VanishedFact,
)
from jobrunner.executor.launching import Launcher
from jobrunner.executor.observer import Observer
from jobrunner.executor.patience import Patience
from jobrunner.executor.recovery import remove, survey
from jobrunner.executor.snapshots import make_snapshot
from jobrunner.ports import (
    Backend,
    Clock,
    Found,
    Launched,
    LaunchSpec,
    Running,
    Store,
    Turn,
    Vanished,
)

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 5.0
ABORT_POLL_SECONDS = 0.25
LAUNCHED_PATIENCE_SECONDS = 0.03
LAST_WORDS_SECONDS = 0.02
STUBBORN_SECONDS = 30.0
"""How long after its KILL an attempt may still be there before a person is told."""
CROWD = 8
CROWD_SHARE = 3
CROWD_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Limits:
    """What one runner may keep alive at once. ``memory`` in bytes, for containers only."""

    slots: int = 64
    memory: int | None = None


class Executor:
    """Drives the executions given to it until they are settled.

    ``backends`` gives a backend by name, made on first use. ``launcher`` turns an execution and an
    attempt key into a launch. Belongs to one event loop; the store is called in it.
    """

    def __init__(
        self,
        *,
        store: Store,
        backends: Callable[[str], Backend],
        launcher: Launcher,
        clock: Clock,
        owner: str,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self._store = store
        self._backend = backends
        self._launcher = launcher
        self._clock = clock
        self._owner = owner
        self._limits = limits
        self._observer = observer
        self._drivers: dict[str, Driver] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._wish: Abort | None = None
        self._hurry = False
        self._urgent = 0
        self._later: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Future[str | None] | None = None
        self._dirty: set[str] = set()
        self.lost: dict[str, StaleWrite] = {}
        """Executions another runner has taken over, by uid."""

    # ------------------------------------------------------------ from outside

    async def run(self, *uids: str) -> None:
        """Claims the executions, carries on where they are, and returns when all are settled or
        taken over (see ``lost``). Raises Refused if somebody alive drives one of them.

        StoreFault or BackendFault when the store or a backend failed for longer than patience
        lasts: what runs goes on, what is stored is true, and a later runner takes both up.
        """
        self._spawn(self._keep_house())
        try:
            for uid in uids:
                await self._adopt(uid)
            while self._drivers:
                await self._turns()
                if self._failure is not None:
                    raise self._failure
            while self._chores:
                await asyncio.gather(*self._chores, return_exceptions=True)
        finally:
            for timer in (self._later, self._alarm):
                if timer is not None:
                    timer.cancel()
            # Whoever waits, waits for nothing any more, or for what a later runner will ask for.
            left = [*self._tasks, *self._chores]
            self._tasks.clear()
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def abort(self, abort: Abort) -> None:
        """Stores the wish for every execution driven here, or about to be, and begins to carry it
        out."""
        self._wish = self._wish or abort
        for driver in list(self._drivers.values()):
            self._pass_on_wish(driver)
        if self._preparing is not None:
            self._preparing.cancel()

    def _pass_on_wish(self, driver: Driver) -> None:
        wish = self._wish
        if wish is None or driver.snapshot.settled or driver.execution.abort is not None:
            return
        # What the store does not take now, it takes with the next turn.
        with contextlib.suppress(JobrunnerError):
            wish = self._store.request_abort(driver.uid, wish).abort or wish
        self._fact(driver, AbortFact(wish))

    def hurry(self) -> None:
        """Whatever is being stopped is killed now; no grace."""
        self._hurry = True
        for driver in self._drivers.values():
            for attempt in driver.snapshot.live.values():
                if attempt.state is AttemptState.STOPPING:
                    self._order_stop(driver, attempt)

    # ------------------------------------------------------------ adoption

    async def _adopt(self, uid: str) -> None:
        now = self._clock.now()
        claimed = self._store.claim(uid, self._owner, now=now, ttl=LEASE_SECONDS)
        crash_point("claimed")
        backend = self._backend(claimed.backend)
        # Begun before the tasks are loaded: a supervisor starts, or an image is looked up.
        preparing = asyncio.ensure_future(self._prepare(claimed, backend))
        await asyncio.sleep(0)
        snapshot, fresh = make_snapshot(self._store.load(uid))
        self._drivers[uid] = driver = Driver(snapshot, order=claimed.created_at)
        self._dirty.add(uid)
        self._preparing = preparing
        if self._wish is not None:
            self._pass_on_wish(driver)
            preparing.cancel()
        try:
            pinned = await preparing
            self._pin(driver, pinned)
        except LaunchFailed as error:
            driver.facts.append(
                AbortFact(Abort(AbortKind.LAUNCH, now, error.message, error.reason))
            )
        except asyncio.CancelledError:
            # A wish to abort ends the preparing, not this.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self._preparing = None
        if not fresh:
            await self._recover(driver, backend)
        crash_point("recovered")

    async def _prepare(self, execution: Execution, backend: Backend) -> str | None:
        """Makes the image available; returns what to pin. Nothing is pulled to end a run."""
        if execution.abort is not None:
            return None

        def tell(message: str) -> None:
            self._observer.preparing(execution, message)

        return await backend.prepare(self._launcher.image_of(execution), tell)

    def _pin(self, driver: Driver, image: str | None) -> None:
        execution = driver.execution
        if image is not None and image != execution.image_digest:
            driver.snapshot.execution = replace(execution, image_digest=image)
        template = self._launcher.compile(driver.execution, warn=self._observer.warning)
        if template.image is not None:
            driver.memory = template.memory or 0

    async def _recover(self, driver: Driver, backend: Backend) -> None:
        """Asks the backend what it still has and takes up every thread."""
        lease = driver.execution.lease
        assert lease is not None
        await backend.fence(driver.uid, lease.epoch)
        found, remains = await survey(backend, driver.snapshot)
        for item in remains:
            self._spawn_chore(remove(backend, item))
        for attempt in list(driver.snapshot.live.values()):
            seen = found.get(attempt.key)
            self._take_up(driver, backend, attempt, seen)
            if seen is not None and isinstance(seen.sighting, ExitStatus):
                # Known before the first plan, or an attempt that ended in time while nobody
                # looked would be judged by a deadline that has passed since.
                await self._await_end(driver, backend, attempt.key, seen.handle)

    def _take_up(
        self, driver: Driver, backend: Backend, attempt: Attempt, found: Found | None
    ) -> None:
        key = attempt.key
        if found is None and attempt.handle is None:
            if attempt.state is AttemptState.STOPPING:
                error = LaunchFailed("It was stopped before it was launched.", permanent=False)
                driver.facts.append(LaunchFailedFact(key, error))
            else:
                self._spawn(self._launch(driver, backend, key))
            return
        if found is None or isinstance(found.sighting, Vanished):
            detail = found.sighting.detail if found and isinstance(found.sighting, Vanished) else ""
            driver.facts.append(VanishedFact(key, detail))
            if found is not None:
                self._spawn_chore(remove(backend, found))
            return
        if attempt.handle is None:
            since = found.sighting.since if isinstance(found.sighting, Running) else None
            if isinstance(found.sighting, ExitStatus):
                since = found.sighting.started_at
            at = since if since is not None else attempt.claimed_at
            driver.facts.append(LaunchedFact(key, Launched(found.handle, at)))
        if isinstance(found.sighting, ExitStatus):
            return
        self._spawn(self._await_end(driver, backend, key, found.handle))
        if attempt.state is AttemptState.STOPPING and attempt.handle is not None:
            self._order_stop(driver, replace(attempt, handle=found.handle))

    # ------------------------------------------------------------ turns

    async def _turns(self) -> None:
        if not self._dirty:
            await self._sleep()
        live = sum(len(driver.snapshot.live) for driver in self._drivers.values())
        if live >= CROWD and self._urgent * CROWD_SHARE < live:
            # Where many run, a slot that waits a moment costs nothing, and a commit that carries
            # several ends costs what it costs for one.
            await asyncio.sleep(CROWD_SECONDS)
        self._wake.clear()
        self._urgent = 0
        now = self._clock.now()
        if any(driver.snapshot.overdue(now) for driver in self._drivers.values()):
            # This process may have been stopped for an hour: an end that is already on its way
            # to us came before the deadline.
            await asyncio.sleep(LAST_WORDS_SECONDS)
            now = self._clock.now()
        dirty, self._dirty = self._dirty, set()
        due = [d for uid, d in self._drivers.items() if uid in dirty or self._is_due(d, now)]
        drafts = [(driver, driver.take_facts(now)) for driver in due]
        grants = self._admit(now)
        waiting = {uid for uid in grants if uid not in dirty}
        for uid in waiting:
            if (driver := self._drivers[uid]) not in due:
                drafts.append((driver, driver.take_facts(now)))
        for driver, draft in drafts:
            driver.plan_turn(draft, now, grants.get(driver.uid, 0))
            turn = driver.finish_turn(draft, now)
            if turn is None:
                continue
            settled = driver.snapshot.settled
            crash_point("before-settle" if settled else "before-record")
            try:
                await self._record(turn)
            except StaleWrite as error:
                self.lost[driver.uid] = error
                del self._drivers[driver.uid]
                # Its slots are free.
                self._dirty.update(self._drivers)
                continue
            crash_point("after-settle" if settled else "after-record")
            self._carry_out(driver, draft.orders.launch, draft.orders.stop, draft.orders.discard)
            self._observer.turn(
                turn.execution, turn.opened, [move.attempt for move in turn.moved], turn.tasks
            )
            if settled:
                del self._drivers[driver.uid]
                # Nobody claims what is settled: a lease that stays is of no interest.
                with contextlib.suppress(StoreFault):
                    self._store.release(driver.uid, self._owner)
                self._observer.settled(driver.execution)
        if self._drivers:
            # Facts of the same burst share the next turn.
            await asyncio.sleep(0)

    async def _record(self, turn: Turn) -> None:
        patience = self._patience()
        while True:
            try:
                self._store.record(turn)
            except StaleWrite:
                if patience.tried and self._holds_lease(turn.execution):
                    # The answer was lost, not the turn: nobody else may have written it.
                    return
                raise
            except StoreFault as error:
                await patience.bear(error)
            else:
                return

    def _holds_lease(self, execution: Execution) -> bool:
        try:
            stored = self._store.get_execution_by_uid(execution.uid).lease
        except JobrunnerError:
            return False
        mine = execution.lease
        return (
            stored is not None
            and mine is not None
            and (stored.owner, stored.epoch) == (mine.owner, mine.epoch)
        )

    @staticmethod
    def _is_due(driver: Driver, now: float) -> bool:
        wake = driver.snapshot.wake_at()
        return wake is not None and wake <= now

    async def _sleep(self) -> None:
        """Until there is news, or something is due. A timer that is already set for an earlier
        moment stays: waking up for nothing costs less than setting one anew for each turn."""
        instants = [w for d in self._drivers.values() if (w := d.snapshot.wake_at()) is not None]
        if instants:
            loop = asyncio.get_running_loop()
            left = max(0.0, min(instants) - self._clock.now())
            if self._alarm is None or self._alarm.when() > loop.time() + left:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_later(left, self._ring)
        await self._wake.wait()

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    def _admit(self, now: float) -> Mapping[str, int]:
        drivers = self._drivers.values()
        live = sum(len(d.snapshot.live) for d in drivers)
        memory = self._limits.memory
        if memory is not None:
            memory -= sum(len(d.snapshot.live) * d.memory for d in drivers)
        asks = [
            Ask(d.uid, d.snapshot.wanted(now), len(d.snapshot.live), d.memory, d.order)
            for d in drivers
        ]
        return admit(asks, Capacity(max(0, self._limits.slots - live), memory))

    def _carry_out(
        self, driver: Driver, launch: list[AttemptKey], stop: list[Attempt], discard: list[str]
    ) -> None:
        backend = self._backend(driver.execution.backend)
        for key in launch:
            self._spawn(self._launch(driver, backend, key))
        for attempt in stop:
            self._order_stop(driver, attempt)
        if discard:
            self._spawn_chore(self._discard(backend, discard))

    # ------------------------------------------------------------ acting

    async def _launch(self, driver: Driver, backend: Backend, key: AttemptKey) -> None:
        crash_point("before-launch")
        patience = self._patience()
        while True:
            try:
                answer = await backend.launch(self._spec(driver, key))
            except LaunchFailed as error:
                self._fact(driver, LaunchFailedFact(key, error))
                return
            except BackendFault as error:
                # That says nothing about the attempt. Asked again, it is still the same one.
                await patience.bear(error)
                if driver.is_stopping(key):
                    failed = LaunchFailed(error.message, permanent=False)
                    self._fact(driver, LaunchFailedFact(key, failed))
                    return
            else:
                break
        crash_point("after-launch")
        self._fact_in_time(driver, LaunchedFact(key, answer))
        await self._await_end(driver, backend, key, answer.handle)

    def _spec(self, driver: Driver, key: AttemptKey) -> LaunchSpec:
        try:
            return self._launcher.spec(driver.execution, key)
        except OSError as error:
            raise LaunchFailed(f"It could not be prepared: {error}.", permanent=False) from None

    async def _await_end(
        self, driver: Driver, backend: Backend, key: AttemptKey, handle: str
    ) -> None:
        patience = self._patience()
        while True:
            try:
                status = await backend.wait(handle)
            except AttemptVanished as error:
                self._fact(driver, VanishedFact(key, error.message))
                return
            except BackendFault as error:
                await patience.bear(error)
            else:
                self._fact(driver, ExitedFact(key, status))
                return

    def _order_stop(self, driver: Driver, attempt: Attempt) -> None:
        if attempt.handle is not None:
            grace = 0.0 if self._hurry else self._launcher.grace_of(driver.execution)
            backend = self._backend(driver.execution.backend)
            self._spawn(self._stop(driver, backend, attempt.key, attempt.handle, grace))

    async def _stop(
        self, driver: Driver, backend: Backend, key: AttemptKey, handle: str, grace: float
    ) -> None:
        patience = self._patience()
        while driver.is_live(key):
            crash_point("before-stop")
            try:
                await backend.stop(handle, grace=grace)
            except AttemptVanished:
                return
            except BackendFault as error:
                await patience.bear(error)
            else:
                break
        crash_point("after-stop")
        await asyncio.sleep(grace + STUBBORN_SECONDS)
        if driver.is_live(key):
            self._observer.warning(
                f"Task {key.index} of {driver.execution.name} was told to end {grace:.0f} s before"
                f" its KILL, and has not ended {STUBBORN_SECONDS:.0f} s after it."
            )

    @staticmethod
    async def _discard(backend: Backend, handles: list[str]) -> None:
        for handle in handles:
            crash_point("before-discard")
            await backend.discard(handle)
            crash_point("after-discard")

    # ------------------------------------------------------------ inside

    def _fact(self, driver: Driver, fact: Fact) -> None:
        driver.facts.append(fact)
        self._dirty.add(driver.uid)
        self._urgent += 1
        self._wake.set()

    def _fact_in_time(self, driver: Driver, fact: LaunchedFact) -> None:
        """For a fact that may share the commit of the next one: should the runner die before, the
        backend is asked and knows. A short task then costs one commit, not two."""
        attempt = driver.snapshot.live.get(fact.key.index)
        if attempt is None or attempt.state is AttemptState.STOPPING:
            self._fact(driver, fact)
            return
        driver.facts.append(fact)
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(LAUNCHED_PATIENCE_SECONDS, self._patience_over)

    def _patience_over(self) -> None:
        self._later = None
        self._dirty.update(uid for uid, driver in self._drivers.items() if driver.facts)
        self._wake.set()

    def _patience(self) -> Patience:
        return Patience(self._clock, self._observer.warning)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """For what the run cannot do without: if it fails, so does the run."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:
            return
        self._tasks.discard(task)
        error = RunnerFault("A step was broken off.") if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            self._wake.set()

    def _spawn_chore(self, work: Coroutine[Any, Any, None]) -> None:
        """For cleaning up: what is left behind is found again by the next runner."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.warning(f"What is left of an attempt could not be removed: {error}")

    async def _keep_house(self) -> None:
        """Prolongs the leases and looks for wishes that others have stored. Whether a lease was
        lost while the store was away is told by the next turn."""
        next_beat = self._clock.monotonic() + HEARTBEAT_SECONDS
        failing = False
        while True:
            await asyncio.sleep(ABORT_POLL_SECONDS)
            try:
                for uid, abort in self._store.aborts_for(self._owner):
                    driver = self._drivers.get(uid)
                    if driver is not None and driver.execution.abort is None:
                        self._fact(driver, AbortFact(abort))
                if self._clock.monotonic() >= next_beat:
                    self._store.heartbeat(self._owner, now=self._clock.now(), ttl=LEASE_SECONDS)
                    next_beat = self._clock.monotonic() + HEARTBEAT_SECONDS
            except StoreFault as error:
                if not failing:
                    self._observer.warning(f"{error.message.rstrip('.')}: trying again.")
                failing = True
            else:
                failing = False


__all__ = ["Executor", "Limits"]
