"""A backend whose attempts are killed on purpose, as often as faults say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from signal import SIGKILL

from jobrunner.core.faults import Faults
from jobrunner.core.news import News, Tone
from jobrunner.core.records import ExitStatus
from jobrunner.executor.acting import KnowsObstacles
from jobrunner.ports import (
    Backend,
    Clock,
    Found,
    Health,
    Launched,
    LaunchSpec,
    Progress,
    Sighting,
)


class Killing:
    """``inner``, some of whose attempts end by SIGKILL, whatever they have done by then. Which ones
    is told apart by the job, how many of its executions came before, task and attempt."""

    def __init__(
        self, inner: Backend, faults: Faults, clock: Clock, tell: Callable[[News], None]
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._clock = clock
        self._tell = tell
        self._places: dict[str, tuple[str, int]] = {}
        self._counts: dict[str, int] = {}
        self._doomed: dict[str, str] = {}
        self.name = inner.name

    async def probe(self) -> Health:
        return await self._inner.probe()

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        return await self._inner.prepare(image, progress)

    async def launch(self, spec: LaunchSpec) -> Launched:
        job = spec.env.get("CLOUD_RUN_JOB", "")
        key = spec.key
        if key.execution not in self._places:
            self._counts[job] = self._counts.get(job, 0) + 1
            self._places[key.execution] = job, self._counts[job]
        place = self._places[key.execution]
        launched = await self._inner.launch(spec)
        if self._faults.happens("kill", *place, key.index, key.number):
            self._doomed[launched.handle] = f"task {key.index} attempt {key.number}"
            name = spec.env.get("CLOUD_RUN_EXECUTION", job)
            self._tell(_news(self._clock.now(), name, f"task {key.index} attempt {key.number}"))
        return launched

    async def wait(self, handle: str) -> ExitStatus:
        if handle not in self._doomed:
            return await self._inner.wait(handle)
        if self._faults.kill_seconds:
            await asyncio.sleep(self._faults.kill_seconds)
        await self._inner.stop(handle, grace=0.0)
        status = await self._inner.wait(handle)
        return replace(status, code=None, signal=int(SIGKILL), stopped=None)

    async def stop(self, handle: str, *, grace: float) -> None:
        await self._inner.stop(handle, grace=grace)

    async def inspect(self, handle: str) -> Sighting:
        return await self._inner.inspect(handle)

    async def discard(self, handle: str) -> None:
        self._doomed.pop(handle, None)
        await self._inner.discard(handle)

    async def fence(self, execution: str, lease: int) -> None:
        await self._inner.fence(execution, lease)

    async def discover(self) -> AsyncIterator[Found]:
        async for found in self._inner.discover():
            yield found

    async def obstacle(self, handle: str) -> str:
        inner = self._inner
        return await inner.obstacle(handle) if isinstance(inner, KnowsObstacles) else ""

    async def close(self) -> None:
        await self._inner.close()


def _news(at: float, name: str, detail: str) -> News:
    return News(at, "fault", name, "kill", detail, Tone.BUSY, {"fault": "kill"})
