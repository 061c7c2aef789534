"""Waits for the ends of executions that deliveries follow; each end becomes a move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import JobrunnerError, NotFound
from jobrunner.ports import Clock, Runner
from triggers.core.records import Delivery
from triggers.core.verdict import RunEnd
from triggers.ports import Move, Sent
from triggers.service import moves
from triggers.service.judging import Judge

FOLLOW_SECONDS = 30.0
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""

log = logging.getLogger("jobrunner.deliveries")


class Followers:
    """One task for each delivery that follows a run; ``ended`` gets what its end makes of it."""

    def __init__(
        self, runner: Runner, judge: Judge, clock: Clock, ended: Callable[[Move], None]
    ) -> None:
        self._runner = runner
        self._judge = judge
        self._clock = clock
        self._ended = ended
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, delivery: Delivery) -> None:
        """Once, however often it is asked to."""
        if delivery.uid not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._until_ended(delivery))
            self._tasks[delivery.uid] = task

    def stop(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()

    async def _until_ended(self, delivery: Delivery) -> None:
        try:
            self._ended(await self._end_of(delivery))
        except Exception:
            # The next sweep takes it up again.
            log.exception("Delivery %s cannot be followed", delivery.uid)
        finally:
            self._tasks.pop(delivery.uid, None)

    async def _end_of(self, delivery: Delivery) -> Move:
        uid = delivery.execution or ""
        while True:
            try:
                execution = await self._runner.settled(uid, within=FOLLOW_SECONDS)
            except NotFound:
                return moves.orphaned(delivery, self._clock.now())
            except JobrunnerError as error:
                log.warning("The end of execution %s is not known yet: %s", uid, error)
                await asyncio.sleep(FAULT_SECONDS)
                continue
            if execution.state in SETTLED_EXECUTIONS:
                end = RunEnd(execution.name, execution.state)
                return self._judge.move(delivery, Sent(end, execution=uid))
