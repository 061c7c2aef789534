"""Stand-ins for what a server has around the methods of an API: group commit and the runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

from jobrunner.core.outcome import CANCEL_MESSAGE, CANCEL_REASON
from jobrunner.core.records import Counters, Execution, Scope
from jobrunner.core.states import SETTLED_EXECUTIONS, ExecutionState, TaskState
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Store, Turn
from jobrunner.service import Service, make_service
from jobrunner.service.parts import Parts
from jobrunner.store import open_store

T = TypeVar("T")


class NoLogs:
    """A log store that remembers what was removed."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete(self, execution: str) -> None:
        self.deleted.append(execution)


class FakeRunner:
    """Drives nothing by itself. ``settled`` ends what was told to stop, unless ``stubborn``;
    ``meanwhile`` is called while a caller waits."""

    owner = "fake"

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self._store = store
        self._clock = clock
        self.looks = 0
        self.stubborn = False
        self.meanwhile: Callable[[], None] = lambda: None
        self.waits: list[float | None] = []

    def look(self) -> None:
        self.looks += 1

    def accepts(self) -> bool:
        return True

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        self.waits.append(within)
        self.meanwhile()
        execution = self._store.get_execution_by_uid(uid)
        if execution.state in SETTLED_EXECUTIONS:
            return execution
        if self.stubborn or execution.abort is None:
            return execution
        return self.end(uid, ExecutionState.CANCELLED, CANCEL_REASON, CANCEL_MESSAGE)

    def start(self, uid: str) -> Execution:
        """As if its first task had been started."""
        claimed = self._claim(uid)
        now = self._clock.now()
        running = replace(
            claimed,
            state=ExecutionState.RUNNING,
            started_at=now,
            counters=Counters(running=1),
            resource_version=claimed.resource_version + 1,
        )
        self._store.record(Turn(execution=running, at=now))
        return self._store.get_execution_by_uid(uid)

    def end(
        self, uid: str, state: ExecutionState, reason: str = "", message: str = ""
    ) -> Execution:
        claimed = self._claim(uid)
        now = self._clock.now()
        count = claimed.task_count
        counters = {
            ExecutionState.SUCCEEDED: Counters(succeeded=count),
            ExecutionState.FAILED: Counters(failed=count),
            ExecutionState.CANCELLED: Counters(cancelled=count),
        }[state]
        ended = replace(
            claimed,
            state=state,
            completed_at=now,
            counters=counters,
            reason=reason,
            message=message,
            resource_version=claimed.resource_version + 1,
        )
        abandoned = TaskState.ABANDONED if state is ExecutionState.CANCELLED else None
        self._store.record(Turn(execution=ended, abandoned=abandoned, at=now))
        return self._store.get_execution_by_uid(uid)

    def _claim(self, uid: str) -> Execution:
        return self._store.claim(uid, self.owner, now=self._clock.now(), ttl=15.0)


class Control:
    """A store in memory with a service, a runner and a commit; ``parts`` is what methods take."""

    def __init__(self) -> None:
        self.store = open_store("sqlite:///:memory:")
        self.clock = FakeClock()
        self.ids = CountedIds()
        self.logs = NoLogs()
        self.runner = FakeRunner(self.store, self.clock)
        self.service: Service = make_service(
            self.store,
            self.logs,  # type: ignore[arg-type]  # the rest of it is not asked for
            self.clock,
            self.ids,
            actor="server",
        ).served()
        self.commits = 0
        self.parts = Parts(
            self.service, self.commit, self.runner, self.clock, self.ids, Scope(), self.clock
        )

    def service_of_another_process(self) -> Service:
        """Another server on the same store."""
        return make_service(
            self.store, self.service.logs, self.clock, self.ids, actor="elsewhere"
        ).served()

    async def commit(self, work: Callable[[], T]) -> T:
        self.commits += 1
        (answer,) = self.store.group([work])
        if isinstance(answer, Exception):
            raise answer
        return cast(T, answer)

    def close(self) -> None:
        self.store.close()
