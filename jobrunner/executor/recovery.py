"""After a crash: what a backend still has, against what the store remembers."""

from __future__ import annotations

import contextlib

from jobrunner.core.records import AttemptKey
from jobrunner.core.snapshot import Snapshot
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import AttemptVanished, NotFound
from jobrunner.ports import Backend, Found, Running, Store


async def survey(
    backend: Backend, snapshot: Snapshot
) -> tuple[dict[AttemptKey, Found], list[Found]]:
    """What was found of the live attempts, by key; and the remains of this execution that no live
    attempt claims (their end is stored already, so they may go)."""
    live = {attempt.key for attempt in snapshot.live.values()}
    found: dict[AttemptKey, Found] = {}
    remains: list[Found] = []
    async for item in backend.discover():
        if item.key in live:
            found[item.key] = item
        elif item.key.execution == snapshot.execution.uid:
            remains.append(item)
    return found, remains


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
