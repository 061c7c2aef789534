"""What is due is opened: occurrence and delivery in one transaction, by the rules that explain.

Every method is called inside a transaction (:class:`jobrunner.ports.Commit`) and first takes the
schedule, so that of several runners one decides and the others find it decided.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from math import floor

from jobrunner.errors import InvalidSpec, NotFound, Refused
from jobrunner.ports import Ids, Store
from triggers.core.cron import CronLine
from triggers.core.delays import due_at
from triggers.core.endings import after_end
from triggers.core.missed import look, next_due
from triggers.core.occurrences import Timing, timing_of
from triggers.core.overlap import Action, Admission, admit, overlap_of, release
from triggers.core.records import (
    Delivery,
    HttpTarget,
    Occurrence,
    OccurrenceKey,
    Origin,
    Overlap,
    Payload,
    Schedule,
    ScheduleState,
    SourceKind,
)
from triggers.core.replays import letter_of, replay_id, replay_of
from triggers.core.states import OccurrenceState
from triggers.core.zones import offset_text
from triggers.errors import DamagedRow
from triggers.ports import Armed, DeliveryStore, ScheduleStore
from triggers.service.schedules_runs import End, Runs

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
PUT_OFF_SECONDS = 60.0
"""Until a schedule is looked at again that broke the look."""

MissedWatcher = Callable[[Schedule, Occurrence, float], None]

log = logging.getLogger("jobrunner.schedules")


class Firing:
    """Opens and closes occurrences. ``jobs`` is the store of executions."""

    def __init__(
        self, schedules: ScheduleStore, deliveries: DeliveryStore, jobs: Store, ids: Ids
    ) -> None:
        self._schedules = schedules
        self._deliveries = deliveries
        self._ids = ids
        self.runs = Runs(schedules, deliveries, jobs)
        # Which schedules the work at hand has paused; each work begins anew.
        self._paused: set[str] = set()
        self._on_missed: MissedWatcher = lambda schedule, occurrence, now: None

    def watch(self, missed: MissedWatcher) -> None:
        """``missed`` is called inside the transaction that records an occurrence as missed, and may
        write more; again after a collision. It may not raise but a StoreFault."""
        self._on_missed = missed

    def missed(self, schedule: Schedule, occurrence: Occurrence, now: float) -> None:
        """One is recorded as missed in this transaction."""
        self._on_missed(schedule, occurrence, now)

    # ------------------------------------------------------------ the clock

    def fire(self, uid: str, now: float) -> None:
        """Deals with everything of a schedule that is due at ``now``. Twice is once."""
        try:
            armed = self._schedules.take(uid)
        except NotFound:
            return
        except DamagedRow as damaged:
            # Looked at again later: it may be mended by then, and nothing it has due is lost.
            log.error("It does not fire: %s", damaged)
            self._schedules.put_off(uid, now + PUT_OFF_SECONDS)
            return
        schedule = armed.schedule
        self._paused.discard(uid)
        try:
            when = timing_of(schedule)
        except InvalidSpec as error:
            # A zone that the machine has lost: it would be due for ever.
            log.error("Schedule '%s' cannot be read any more: %s", schedule.name, error)
            failed = replace(schedule, state=ScheduleState.UPDATE_FAILED)
            self._schedules.put(Armed(failed, armed.last, None))
            return
        found = look(schedule, when, armed.last, now)
        more = "; older ones are not listed" if found.more else ""
        for decision in found.decisions:
            key = OccurrenceKey(schedule.uid, decision.at)
            due = due_at(schedule, decision.at)
            reason, more = decision.reason + more, ""
            if decision.runs:
                self._admit(schedule, when, key, due, decision.origin, reason, now)
            else:
                missed = Occurrence(
                    key, due, OccurrenceState.MISSED, decision.origin, reason,
                    created_at=now, settled_at=now,
                )  # fmt: skip
                self._schedules.open(missed)
                self.missed(schedule, missed, now)
        # What was found to have ended may have paused it.
        next_at = None if uid in self._paused else next_opening(schedule, when, found.last)
        self._schedules.advance(uid, found.last, next_at)

    def open_at(self, schedule: Schedule, key: OccurrenceKey, origin: Origin, now: float) -> None:
        """Of a schedule that was taken: by hand or by a backfill."""
        when = timing_of(schedule)
        reason = "run by hand" if origin is Origin.MANUAL else f"backfill {key.backfill}"
        asks = origin is Origin.BACKFILL or schedule.overlap is not None
        self._admit(schedule, when, key, float(key.nominal), origin, reason, now, asks=asks)

    def replay(self, schedule: Schedule, letter: Delivery, at: float, now: float) -> Occurrence:
        """Of a schedule that was taken: ``letter`` is replayed, not before ``at``, or waits. Raises
        Refused where overlap forbids it."""
        key = OccurrenceKey(schedule.uid, floor(now), replay_id(letter))
        reason = f"replay of delivery {letter.uid}"
        self._admit(schedule, timing_of(schedule), key, at, Origin.REPLAY, reason, now)
        row = self._schedules.occurrence(key)
        assert row is not None
        return row

    # ------------------------------------------------------------ what has ended

    def release(self, uid: str, now: float) -> None:
        """Opens what may open now of what waits."""
        try:
            schedule = self._schedules.take(uid).schedule
        except NotFound:
            return
        running = self._running(schedule, now)
        waiting = self._schedules.live(uid, OccurrenceState.WAITING)
        if not waiting:
            return
        schedule = self._schedules.get(uid).schedule
        when = timing_of(schedule)
        by_key = {str(one.key): one for one in waiting}
        for key in release(schedule.overlap_limit, len(running), list(by_key)):
            self._start(schedule, when, by_key[key], now)

    # ------------------------------------------------------------ may it start

    def _admit(
        self,
        schedule: Schedule,
        when: Timing,
        key: OccurrenceKey,
        due: float,
        origin: Origin,
        reason: str,
        now: float,
        *,
        asks: bool = True,
    ) -> None:
        if self._schedules.occurrence(key) is not None:
            return
        answer = self._admission(schedule, now) if asks else Admission(Action.OPEN, "")
        if origin in {Origin.DUE, Origin.CATCH_UP} and schedule.uid in self._paused:
            answer = Admission(Action.SKIP, "the schedule was paused after failures")
        words = "; ".join(text for text in (reason, answer.reason) if text)
        row = Occurrence(key, due, OccurrenceState.WAITING, origin, words, created_at=now)
        if origin is Origin.MANUAL and answer.action is Action.SKIP:
            raise Refused(f"Schedule '{schedule.name}' was not run: {answer.reason}.")
        if origin is Origin.REPLAY and answer.action is Action.SKIP:
            raise Refused(answer.reason)
        for waiting in answer.drops:
            self._leave_out(OccurrenceKey.parse(waiting), f"replaced by {key}", now)
        for running in answer.cancels:
            self.runs.cancel(schedule, running, f"cancelled for {key}", now)
        match answer.action:
            case Action.SKIP:
                self._schedules.open(replace(row, state=OccurrenceState.SKIPPED, settled_at=now))
            case Action.WAIT:
                self._schedules.open(row)
            case Action.OPEN:
                self._schedules.open(self._opened(schedule, when, row, now))

    def _admission(self, schedule: Schedule, now: float) -> Admission:
        policy = overlap_of(schedule)
        if policy is Overlap.ALLOW:
            return Admission(Action.OPEN, "")
        running, waiting = self.standing(schedule, now)
        return admit(policy, schedule.overlap_limit, running, waiting, schedule.overlap_scope)

    def standing(self, schedule: Schedule, now: float) -> tuple[list[str], list[str]]:
        """What counts for overlap and what waits, each oldest first."""
        waiting = self._schedules.live(schedule.uid, OccurrenceState.WAITING)
        return self._running(schedule, now), [str(one.key) for one in waiting]

    def _start(self, schedule: Schedule, when: Timing, row: Occurrence, now: float) -> None:
        try:
            opened = self._opened(schedule, when, row, now)
        except NotFound:
            self._leave_out(row.key, "what it replays was removed", now)
            return
        self._schedules.move(OccurrenceState.WAITING, opened)

    def _opened(self, schedule: Schedule, when: Timing, row: Occurrence, now: float) -> Occurrence:
        """As it is with its delivery, which is stored. Raises NotFound if it replays what is not
        there any more."""
        if row.origin is Origin.REPLAY:
            letter = self._deliveries.get(letter_of(row.key.backfill or ""))
            wanted = replay_of(letter, self._ids.uid(), now, max(now, row.due_at))
        else:
            wanted = self.delivery_of(schedule, when, row.key, now)
        delivery = self._deliveries.open(wanted)
        return replace(row, state=OccurrenceState.OPEN, delivery=delivery.uid, opened_at=now)

    def delivery_of(
        self, schedule: Schedule, when: Timing, key: OccurrenceKey, now: float
    ) -> Delivery:
        """A new one, which is not stored."""
        return Delivery(
            uid=self._ids.uid(),
            project=schedule.project,
            region=schedule.region,
            source=SourceKind.SCHEDULE,
            source_name=schedule.name,
            key=str(key),
            target=schedule.target,
            retry=schedule.retry,
            payload=_payload(schedule, when, key.nominal),
            created_at=now,
            queued_at=float(key.nominal),
            not_before=now,
        )

    def _leave_out(self, key: OccurrenceKey, reason: str, now: float) -> None:
        row = self._schedules.occurrence(key)
        if row is not None:
            skipped = replace(
                row,
                state=OccurrenceState.SKIPPED,
                reason=f"{row.reason}; {reason}",
                settled_at=now,
            )
            self._schedules.move(OccurrenceState.WAITING, skipped)

    def drop_waiting(self, schedule: Schedule, reason: str, now: float) -> None:
        for row in self._schedules.live(schedule.uid, OccurrenceState.WAITING):
            self._leave_out(row.key, reason, now)

    # ------------------------------------------------------------ what runs

    def _running(self, schedule: Schedule, now: float) -> list[str]:
        """As :meth:`Runs.counted`; what has ended meanwhile is closed."""
        open_ones = []
        for row in self._schedules.live(schedule.uid, OccurrenceState.OPEN):
            end = self.runs.end_of_open(schedule, row)
            if end is None:
                open_ones.append(row)
            else:
                self._close(row, end, now)
        return self.runs.counted(schedule, open_ones)

    def _close(self, row: Occurrence, end: End, now: float) -> None:
        closed = replace(row, state=OccurrenceState.CLOSED, settled_at=now)
        if self._schedules.move(OccurrenceState.OPEN, closed):
            self.count(self._schedules.take(row.key.schedule), end, now)

    def count(self, armed: Armed, end: End, now: float) -> Armed:
        """One more run of a schedule that was taken has ended; returns the schedule as it is now,
        which may be paused by it."""
        if end is End.NEITHER:
            return armed
        after = after_end(armed.schedule, end is End.WELL)
        if after.schedule == armed.schedule:
            return armed
        enabled = after.schedule.state is ScheduleState.ENABLED
        changed = Armed(after.schedule, armed.last, armed.next_at if enabled else None)
        self._schedules.put(changed)
        if after.reason:
            self._paused.add(armed.schedule.uid)
            log.warning("Schedule '%s' was %s.", armed.schedule.name, after.reason)
            self.drop_waiting(after.schedule, "the schedule was paused after failures", now)
        return changed


def next_opening(schedule: Schedule, when: Timing, last: float) -> float | None:
    """When the next occurrence after ``last`` is opened, delays included."""
    nominal = next_due(schedule, when, last)
    return None if nominal is None else due_at(schedule, nominal)


def _payload(schedule: Schedule, when: Timing, nominal: int) -> Payload | None:
    """The scheduled time in the zone of the schedule, which only unix-cron promises."""
    if not isinstance(schedule.target, HttpTarget) or not isinstance(when.pattern, CronLine):
        return None
    shown = offset_text(nominal, when.zone).replace("+00:00", "Z")
    return Payload(schedule.target.body, ((SCHEDULE_TIME, shown),))
