"""Long-running operations: opened with what they are about, asked for until they are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobrunner.core.records import Execution, Job, Operation, Scope
from jobrunner.ports import Clock, Ids, Page, Store


class Operations:
    """What the state of an operation without ``done_at`` is follows from its target; whoever
    answers for it says how."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def open(
        self, kind: str, target: Job | Execution, *, document: str = "{}", done: bool = False
    ) -> Operation:
        """``document`` is JSON text for the one who reads it again. ``done``: nothing is to be
        waited for, because the change has been made."""
        now = self._clock.now()
        operation = Operation(
            id=self._ids.uid(),
            project=target.project,
            region=target.region,
            kind=kind,
            target_kind="job" if isinstance(target, Job) else "execution",
            target_uid=target.uid,
            target_name=target.name,
            created_at=now,
            done_at=now if done else None,
            document=document,
        )
        self._store.put_operation(operation)
        return operation

    def finish(self, operation: Operation, *, document: str | None = None) -> Operation:
        """Stores that it is done, once and for all: what its target becomes no longer counts."""
        done = replace(
            operation,
            done_at=self._clock.now(),
            document=operation.document if document is None else document,
        )
        self._store.put_operation(done)
        return done

    def get(self, scope: Scope, id: str) -> Operation:
        """Raises NotFound."""
        return self._store.get_operation(scope, id)

    def list(self, scope: Scope, *, page: Page | None = None) -> Sequence[Operation]:
        """Newest first. ``page.after`` is an id."""
        return self._store.list_operations(scope, page=page)

    def delete(self, scope: Scope, id: str) -> None:
        """Forgets it; what it is about goes on. Raises NotFound."""
        self._store.delete_operation(scope, id)
