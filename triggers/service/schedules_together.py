"""Many schedules in one go: the rules of one (``schedules_firing``), in few statements.

A second in which a thousand are due has to be over before the next one. Most of them are plain: one
occurrence is due, and nothing of theirs is open or waits. Those are read together, decided one by
one by the same pure rules, and written together; every other one goes its own way in the same
transaction. Every method is called inside a transaction, and first takes what it decides about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf

from jobrunner.errors import InvalidSpec
from triggers.core.delays import due_at
from triggers.core.missed import ON_TIME, look
from triggers.core.occurrences import Timing, timing_of
from triggers.core.overlap import Action, Admission, admit, overlap_of
from triggers.core.records import (
    Delivery,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    Overlap,
    OverlapScope,
    Schedule,
)
from triggers.core.states import OccurrenceState
from triggers.ports import Advance, Armed, DeliveryStore, Draft, Ended, ScheduleStore
from triggers.service.crashpoints import crash_point
from triggers.service.schedules_firing import Firing, next_opening
from triggers.service.schedules_runs import End


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of a plain schedule that stands where ``armed`` says, at any time from ``start``
    until ``end`` (not included)."""

    armed: Armed
    start: float
    end: float
    occurrence: Draft | None
    delivery: Draft | None
    advance: Advance
    missed: Occurrence | None = None


