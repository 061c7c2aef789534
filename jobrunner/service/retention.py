"""What may go: executions over count or age, then the oldest until the logs fit on their share of
the disk. Only ended executions; their logs go with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

from jobrunner.core.records import Execution
from jobrunner.errors import NotFound
from jobrunner.ports import Clock, LogStore, MachineClock, Retention, Store

OLDEST_BATCH = 1000
BATCH = 50
"""Executions that are removed in one transaction."""


class HouseKeeping:
    """``machine`` is for the audit log, which is about calls and not about what was planned."""

    def __init__(
        self,
        store: Store,
        logs: LogStore,
        clock: Clock,
        retention: Retention,
        *,
        machine: MachineClock,
    ) -> None:
        self._store = store
        self._logs = logs
        self._clock = clock
        self._machine = machine
        self._retention = retention

    def prune(self, *, dry_run: bool = False, disk: bool = True) -> Sequence[Execution]:
        """Removes what may go and returns it. ``disk`` false leaves the disk cap alone: measuring
        it costs a look at every log."""
        gone = list(self._store.expired(self._retention, now=self._clock.now()))
        if disk:
            taken = {execution.uid for execution in gone}
            gone += list(self._over_disk(taken))
        if not dry_run:
            for start in range(0, len(gone), BATCH):
                self._remove(gone[start : start + BATCH])
            now = self._clock.now()
            self._store.prune_changes(now - self._retention.max_age)
            self._store.prune_operations(now - self._retention.max_age)
            self._store.prune_run_keys(now - self._retention.key_age)
            self._store.prune_audit(self._machine.now() - self._retention.audit_age)
        return gone

    def _remove(self, gone: Sequence[Execution]) -> None:
        # Logs first: a crash in between leaves a listed execution without logs, which the next
        # round removes, and never logs that nobody lists. It also makes room on a full disk.
        for execution in gone:
            self._logs.delete(execution.uid)
        for answer in self._store.group([partial(self._delete, one.uid) for one in gone]):
            if isinstance(answer, Exception):
                raise answer

    def _delete(self, uid: str) -> None:
        # Another command line may prune at the same time.
        with contextlib.suppress(NotFound):
            self._store.delete_execution(uid)

    def _over_disk(self, taken: set[str]) -> Iterator[Execution]:
        total = self._logs.total_size()
        if total <= self._retention.max_log_bytes:
            return
        for execution in self._store.settled_oldest_first(limit=OLDEST_BATCH):
            if total <= self._retention.max_log_bytes:
                return
            size = self._logs.size(execution.uid)
            total -= size
            if size and execution.uid not in taken:
                yield execution
