"""After a crash: what a backend still has, against what the store remembers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import AttemptVanished, NotFound
from jobrunner.ports import Backend, Found, Running, Store

Findings = Mapping[str, Sequence[Found]]


class Surveyor:
    """Looks at what backends have. Executions that are taken up at the same time share one look:
    each gets one that began after it asked."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[Findings]]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def look(self, backend: Backend, uid: str) -> Sequence[Found]:
        """What bears the mark of this execution. Raises BackendFault."""
        answer: asyncio.Future[Findings] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(backend.name, []).append(answer)
        if backend.name not in self._looking:
            task = asyncio.ensure_future(self._look(backend))
            self._looking[backend.name] = task
        return (await answer).get(uid, ())

    async def _look(self, backend: Backend) -> None:
        try:
            while waiting := self._waiting.pop(backend.name, []):
                try:
                    findings: dict[str, list[Found]] = {}
                    async for item in backend.discover():
                        findings.setdefault(item.key.execution, []).append(item)
                except Exception as error:
                    for answer in waiting:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for answer in waiting:
                        if not answer.done():
                            answer.set_result(findings)
        finally:
            del self._looking[backend.name]

    async def close(self) -> None:
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def remove(backend: Backend, found: Found) -> None:
    """Ends and removes what bears our mark and is of no use any more."""
    if isinstance(found.sighting, Running):
        await backend.stop(found.handle, grace=0.0)
        with contextlib.suppress(AttemptVanished):
            await backend.wait(found.handle)
    await backend.discard(found.handle)


async def sweep(backend: Backend, store: Store) -> None:
    """Removes what runners left that died after their execution was settled. What belongs to an
    execution that has not ended, or runs for one this store does not know, is left alone."""
    over: dict[str, bool | None] = {}
    async for item in backend.discover():
        uid = item.key.execution
        if uid not in over:
            over[uid] = _is_over(store, uid)
        known = over[uid]
        if known or (known is None and not isinstance(item.sighting, Running)):
            await remove(backend, item)


def _is_over(store: Store, uid: str) -> bool | None:
    """``None`` for an execution that the store does not know."""
    try:
        return store.get_execution_by_uid(uid).state in SETTLED_EXECUTIONS
    except NotFound:
        return None
