"""The audit log of this server becomes events, each entry once: as with executions, the reader's
place is written with the deliveries that it opens."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from jobrunner.core.records import AuditEntry, Scope
from jobrunner.errors import NotFound
from jobrunner.ports import Store
from triggers.core.events import CloudEvent
from triggers.core.google_events import AUDIT, from_audit_entry
from triggers.core.own_audit import audited, entry_of
from triggers.event_ports import Cursors
from triggers.service.events import Events
from triggers.service.feeds import Read
from triggers.service.telling import tell

CURSOR = "audit"
BATCH = 256
"""Entries of one transaction."""


class AuditFeed:
    """:class:`triggers.service.feeds.Feed` of calls that change something. ``default`` is the place
    of calls that name none."""

    name = "audit log"

    def __init__(self, store: Store, events: Events, cursors: Cursors, default: Scope) -> None:
        self._store = store
        self._events = events
        self._cursors = cursors
        self._default = default

    def last(self) -> int:
        return self._store.last_audit()

    def read(self, now: float) -> Read:
        position = self._cursors.take(CURSOR)
        if position is None:
            return Read(None)
        last = self._store.last_audit()
        since = self._events.awaited_since(AUDIT)
        entries = [] if since is None else self._store.audit_after(position, limit=BATCH)
        if not entries or since is None:
            if position < last:
                self._cursors.put(CURSOR, last)
            return Read(last)
        found = [self._event(entry) for entry in entries if entry.at >= since]
        opened = tell(self._events, found, now)
        self._cursors.put(CURSOR, entries[-1].position)
        return Read(entries[-1].position, opened)

    def _event(self, entry: AuditEntry) -> tuple[Scope, CloudEvent]:
        entry = replace(entry, resource=unquote(entry.resource))
        place = audited(entry.method, entry.resource)
        project = self._project(place.project)
        location = place.location or self._default.region
        document = entry_of(entry, project, location)
        return Scope(project, location), from_audit_entry(document)

    def _project(self, named: str) -> str:
        """By its id, also if it was named by its number."""
        if not named:
            return self._default.project
        if named.isascii() and named.isdecimal() and len(named) <= 18:
            try:
                return self._store.project_of(int(named))
            except NotFound:
                return named
        return named
