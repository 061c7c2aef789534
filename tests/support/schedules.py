"""Schedules over real stores in memory, and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from jobrunner.core.records import Execution, Scope
from jobrunner.core.states import ExecutionState
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.stores import an_execution
from triggers.core.records import Delivery, HttpTarget, Occurrence, Schedule
from triggers.core.states import DeliveryEvent, DeliveryState, OccurrenceState
from triggers.ports import Armed, DeliveryFilter, DeliveryStore, Move, ScheduleStore
from triggers.service.schedules import Schedules
from triggers.store import open_deliveries, open_schedules

T = TypeVar("T")
WHERE = Scope("local", "us-central1")
START = 1_750_000_020.0
"""2025-06-15T15:07:00Z."""


def a_schedule(name: str = "nightly", **fields: object) -> Schedule:
    values: dict[str, object] = {
        "uid": "",
        "project": WHERE.project,
        "region": WHERE.region,
        "name": name,
        "expression": "* * * * *",
        "target": HttpTarget("http://sink.example.com/hook"),
    }
    return Schedule(**(values | fields))  # type: ignore[arg-type]


@dataclass
class World:
    url: str = "sqlite:///:memory:"
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    ids: CountedIds = field(default_factory=CountedIds)
    jobs: SqlStore = field(init=False)
    deliveries: DeliveryStore = field(init=False)
    store: ScheduleStore = field(init=False)
    service: Schedules = field(init=False)

    def __post_init__(self) -> None:
        opened = open_store(self.url)
        assert isinstance(opened, SqlStore)
        self.jobs = opened
        self.deliveries = open_deliveries(opened.database)
        self.store = open_schedules(opened.database)
        self.service = Schedules(self.store, self.deliveries, self.jobs, self.clock, self.ids)

    def commit(self, work: Callable[[], T]) -> T:
        [answer] = self.jobs.group([work])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    def create(self, name: str = "nightly", **fields: object) -> Armed:
        return self.commit(lambda: self.service.create(a_schedule(name, **fields)))

    def fire(self) -> None:
        """What a ticker does at its wake-up."""
        now = self.clock.now()
        self.commit(lambda: self.service.together.fire(self.store.due(now), now))

    def fire_each(self) -> None:
        """What it does where something is wrong with one of them."""
        now = self.clock.now()
        for uid in self.store.due(now):
            self.commit(lambda uid=uid: self.service.firing.fire(uid, now))  # type: ignore[misc]

    def settle(self) -> None:
        """What a ticker does now and then."""
        now = self.clock.now()
        self.commit(lambda: self.service.together.close(self.store.ended(), now))
        for uid in self.store.waiting():
            self.commit(lambda uid=uid: self.service.firing.release(uid, now))  # type: ignore[misc]

    def minutes(self, count: float) -> None:
        self.clock.advance(60 * count)
        self.fire()

    def rows(self, name: str = "nightly") -> list[Occurrence]:
        """Oldest first."""
        uid = self.service.find(WHERE, name).schedule.uid
        return list(reversed(self.store.history(uid)))

    def states(self, name: str = "nightly") -> list[OccurrenceState]:
        return [row.state for row in self.rows(name)]

    def sent(self) -> list[Delivery]:
        return list(self.deliveries.listing(DeliveryFilter(), oldest_first=True))

    def end(
        self,
        row: Occurrence,
        state: DeliveryState = DeliveryState.DELIVERED,
        run: str | None = None,
    ) -> None:
        """The delivery of ``row`` settles, as a dispatcher would have it."""
        assert row.delivery is not None
        claim = self.deliveries.claim
        while claim("me", now=1e12, ttl=1, most=1000, per_place=1000, busy={}).taken:
            pass
        before = self.deliveries.get(row.delivery)
        event = {
            DeliveryState.DELIVERED: DeliveryEvent.ACCEPTED,
            DeliveryState.DEAD: DeliveryEvent.REJECTED,
        }[state]
        after = replace(
            before,
            state=state,
            execution=run,
            lease_owner=None,
            lease_until=None,
            settled_at=self.clock.now(),
        )
        assert self.deliveries.record([Move(before, event, after)]) == [True]

    # What is started; the job is named "report".

    def start_run(
        self, row: Occurrence, state: ExecutionState = ExecutionState.RUNNING
    ) -> Execution:
        """The run of an open occurrence, acknowledged on start."""
        assert row.delivery is not None
        return self.start(self.deliveries.get(row.delivery), state)

    def start(
        self, delivery: Delivery, state: ExecutionState = ExecutionState.RUNNING
    ) -> Execution:
        name = f"run-of-{delivery.uid}"
        run = an_execution(name, job="report", state=state, completed_at=None)
        self.jobs.create_execution(run)
        now = self.clock.now()
        self.deliveries.claim("me", now=1e12, ttl=1, most=1000, per_place=1000, busy={})
        before = self.deliveries.get(delivery.uid)
        after = replace(
            before,
            state=DeliveryState.DELIVERED,
            execution=run.uid,
            lease_owner=None,
            lease_until=None,
            settled_at=now,
        )
        assert self.deliveries.record([Move(before, DeliveryEvent.ACCEPTED, after)]) == [True]
        return run

    def run_of(self, row: Occurrence) -> Execution:
        assert row.delivery is not None
        uid = self.deliveries.get(row.delivery).execution
        assert uid is not None
        return self.jobs.get_execution_by_uid(uid)

    def end_run(self, run: Execution, state: ExecutionState = ExecutionState.SUCCEEDED) -> None:
        """As if its runner had driven it to its end."""
        values = state.value, self.clock.now(), run.uid
        statement = "UPDATE executions SET state = ?, completed_at = ? WHERE uid = ?"
        self.jobs.database.write(lambda session: session.execute(statement, values))

    def end_runs(self) -> None:
        for run in self.jobs.list_executions(WHERE, job="report"):
            if run.completed_at is None:
                self.end_run(run)


class IdleRunner:
    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        raise NotImplementedError

    def accepts(self) -> bool:
        return True

    def trouble(self, uid: str) -> str | None:
        return None