class Together:
    def __init__(self, firing: Firing, schedules: ScheduleStore, deliveries: DeliveryStore) -> None:
        self._firing = firing
        self._schedules = schedules
        self._deliveries = deliveries
        self._ahead: dict[str, _Plan] = {}

    def fire(self, uids: Sequence[str], now: float) -> None:
        """As :meth:`Firing.fire` of each. Raises AlreadyExists where an occurrence is there that
        should not be; then nothing may be kept of it, and one by one is the way."""
        taken, engaged = self._take(uids)
        plans: list[_Plan] = []
        # What cannot be read has to be put off, or it would be due for ever.
        alone = list(set(uids) - {one.schedule.uid for one in taken})
        for armed in taken:
            plan = None
            if armed.schedule.uid not in engaged:
                plan = self._prepared(armed, now) or self._plan(armed, now)
            if plan is None:
                alone.append(armed.schedule.uid)
            else:
                plans.append(plan)
        self._write(plans, now)
        for uid in alone:
            self._firing.fire(uid, now)

    def fire_prepared(self, uids: Sequence[str], now: float) -> int:
        """Those for which everything was worked out ahead for ``now``, and no other; returns how
        many there were. Raises AlreadyExists as :meth:`fire`."""
        taken, engaged = self._take(uids)
        found = [self._prepared(one, now) for one in taken if one.schedule.uid not in engaged]
        plans = [plan for plan in found if plan is not None and plan.occurrence is not None]
        self._write(plans, now)
        return len(plans)

    def _take(self, uids: Sequence[str]) -> tuple[Sequence[Armed], frozenset[str]]:
        """And which of them something may be open of."""
        taken = self._schedules.take_all(uids)
        asking = [one.schedule for one in taken if overlap_of(one.schedule) is not Overlap.ALLOW]
        return taken, self._schedules.engaged(asking) if asking else frozenset[str]()

    def _prepared(self, armed: Armed, now: float) -> _Plan | None:
        plan = self._ahead.get(armed.schedule.uid)
        if plan is None or not (plan.start <= now < plan.end) or plan.armed != armed:
            return None
        return plan

    def _write(self, plans: Sequence[_Plan], now: float) -> None:
        deliveries = [plan.delivery for plan in plans if plan.delivery is not None]
        if deliveries:
            self._deliveries.open_all(deliveries, now)
        occurrences = [plan.occurrence for plan in plans if plan.occurrence is not None]
        if occurrences:
            crash_point("schedule-in-turn")
            self._schedules.open_all(occurrences, now)
        if plans:
            self._schedules.advance_all([plan.advance for plan in plans])
        for plan in plans:
            if plan.missed is not None:
                self._firing.missed(plan.armed.schedule, plan.missed, now)

    def prepare(self, uids: Sequence[str], at: float) -> None:
        """Works out ahead what :meth:`fire` will find to do at ``at``. It counts only if the
        schedule is still the same by then, and the time is right. Reads only."""
        for armed in self._schedules.many(uids):
            plan = self._plan(armed, at)
            if plan is not None:
                self._ahead[armed.schedule.uid] = plan

    @property
    def prepared(self) -> int:
        """How many schedules something is worked out for."""
        return len(self._ahead)

    def forget(self) -> None:
        """What was prepared and is of no use any more."""
        self._ahead.clear()

    def _plan(self, armed: Armed, now: float) -> _Plan | None:
        """``None`` for a schedule that is not plain, whatever is open of it."""
        schedule = armed.schedule
        when = _plain(schedule)
        found = None if when is None else look(schedule, when, armed.last, now)
        if when is None or found is None or len(found.decisions) > 1:
            return None
        following = next_opening(schedule, when, found.last)
        occurrence = delivery = missed = None
        end = now
        for decision in found.decisions:
            key = OccurrenceKey(schedule.uid, decision.at)
            due = due_at(schedule, decision.at)
            row = Occurrence(
                key, due, OccurrenceState.MISSED, decision.origin, decision.reason,
                created_at=now, settled_at=now,
            )  # fmt: skip
            missed = row
            if decision.runs:
                missed = None
                opened = self._firing.delivery_of(schedule, when, key, now)
                delivery = self._deliveries.draft(opened)
                row = _opened(schedule, row, opened, now)
            occurrence = self._schedules.draft(row)
            if due + ON_TIME > now:
                # While it is on time, and until the next one is due, nothing is decided otherwise.
                end = min(due + ON_TIME, following or inf)
        advance = Advance(schedule.uid, found.last, following)
        return _Plan(armed, now, end, occurrence, delivery, advance, missed)

    def close(self, ended: Sequence[Ended], now: float) -> None:
        """Closes those whose runs have ended, too, and opens what waits for them."""
        uids = list(dict.fromkeys(one.occurrence.key.schedule for one in ended))
        taken = {one.schedule.uid: one for one in self._schedules.take_all(uids)}
        rows, ends = list[Occurrence](), list[End]()
        for one in ended:
            armed = taken.get(one.occurrence.key.schedule)
            end = None if armed is None else self._firing.runs.end_of(one, armed.schedule)
            if end is not None:
                rows.append(replace(one.occurrence, state=OccurrenceState.CLOSED, settled_at=now))
                ends.append(end)
        written = self._schedules.move_all(OccurrenceState.OPEN, rows)
        for row, end, done in zip(rows, ends, written, strict=True):
            if done:
                uid = row.key.schedule
                taken[uid] = self._firing.count(taken[uid], end, now)
        waiting = set(self._schedules.waiting())
        for uid in taken:
            if uid in waiting:
                self._firing.release(uid, now)


def _plain(schedule: Schedule) -> Timing | None:
    """When it is due, if one that is due opens where nothing of the schedule is open or waits."""
    answer = _answer(schedule)
    counts_all = schedule.overlap_scope is OverlapScope.JOB and answer.reason
    if answer.action is not Action.OPEN or (counts_all and isinstance(schedule.target, JobTarget)):
        return None
    try:
        return timing_of(schedule)
    except InvalidSpec:
        return None


def _answer(schedule: Schedule) -> Admission:
    """To the one that is due of a schedule of which nothing is open or waits."""
    return _first(overlap_of(schedule), schedule.overlap_limit, schedule.overlap_scope)


@lru_cache(maxsize=256)
def _first(policy: Overlap, limit: int, scope: OverlapScope) -> Admission:
    if policy is Overlap.ALLOW:
        return Admission(Action.OPEN, "")
    return admit(policy, limit, (), (), scope)


def _opened(schedule: Schedule, row: Occurrence, delivery: Delivery, now: float) -> Occurrence:
    words = "; ".join(text for text in (row.reason, _answer(schedule).reason) if text)
    return replace(
        row,
        state=OccurrenceState.OPEN,
        reason=words,
        delivery=delivery.uid,
        opened_at=now,
        settled_at=None,
    )
