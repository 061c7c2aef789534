"""After a crash: what a backend still has, against what the store remembers."""

from __future__ import annotations

from jobrunner.core.records import AttemptKey
from jobrunner.core.snapshot import Snapshot
from jobrunner.ports import Backend, Found


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
