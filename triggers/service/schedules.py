"""Use cases of schedules. Every method that writes is called inside a transaction
(:class:`jobrunner.ports.Commit`, or :meth:`jobrunner.ports.Store.group`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor

from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec, NotFound, Refused, Violation
from jobrunner.ports import Clock, Ids, Page, Store
from triggers.core.backfill import Backfill, plan_backfill
from triggers.core.endings import paused, resumed
from triggers.core.explain import MOST, Explained, explain
from triggers.core.history import Compared, compare
from triggers.core.occurrences import timing_of
from triggers.core.overlap import overlap_of
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    Occurrence,
    OccurrenceKey,
    Origin,
    Overlap,
    Schedule,
    ScheduleState,
    Unreadable,
)
from triggers.core.states import SETTLED_DELIVERIES, OccurrenceState
from triggers.core.validation import check_schedule
from triggers.ports import Armed, DeliveryStore, ScheduleStore
from triggers.service.damaged import uid_of
from triggers.service.schedules_firing import Firing, next_opening
from triggers.service.schedules_runs import End
from triggers.service.schedules_together import Together
from triggers.service.unknown import unknown

_TIMING = ("expression", "time_zone", "gap", "repeat", "starts_at", "ends_at")

Change = Callable[[Schedule], Schedule]


@dataclass(frozen=True, slots=True)
class Seen:
    """A schedule as people see it: when it is due next (a retry that is pending included), and its
    last delivery with the last attempt that ended."""

    schedule: Schedule
    next_at: float | None
    delivery: Delivery | None = None
    attempt: DeliveryAttempt | None = None


class Schedules:
    def __init__(
        self,
        schedules: ScheduleStore,
        deliveries: DeliveryStore,
        jobs: Store,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.store = schedules
        self._deliveries = deliveries
        self._clock = clock
        self._ids = ids
        self.firing = Firing(schedules, deliveries, jobs, ids)
        self.together = Together(self.firing, schedules, deliveries)

    # ------------------------------------------------------------ reads

    def find(self, scope: Scope, name: str) -> Armed:
        """Raises NotFound, with the name that is nearly this one."""
        found = self.store.find(scope, name)
        if found is not None:
            return found
        known = [one.schedule.name for one in self.store.listing(*scope, page=Page(1000))]
        message = f"Schedule '{name}' does not exist in {scope.project}/{scope.region}."
        raise unknown(message, name, known)

    def seen(self, armed: Armed) -> Seen:
        latest = self.store.latest(armed.schedule.uid)
        if latest is None or latest.delivery is None:
            return Seen(armed.schedule, armed.next_at)
        try:
            delivery = self._deliveries.get(latest.delivery)
        except NotFound:
            return Seen(armed.schedule, armed.next_at)
        attempts = self._deliveries.attempts(delivery.uid)
        return _seen(armed, delivery, attempts[-1] if attempts else None)

    def seen_all(self, rows: Sequence[Armed]) -> list[Seen]:
        """As :meth:`seen`, with three questions in all."""
        latest = self.store.latest_deliveries([one.schedule.uid for one in rows])
        deliveries = self._deliveries.get_all(list(latest.values()))
        attempts = self._deliveries.last_attempts(list(deliveries))
        found = []
        for one in rows:
            delivery = deliveries.get(latest.get(one.schedule.uid, ""))
            attempt = attempts.get(delivery.uid) if delivery is not None else None
            found.append(_seen(one, delivery, attempt))
        return found

    def surveyed(self, rows: Sequence[Armed | Unreadable]) -> list[Seen | Unreadable]:
        """As :meth:`seen_all` of those that can be read; the others as they are."""
        seen = iter(self.seen_all([one for one in rows if isinstance(one, Armed)]))
        return [one if isinstance(one, Unreadable) else next(seen) for one in rows]

    def now(self) -> float:
        """Unix seconds, by the clock that fires."""
        return self._clock.now()

    def explained(
        self, schedule: Schedule, start: float, end: float, *, count: int = MOST
    ) -> list[Explained]:
        return explain(schedule, timing_of(schedule), start, end, count=count)

    def compared(self, schedule: Schedule, start: float, end: float) -> list[Compared]:
        """What is told of (``start``, ``end``] set against what happened."""
        happened = self.store.history(schedule.uid, start=start, end=end)
        seen = {row.key.nominal for row in happened if row.key.backfill is None}
        told = self.explained(schedule, start, end)
        # A pause, or a change, says nothing about what was opened before it.
        before = replace(schedule, state=ScheduleState.ENABLED, armed_from=schedule.created_at)
        then = self.explained(before, start, end)
        told = [
            old if old.runs and old.nominal in seen else new
            for old, new in zip(then, told, strict=True)
        ]
        overlaps = overlap_of(schedule) is not Overlap.ALLOW
        return compare(told, happened, overlaps=overlaps)

    def ends(self, schedule: Schedule, rows: Sequence[Occurrence]) -> dict[OccurrenceKey, End]:
        """How the runs of those that are closed have ended, as far as that is still known."""
        closed = [row for row in rows if row.state is OccurrenceState.CLOSED]
        deliveries = self._deliveries.get_all([row.delivery for row in closed if row.delivery])
        found = {}
        for row in closed:
            delivery = deliveries.get(row.delivery or "")
            end = None if delivery is None else self.firing.runs.end_of_call(schedule, delivery)
            if end is not None:
                found[row.key] = end
        return found

    # ------------------------------------------------------------ changes

    def create(self, wanted: Schedule) -> Armed:
        """``wanted`` as it is to be, but for uid, instants and counts. Raises InvalidSpec and
        AlreadyExists."""
        now = self._clock.now()
        schedule = replace(
            wanted,
            uid=self._ids.uid(),
            anchor=now,
            armed_from=now,
            failures=0,
            created_at=now,
            updated_at=now,
            resource_version=1,
        )
        check_schedule(schedule)
        armed = self._armed(schedule, now)
        self.store.create(armed)
        return armed

    def update(self, scope: Scope, name: str, change: Change) -> Armed:
        """``change`` makes the new one from what is there. Raises NotFound, InvalidSpec."""
        armed = self._take(scope, name)
        now = self._clock.now()
        old, wanted = armed.schedule, change(armed.schedule)
        if any(getattr(old, field) != getattr(wanted, field) for field in _TIMING):
            # Nothing is made up for what the schedule was not then.
            wanted = replace(wanted, armed_from=now)
        if old.expression != wanted.expression:
            wanted = replace(wanted, anchor=now)
        if wanted.state is ScheduleState.UPDATE_FAILED:
            wanted = replace(wanted, state=ScheduleState.ENABLED)
        check_schedule(wanted)
        last = now if wanted.armed_from == now else armed.last
        return self._put(wanted, last, now)

    def delete(self, scope: Scope, name: str) -> None:
        """Calls that have not been made are withdrawn; what runs goes on. One that is damaged can
        be deleted, too."""
        uid = uid_of(lambda: self._take(scope, name).schedule)
        now = self._clock.now()
        for row in self.store.live(uid, OccurrenceState.OPEN):
            delivery = self.firing.runs.delivery(row)
            if delivery is not None and delivery.execution is None:
                self.firing.runs.withdraw(delivery, "the schedule was deleted", now)
        self.store.delete(uid)

    def pause(self, scope: Scope, name: str) -> Armed:
        """Raises Refused unless it is enabled."""
        armed = self._take(scope, name)
        if armed.schedule.state is not ScheduleState.ENABLED:
            raise Refused(
                f"Schedule '{name}' is {armed.schedule.state}; only one that is ENABLED can be"
                " paused."
            )
        now = self._clock.now()
        self.firing.drop_waiting(armed.schedule, "the schedule was paused", now)
        return self._put(paused(armed.schedule), armed.last, now)

    def resume(self, scope: Scope, name: str) -> Armed:
        """Nothing is made up for the pause. Raises Refused if it is enabled."""
        armed = self._take(scope, name)
        if armed.schedule.state is ScheduleState.ENABLED:
            raise Refused(f"Schedule '{name}' is ENABLED; only one that is paused can be resumed.")
        now = self._clock.now()
        return self._put(resumed(armed.schedule, now), now, now)

    def run(self, scope: Scope, name: str) -> Armed:
        """Opens an occurrence now, in any state. It starts at once beside what runs, as at Google;
        a schedule whose overlap is set asks there. Raises Refused where that forbids it."""
        armed = self._take(scope, name)
        now = self._clock.now()
        key = OccurrenceKey(armed.schedule.uid, floor(now), self._ids.uid())
        self.firing.open_at(armed.schedule, key, Origin.MANUAL, now)
        return self.store.get(armed.schedule.uid)

    def planned(self, scope: Scope, name: str, id: str, start: float, end: float) -> Backfill:
        schedule = self.find(scope, name).schedule
        return plan_backfill(schedule, timing_of(schedule), id, start, end)

    def backfill(
        self,
        scope: Scope,
        name: str,
        id: str,
        start: float,
        end: float,
        *,
        overlap: Overlap | None = None,
    ) -> Backfill:
        """Opens what was due in a range under the id; the same id opens nothing again: see
        :meth:`backfilled` for what there is of it. ``overlap``
        is instead of the schedule's own."""
        if not id or not id.isprintable() or "/" in id:
            raise InvalidSpec([Violation("id", f"'{id}' is not an id; letters and digits will do")])
        schedule = self._take(scope, name).schedule
        plan = plan_backfill(schedule, timing_of(schedule), id, start, end)
        if overlap is not None:
            schedule = replace(schedule, overlap=overlap)
        for key in plan.keys:
            self.firing.open_at(schedule, key, Origin.BACKFILL, self._clock.now())
        return plan

    def backfilled(
        self, scope: Scope, name: str, id: str, start: float, end: float
    ) -> tuple[int, int]:
        """How many occurrences of the range are there under the id, and how many of them overlap
        has left out."""
        rows = self.store.history(self.find(scope, name).schedule.uid, start=start - 1, end=end)
        found = [row for row in rows if row.key.backfill == id]
        return len(found), sum(row.state is OccurrenceState.SKIPPED for row in found)

    def _take(self, scope: Scope, name: str) -> Armed:
        return self.store.take(self.find(scope, name).schedule.uid)

    def _put(self, schedule: Schedule, last: float, now: float) -> Armed:
        version = schedule.resource_version + 1
        changed = replace(schedule, updated_at=now, resource_version=version)
        armed = self._armed(changed, last)
        self.store.put(armed)
        return armed

    def _armed(self, schedule: Schedule, last: float) -> Armed:
        return Armed(schedule, last, next_opening(schedule, timing_of(schedule), last))


def _seen(armed: Armed, delivery: Delivery | None, attempt: DeliveryAttempt | None) -> Seen:
    next_at = armed.next_at
    if delivery is None:
        return Seen(armed.schedule, next_at)
    if delivery.state not in SETTLED_DELIVERIES and delivery.attempts:
        next_at = min(delivery.not_before, delivery.not_before if next_at is None else next_at)
    return Seen(armed.schedule, next_at, delivery, attempt)
