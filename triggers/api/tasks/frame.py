"""What the methods of the Cloud Tasks API share: places, names, and answers in its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jobrunner.calls import Call
from jobrunner.core.records import Scope
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places
from triggers.service.queues import Queues

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """``changed`` tells the dispatcher that there is something new."""

    queues: Queues
    parts: Parts
    places: Places
    changed: Callable[[], None]

    def scope(self, call: Call) -> Scope:
        return self.places.scope(call.params["project"], call.params["location"])

    async def write(self, work: Callable[[], T]) -> T:
        """In one transaction, together with what others write just then."""
        done = await self.parts.commit(work)
        self.changed()
        return done
