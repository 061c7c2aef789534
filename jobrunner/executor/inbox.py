"""News for the next turn: whose facts have come, and whether somebody waits for them."""

from __future__ import annotations

import asyncio

from jobrunner.core.states import AttemptState
from jobrunner.executor.driver import Driver, Fact, LaunchedFact

LAUNCHED_PATIENCE_SECONDS = 0.03


class Inbox:
    """Belongs to one event loop. ``urgent`` counts the facts since the last :meth:`take`."""

    def __init__(self, patience: float = LAUNCHED_PATIENCE_SECONDS) -> None:
        self.urgent = 0
        self._patience = patience
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._late: dict[str, None] = {}
        self._later: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        return bool(self._dirty)

    @property
    def rings(self) -> bool:
        """Whether the next turn comes, now or in a moment."""
        return bool(self._dirty or self._late) or self._wake.is_set()

    def put(self, driver: Driver, fact: Fact) -> None:
        driver.facts.append(fact)
        self.urgent += 1
        self.touch(driver.uid)

    def put_in_time(self, driver: Driver, fact: LaunchedFact) -> None:
        """For a fact that may share the commit of the next one: should the runner die before, the
        backend is asked and knows. A short task then costs one commit, not two. Without
        ``patience`` (seconds) it comes like any other."""
        attempt = driver.snapshot.live.get(fact.key.index)
        if attempt is None or attempt.state is AttemptState.STOPPING or not self._patience:
            self.put(driver, fact)
            return
        driver.facts.append(fact)
        self._late[driver.uid] = None
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(self._patience, self._patience_over)

    def _patience_over(self) -> None:
        self._later = None
        self._dirty.update(self._late)
        self._late.clear()
        self._wake.set()

    def touch(self, *uids: str) -> None:
        """The next turn looks at these executions."""
        self._dirty.update(dict.fromkeys(uids))
        self._wake.set()

    def ring(self) -> None:
        """The next turn comes now, whatever it finds."""
        self._wake.set()

    def take(self) -> dict[str, None]:
        """The executions with news, and nothing of them is left."""
        dirty, self._dirty = self._dirty, {}
        return dirty

    def begin(self) -> None:
        """What comes from now on wakes the turn after this one."""
        self._wake.clear()
        self.urgent = 0

    async def wait(self, left: float | None) -> None:
        """Until there is news, or ``left`` seconds. A timer that is already set for an earlier
        moment stays: waking up for nothing costs less than setting one anew for each turn."""
        if left is not None:
            loop = asyncio.get_running_loop()
            if self._alarm is None or self._alarm.when() > loop.time() + left:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_later(left, self._ring)
        await self._wake.wait()

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    def close(self) -> None:
        for timer in (self._later, self._alarm):
            if timer is not None:
                timer.cancel()
        self._later = self._alarm = None
