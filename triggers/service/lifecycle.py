"""The feed of what happens to executions becomes events, each entry once.

Where the reader stands is written with the deliveries that its events open, in one transaction;
whoever dies between two goes on where the last one ended, and of several runners one reads at a
time. What nobody waits for is not read: the reader goes to the end of the feed.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.core.records import ExecutionChange, Scope
from jobrunner.errors import JobrunnerError, NotFound
from jobrunner.ports import Store
from triggers.core.events import CloudEvent
from triggers.core.lifecycle_events import EXECUTION, EXECUTION_KINDS, execution_event
from triggers.event_ports import Cursors
from triggers.ports import DeliveryStore
from triggers.service.crashpoints import crash_point
from triggers.service.events import Events
from triggers.service.feeds import Read
from triggers.service.telling import tell

CURSOR = "changes"
BATCH = 256
"""Entries of one transaction."""
MOST_PLACES = 4096


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an execution belongs; ``hops`` are those of events about it."""

    project: str
    region: str
    job: str
    name: str
    hops: int


class Lifecycle:
    """:class:`triggers.service.reading.Feed` of executions."""

    name = "executions"

    def __init__(
        self, jobs: Store, events: Events, cursors: Cursors, deliveries: DeliveryStore
    ) -> None:
        self._jobs = jobs
        self._events = events
        self._cursors = cursors
        self._deliveries = deliveries
        self._places: dict[str, _Place] = {}

    def last(self) -> int:
        return self._jobs.last_change()

    def read(self, now: float) -> Read:
        position = self._cursors.take(CURSOR)
        if position is None:
            return Read(None)
        # Before the triggers: what comes behind this was seen by those that come meanwhile.
        last = self._jobs.last_change()
        since = self._awaited()
        if not since:
            if position < last:
                self._cursors.put(CURSOR, last)
            return Read(last)
        changes = self._jobs.changes(position, limit=BATCH)
        if not changes:
            # Old entries were removed.
            if position < last:
                self._cursors.put(CURSOR, last)
            return Read(last)
        found = [
            self._event(change)
            for change in changes
            if change.kind in since and since[change.kind] <= change.at
        ]
        opened = tell(self._events, [one for one in found if one is not None], now)
        position = changes[-1].position
        self._cursors.put(CURSOR, position)
        crash_point("changes-in-turn")
        return Read(position, opened)

    def _awaited(self) -> dict[str, float]:
        """Kinds that somebody waits for, and since when. What happened before is nobody's."""
        found: dict[str, float] = {}
        for kind in EXECUTION_KINDS:
            since = self._events.awaited_since(f"{EXECUTION}{kind}")
            if since is not None:
                found[kind] = since
        return found

    def _event(self, change: ExecutionChange) -> tuple[Scope, CloudEvent] | None:
        place = self._places.get(change.execution)
        if place is None:
            place = self._place(change.execution)
            if place is None:
                return None
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            self._places[change.execution] = place
        event = execution_event(
            change,
            project=place.project,
            region=place.region,
            job=place.job,
            name=place.name,
            hops=place.hops,
        )
        return Scope(place.project, place.region), event

    def _place(self, uid: str) -> _Place | None:
        try:
            found = self._jobs.get_execution_by_uid(uid)
        except NotFound:
            # It was removed meanwhile; the first entry tells what it was.
            created = self._jobs.change(uid, 1)
            if created is None:
                return None
            told = created.data
            return _Place(told["project"], told["region"], told["job"], told["name"], 0)
        hops = self._hops(found.idempotency_key or "")
        return _Place(found.project, found.region, found.job_name, found.name, hops)

    def _hops(self, key: str) -> int:
        """The key of a try begins with the delivery."""
        delivery, slash, _ = key.partition("/")
        if not slash:
            return 0
        try:
            return self._deliveries.get(delivery).hops + 1
        except JobrunnerError:
            return 0
