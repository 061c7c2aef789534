"""What a table of methods is made from."""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.core.records import Scope
from jobrunner.ports import Clock, Commit, Ids, Runner
from jobrunner.service import Service


@dataclass(frozen=True, slots=True)
class Parts:
    """Each API is a function ``methods(parts) -> Sequence[Method]``.

    ``service`` acts as the server; a handler that writes does it inside ``commit`` with
    ``service.acting(call.principal.name)``. Reads call the service directly. ``default`` is the
    project and region of callers that name none.
    """

    service: Service
    commit: Commit
    runner: Runner
    clock: Clock
    ids: Ids
    default: Scope
