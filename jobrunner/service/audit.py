"""The audit log of a server: who changed or ran what, and what came of it.

Calls are noted when they are answered and written with the next group commit, so a server that is
killed may lose the notes of its last moment; what it acknowledged is in the store all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.calls import Principal
from jobrunner.core.records import AuditEntry
from jobrunner.ports import Commit, MachineClock, Page, Store

MOST_WAITING = 10_000
"""Notes that wait for a store that cannot be written; beyond them the oldest go, counted."""
MOST_TEXT = 1000
"""Characters of a resource or detail: a caller must not fill the disk by long names."""


class Audit:
    def __init__(self, store: Store, clock: MachineClock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[AuditEntry] = []
        self._dropped = 0

    def record(
        self, principal: Principal, method: str, resource: str, code: int, detail: str = ""
    ) -> None:
        """Notes a call. ``code`` is the HTTP status of its answer. Never raises, never waits."""
        if len(self._waiting) >= MOST_WAITING:
            del self._waiting[0]
            self._dropped += 1
        at = self._clock.now()
        self._waiting.append(
            AuditEntry(
                0, at, principal.name, method, resource[:MOST_TEXT], code, detail[:MOST_TEXT]
            )
        )

    @property
    def waiting(self) -> int:
        """How many notes are not yet written."""
        return len(self._waiting)

    async def write(self, commit: Commit) -> None:
        """Writes what was noted. If that fails, it is kept for the next time."""
        entries = self._take()
        try:
            if entries:
                await commit(lambda: self._store.append_audit(entries))
        except BaseException:
            self._waiting[:0] = entries
            raise

    def flush(self) -> None:
        """The same without a loop: at the end of a server."""
        entries = self._take()
        try:
            self._store.append_audit(entries)
        except BaseException:
            self._waiting[:0] = entries
            raise

    def newest(self, page: Page) -> Sequence[AuditEntry]:
        """What is written, newest first."""
        return self._store.list_audit(page=page)

    def _take(self) -> list[AuditEntry]:
        entries, self._waiting = self._waiting, []
        if self._dropped:
            what = f"{self._dropped} entries were lost while the database could not be written"
            entries.insert(
                0, AuditEntry(0, self._clock.now(), "", "jobrunner.audit.lost", "", 500, what)
            )
            self._dropped = 0
        return entries
