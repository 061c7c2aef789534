"""Removing what may still run: a wish that it ends, the wait for its end, and then the removal.

Whoever asks for it asks once, and when the answer comes it is gone. Both versions of the API remove
in this way; the command line without a server refuses to remove what runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobrunner.core.outcome import CANCEL_MESSAGE
from jobrunner.core.records import Abort, AbortKind, Execution, Job, Scope
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import NotFound, Refused
from jobrunner.ports import Commit, Page, Runner

if TYPE_CHECKING:
    from jobrunner.service import Service

PATIENCE = 60.0
"""Seconds that a removal waits for the end of what runs: several times the grace of a stop."""
RECENT = 3600.0
"""Seconds after the end of an execution in which somebody may still ask how it went."""
ALL = Page(limit=1_000_000)


class Removing:
    """``service`` acts for the caller. ``seen`` of each method is called with what is to be removed
    before anything is written, and may raise. ``going`` is called in the transaction of the removal
    with each execution that goes and that somebody may still be waiting for, as it ended."""

    def __init__(
        self, service: Service, commit: Commit, runner: Runner, *, patience: float = PATIENCE
    ) -> None:
        self._service = service
        self._commit = commit
        self._runner = runner
        self._until = time.monotonic() + patience

    async def execution(
        self,
        scope: Scope,
        name: str,
        *,
        seen: Callable[[Execution], None] = lambda execution: None,
        going: Callable[[Execution], None] = lambda execution: None,
    ) -> Execution:
        """Removes it with its tasks and logs and returns what it was at its end. Raises NotFound,
        and Refused if it does not end in time; then the wish to stop it stays stored."""
        service = self._service

        def stop() -> Execution:
            execution = service.executions.get(scope, name)
            seen(execution)
            return self._stop(execution)

        def remove() -> Execution:
            now = service.store.get_execution_by_uid(last.uid)
            if now.state not in SETTLED_EXECUTIONS:
                raise Refused(f"Execution '{name}' is still running.")
            going(now)
            service.store.delete_execution(now.uid)
            return now

        last = await self._commit(stop)
        if last.state not in SETTLED_EXECUTIONS:
            await self._ends([last])
        await self._delete_logs([last])
        try:
            return await self._commit(remove)
        except NotFound:
            # Somebody else was faster; it is gone, as was asked for.
            return last

    async def job(
        self,
        scope: Scope,
        name: str,
        *,
        seen: Callable[[Job], None] = lambda job: None,
        going: Callable[[Execution], None] = lambda execution: None,
    ) -> Job:
        """Removes it with all its executions and returns what it was. Meanwhile no execution of it
        is opened by this process; one that another process opens is stopped too. Raises NotFound,
        and Refused if something of it does not end in time."""
        service = self._service
        job = service.jobs.get(scope, name)

        def look_and_stop() -> list[Execution]:
            seen(service.jobs.get(scope, name))
            return stop()

        def stop() -> list[Execution]:
            return [self._stop(execution) for execution in self._running(job)]

        def remove() -> Job | None:
            """``None`` if something runs again."""
            if self._running(job):
                return None
            recent = service.clock.now() - RECENT
            for execution in self._executions(job):
                if (execution.completed_at or recent) >= recent:
                    going(execution)
            return service.store.delete_job(scope, name)

        service.leaving.add(job.uid)
        try:
            running = await self._commit(look_and_stop)
            while True:
                await self._ends(running)
                await self._delete_logs(self._executions(job))
                removed = await self._commit(remove)
                if removed is not None:
                    return removed
                running = await self._commit(stop)
        finally:
            service.leaving.discard(job.uid)

    def _executions(self, job: Job) -> Sequence[Execution]:
        return self._service.store.list_executions(job.scope, job=job.name, hidden=True, page=ALL)

    def _running(self, job: Job) -> list[Execution]:
        found = self._service.store.get_job(job.scope, job.name)
        if found.uid != job.uid:
            raise NotFound(f"The job '{job.name}' was removed, and made anew meanwhile.")
        return [one for one in self._executions(job) if one.state not in SETTLED_EXECUTIONS]

    def _stop(self, execution: Execution) -> Execution:
        """Stores the wish; the execution as it then is."""
        if execution.state in SETTLED_EXECUTIONS:
            return execution
        wish = Abort(AbortKind.DELETE, self._service.clock.now(), CANCEL_MESSAGE)
        try:
            return self._service.store.request_abort(execution.uid, wish)
        except Refused:
            # It has ended this moment.
            return self._service.store.get_execution_by_uid(execution.uid)

    async def _ends(self, running: Sequence[Execution]) -> None:
        if not running:
            return
        self._runner.look()
        await asyncio.gather(*(self._end(execution) for execution in running))

    async def _end(self, execution: Execution) -> None:
        left = self._until - time.monotonic()
        try:
            now = await self._runner.settled(execution.uid, within=max(0.0, left))
        except NotFound:
            return
        if now.state not in SETTLED_EXECUTIONS:
            raise Refused(
                f"Execution '{execution.name}' has been told to stop and has not ended yet;"
                " nothing was removed.",
                hint="Try again in a while.",
            )

    async def _delete_logs(self, executions: Sequence[Execution]) -> None:
        """Before the rows: a crash in between leaves a listed execution without logs, and never
        logs that nobody lists."""

        def delete() -> None:
            for execution in executions:
                self._service.logs.delete(execution.uid)

        # Ten thousand tasks have ten thousand files: the loop does not wait for the disk.
        await asyncio.to_thread(delete)
