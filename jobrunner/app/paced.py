"""A backend that runs things for real, on a server whose clock is virtual: it starts and ends them
at the instants that the virtual clock shows. What it enforces itself, it enforces in real time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

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
    Running,
    Sighting,
)


class OnClock:
    """``inner``, its instants told by ``clock``."""

    def __init__(self, inner: Backend, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.name = inner.name

    async def probe(self) -> Health:
        return await self._inner.probe()

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        return await self._inner.prepare(image, progress)

    async def launch(self, spec: LaunchSpec) -> Launched:
        return replace(await self._inner.launch(spec), at=self._clock.now())

    async def wait(self, handle: str) -> ExitStatus:
        return self._told(await self._inner.wait(handle))

    async def stop(self, handle: str, *, grace: float) -> None:
        await self._inner.stop(handle, grace=grace)

    async def inspect(self, handle: str) -> Sighting:
        return self._seen(await self._inner.inspect(handle))

    async def discard(self, handle: str) -> None:
        await self._inner.discard(handle)

    async def fence(self, execution: str, lease: int) -> None:
        await self._inner.fence(execution, lease)

    async def discover(self) -> AsyncIterator[Found]:
        async for found in self._inner.discover():
            yield replace(found, sighting=self._seen(found.sighting))

    async def obstacle(self, handle: str) -> str:
        inner = self._inner
        return await inner.obstacle(handle) if isinstance(inner, KnowsObstacles) else ""

    async def close(self) -> None:
        await self._inner.close()

    def _seen(self, sighting: Sighting) -> Sighting:
        if isinstance(sighting, ExitStatus):
            return self._told(sighting)
        return Running(self._clock.now()) if isinstance(sighting, Running) else sighting

    def _told(self, status: ExitStatus) -> ExitStatus:
        now = self._clock.now()
        return replace(status, started_at=now, ended_at=now)
