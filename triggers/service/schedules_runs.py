"""What runs of a schedule, and how it ended: occurrences with their deliveries, replays, and
executions where those count, too. Every method is called inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto
from math import inf

from jobrunner.core.records import Abort, AbortKind, Execution, Scope
from jobrunner.core.states import SETTLED_EXECUTIONS, ExecutionState
from jobrunner.errors import NotFound
from jobrunner.ports import Page, Store
from triggers.core.records import (
    Delivery,
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    OverlapScope,
    Schedule,
)
from triggers.core.states import (
    SETTLED_DELIVERIES,
    DeliveryEvent,
    DeliveryState,
    OccurrenceState,
)
from triggers.errors import DamagedRow
from triggers.ports import DeliveryStore, Ended, Move, Replay, ScheduleStore

_EXECUTION = "execution "
_REPLAY = "delivery "


class End(Enum):
    """Of a run."""

    WELL = auto()
    BADLY = auto()
    NEITHER = auto()
    """Somebody wanted it to end, or nobody knows."""


class Runs:
    """``jobs`` is the store of executions."""

    def __init__(self, schedules: ScheduleStore, deliveries: DeliveryStore, jobs: Store) -> None:
        self._schedules = schedules
        self._deliveries = deliveries
        self._jobs = jobs
        # Uids of executions that replays have started and that are over, for good.
        self._ended: set[str] = set()

    # ------------------------------------------------------------ what runs

    def counted(self, schedule: Schedule, open_ones: Sequence[Occurrence]) -> list[str]:
        """Everything that counts for overlap, oldest first: ``open_ones``, and what else runs."""
        replays = self._replays(schedule, open_ones)
        target = schedule.target
        if schedule.overlap_scope is OverlapScope.SCHEDULE or not isinstance(target, JobTarget):
            return [*(str(row.key) for row in open_ones), *(f"{_REPLAY}{r.uid}" for r in replays)]
        executions = self._executions(Scope(target.project, target.region), target.job)
        started = {execution.uid for execution in executions}
        names = [f"{_EXECUTION}{execution.name}" for execution in reversed(executions)]
        # An execution and the occurrence that started it are one run.
        names += [str(row.key) for row in open_ones if self._run_of(row) not in started]
        return names + [f"{_REPLAY}{r.uid}" for r in replays if r.execution not in started]

    def room(self, uid: str) -> bool:
        """Whether it is worth a :meth:`Firing.release`. Reads only."""
        try:
            schedule = self._schedules.get(uid).schedule
        except (NotFound, DamagedRow):
            return False
        target = schedule.target
        if schedule.overlap_scope is OverlapScope.JOB and isinstance(target, JobTarget):
            running = len(self._executions(Scope(target.project, target.region), target.job))
        else:
            open_ones = self._schedules.live(uid, OccurrenceState.OPEN)
            running = len(open_ones) + len(self._replays(schedule, open_ones))
        return running < schedule.overlap_limit

    def _replays(self, schedule: Schedule, open_ones: Sequence[Occurrence]) -> list[Replay]:
        """Those that are not over: unsettled, or their runs go on. The others are in ``open_ones``
        themselves: those that asked."""
        found = []
        asked = {row.delivery for row in open_ones}
        for replay in self._schedules.replays(schedule):
            if replay.uid in asked:
                continue
            if replay.settled and replay.execution not in self._ended:
                run = self._execution(replay.execution)
                if (run is None or run.state in SETTLED_EXECUTIONS) and replay.execution:
                    self._ended.add(replay.execution)
            if not replay.settled or replay.execution not in self._ended:
                found.append(replay)
        return found

    def _executions(self, scope: Scope, job: str) -> Sequence[Execution]:
        """Those that have not ended, newest first."""
        return self._jobs.list_executions(scope, job=job, ended_after=inf, page=Page(1000))

    def _run_of(self, row: Occurrence) -> str | None:
        delivery = self.delivery(row)
        return None if delivery is None else delivery.execution

    def delivery(self, row: Occurrence) -> Delivery | None:
        if row.delivery is None:
            return None
        try:
            return self._deliveries.get(row.delivery)
        except NotFound:
            return None

    def _execution(self, uid: str | None) -> Execution | None:
        if uid is None:
            return None
        try:
            return self._jobs.get_execution_by_uid(uid)
        except NotFound:
            return None

    # ------------------------------------------------------------ how it ended

    def end_of(self, one: Ended, schedule: Schedule) -> End | None:
        """How its run ended, too; ``None`` while that goes on. Reads only."""
        return self._end(schedule, one.state, one.execution)

    def end_of_open(self, schedule: Schedule, row: Occurrence) -> End | None:
        """As :meth:`end_of`, of one whose delivery may be on its way, or gone."""
        delivery = self.delivery(row)
        if delivery is None:
            return self._end(schedule, None, None)
        if delivery.state not in SETTLED_DELIVERIES:
            return None
        return self._end(schedule, delivery.state, delivery.execution)

    def end_of_call(self, schedule: Schedule, delivery: Delivery) -> End | None:
        """As :meth:`end_of`, for whoever looks later; ``None``, too, where the run is not on record
        any more."""
        uid = delivery.execution
        if uid is not None and not _called(schedule) and self._execution(uid) is None:
            return None
        return self._end(schedule, delivery.state, uid)

    def _end(
        self, schedule: Schedule, state: DeliveryState | None, execution: str | None
    ) -> End | None:
        """How what has settled ended; ``None`` while its run goes on."""
        run = None if _called(schedule) else self._execution(execution)
        if run is not None and run.state not in SETTLED_EXECUTIONS:
            return None
        cancelled = run is not None and run.state is ExecutionState.CANCELLED
        if cancelled or state in {None, DeliveryState.CANCELLED}:
            return End.NEITHER
        well = run is None or run.state is ExecutionState.SUCCEEDED
        return End.WELL if well and state is DeliveryState.DELIVERED else End.BADLY

    # ------------------------------------------------------------ cancelling

    def cancel(self, schedule: Schedule, running: str, reason: str, now: float) -> None:
        if running.startswith(_EXECUTION):
            target = schedule.target
            assert isinstance(target, JobTarget)
            scope = Scope(target.project, target.region)
            name = running.removeprefix(_EXECUTION)
            self._abort(self._jobs.get_execution(scope, name), reason, now)
            return
        if running.startswith(_REPLAY):
            delivery: Delivery | None = self._deliveries.get(running.removeprefix(_REPLAY))
        else:
            row = self._schedules.occurrence(OccurrenceKey.parse(running))
            delivery = None if row is None else self.delivery(row)
        if delivery is not None:
            self.withdraw(delivery, reason, now)

    def withdraw(self, delivery: Delivery, reason: str, now: float) -> None:
        """Ends a delivery and the run that it has started."""
        if delivery.state not in SETTLED_DELIVERIES:
            after = replace(
                delivery,
                state=DeliveryState.CANCELLED,
                lease_owner=None,
                lease_until=None,
                reason=reason,
                settled_at=now,
            )
            self._deliveries.record([Move(delivery, DeliveryEvent.WITHDRAWN, after)])
        execution = self._execution(delivery.execution)
        if execution is not None:
            self._abort(execution, reason, now)

    def _abort(self, execution: Execution, reason: str, now: float) -> None:
        if execution.state not in SETTLED_EXECUTIONS:
            self._jobs.request_abort(
                execution.uid, Abort(AbortKind.CANCEL, now, f"The execution was {reason}.")
            )


def _called(schedule: Schedule) -> bool:
    """As at Google: a call that started a run is over when it was answered, unless overlap asks for
    more."""
    return isinstance(schedule.target, HttpTarget) and schedule.overlap is None
