"""What follows from a stored turn: launches, waits for ends, stops, discards. Each ends in a fact.

Trouble of a backend says nothing about an attempt: it is borne for a while, then it is the
execution that cannot go on.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

from jobrunner.core.records import Attempt, AttemptKey
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.executor.crashpoints import crash_point
from jobrunner.executor.driver import (
    Driver,
    ExitedFact,
    LaunchedFact,
    LaunchFailedFact,
    Orders,
    VanishedFact,
)
from jobrunner.executor.errands import Errands
from jobrunner.executor.inbox import Inbox
from jobrunner.executor.means import Means
from jobrunner.ports import Backend, LaunchSpec

STUBBORN_SECONDS = 30.0
"""How long after its KILL an attempt may still be there before a person is told."""
OBSTACLE_SECONDS = 3.0
"""How long after it was told to end a person hears what keeps an attempt from it, if that is
known."""


@runtime_checkable
class KnowsObstacles(Protocol):
    """A backend that may know what keeps an attempt from ending."""

    async def obstacle(self, handle: str) -> str:
        """In the middle of a sentence; empty if there is nothing to say."""
        ...


class Acting:
    """``hurry`` once set: whatever is stopped from now on gets no grace."""

    def __init__(self, means: Means, inbox: Inbox, errands: Errands) -> None:
        self._means = means
        self._inbox = inbox
        self._errands = errands
        self._told: set[str] = set()
        self.hurry = False

    def carry_out(self, driver: Driver, orders: Orders) -> None:
        backend = self._means.backends(driver.execution.backend)
        for key in orders.launch:
            self.launch(driver, backend, key)
        for attempt in orders.stop:
            self.stop(driver, attempt)
        if orders.discard:
            self._errands.chore(self._discard(backend, orders.discard))

    # ------------------------------------------------------------ launching

    def launch(self, driver: Driver, backend: Backend, key: AttemptKey) -> None:
        self._errands.send(driver.uid, self._launch(driver, backend, key))

    async def _launch(self, driver: Driver, backend: Backend, key: AttemptKey) -> None:
        crash_point("before-launch")
        patience = self._means.patience()
        while True:
            try:
                answer = await backend.launch(self._spec(driver, key))
            except LaunchFailed as error:
                self._inbox.put(driver, LaunchFailedFact(key, error))
                return
            except BackendFault as error:
                # Asked again, it is still the same attempt.
                await patience.bear(error)
                if driver.is_stopping(key):
                    failed = LaunchFailed(error.message, permanent=False)
                    self._inbox.put(driver, LaunchFailedFact(key, failed))
                    return
            else:
                break
        crash_point("after-launch")
        self._inbox.put_in_time(driver, LaunchedFact(key, answer))
        await self.await_end(driver, backend, key, answer.handle)

    def _spec(self, driver: Driver, key: AttemptKey) -> LaunchSpec:
        try:
            return self._means.launcher.spec(driver.execution, key)
        except OSError as error:
            raise LaunchFailed(f"It could not be prepared: {error}.", permanent=False) from None

    # ------------------------------------------------------------ ends

    def follow(self, driver: Driver, backend: Backend, key: AttemptKey, handle: str) -> None:
        self._errands.send(driver.uid, self.await_end(driver, backend, key, handle))

    async def await_end(
        self, driver: Driver, backend: Backend, key: AttemptKey, handle: str
    ) -> None:
        patience = self._means.patience()
        while True:
            try:
                status = await backend.wait(handle)
            except AttemptVanished as error:
                self._inbox.put(driver, VanishedFact(key, error.message))
                return
            except BackendFault as error:
                await patience.bear(error)
            else:
                self._inbox.put(driver, ExitedFact(key, status))
                return

    # ------------------------------------------------------------ stops

    def stop(self, driver: Driver, attempt: Attempt) -> None:
        if attempt.handle is not None:
            grace = 0.0 if self.hurry else self._means.launcher.grace_of(driver.execution)
            backend = self._means.backends(driver.execution.backend)
            work = self._stop(driver, backend, attempt.key, attempt.handle, grace)
            self._errands.send(driver.uid, work)

    async def _stop(
        self, driver: Driver, backend: Backend, key: AttemptKey, handle: str, grace: float
    ) -> None:
        patience = self._means.patience()
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
        await asyncio.sleep(OBSTACLE_SECONDS)
        if driver.is_live(key):
            await self._tell_obstacle(driver, backend, handle)
        await asyncio.sleep(max(0.0, grace + STUBBORN_SECONDS - OBSTACLE_SECONDS))
        if driver.is_live(key):
            self._means.observer.warning(
                f"Task {key.index} of {driver.execution.name} was told to end {grace:.0f} s before"
                f" its KILL, and has not ended {STUBBORN_SECONDS:.0f} s after it."
            )

    async def _tell_obstacle(self, driver: Driver, backend: Backend, handle: str) -> None:
        """Once per execution: what holds one attempt mostly holds all of them."""
        if driver.uid in self._told or not isinstance(backend, KnowsObstacles):
            return
        why = await backend.obstacle(handle)
        if why and driver.uid not in self._told:
            self._told.add(driver.uid)
            name = driver.execution.name
            self._means.observer.warning(f"Execution {name} is told to end and waits: {why}.")

    def forget(self, uid: str) -> None:
        self._told.discard(uid)

    @staticmethod
    async def _discard(backend: Backend, handles: list[str]) -> None:
        for handle in handles:
            crash_point("before-discard")
            await backend.discard(handle)
            crash_point("after-discard")
