"""A replay of what a schedule has sent asks the overlap rule that the schedule's owner has set.

One of a schedule without a rule of its own starts at once, as a run by hand does, and so does one
of a schedule that is gone. Inside the transaction of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jobrunner.errors import NotFound, Refused
from triggers.core.overlap import Action, Admission, admit
from triggers.core.records import Delivery, Overlap, Schedule, SourceKind
from triggers.core.replays import replay_id
from triggers.core.states import OccurrenceState
from triggers.ports import ScheduleStore
from triggers.service.schedules_firing import Firing


class Standing(NamedTuple):
    """What counts of a schedule, oldest first."""

    running: list[str]
    waiting: list[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """``delivery`` is the uid of the replay, if it was opened."""

    admission: Admission
    delivery: str | None = None


class Replays:
    """``planned`` is one call of :meth:`rehearse` after the other: nothing of it is stored."""

    def __init__(self, firing: Firing, schedules: ScheduleStore) -> None:
        self._firing = firing
        self._schedules = schedules
        self._planned: dict[str, Standing] = {}

    def begin(self) -> None:
        """Of a plan or of a replay of many."""
        self._planned.clear()

    def rule(self, letter: Delivery) -> Schedule | None:
        """The schedule that is asked before ``letter`` is replayed."""
        if letter.source is not SourceKind.SCHEDULE:
            return None
        found = self._schedules.find(letter.scope, letter.source_name)
        if found is None or found.schedule.overlap in {None, Overlap.ALLOW}:
            return None
        return found.schedule

    def waits(self, schedule: Schedule, letter: Delivery) -> bool:
        """Whether a replay of ``letter`` is held back already."""
        waiting = self._schedules.live(schedule.uid, OccurrenceState.WAITING)
        return any(one.key.backfill == replay_id(letter) for one in waiting)

    def ask(self, schedule: Schedule, letter: Delivery, at: float, now: float) -> Asked:
        """Opens the replay, not to be sent before ``at``, or holds it back; or neither."""
        try:
            taken = self._schedules.take(schedule.uid).schedule
            row = self._firing.replay(taken, letter, at, now)
        except NotFound:
            return Asked(Admission(Action.SKIP, "the schedule has just been deleted"))
        except Refused as refused:
            return Asked(Admission(Action.SKIP, str(refused)))
        action = Action.OPEN if row.state is OccurrenceState.OPEN else Action.WAIT
        return Asked(Admission(action, row.reason), row.delivery)

    def rehearse(self, schedule: Schedule, letter: Delivery, now: float) -> Asked:
        """What :meth:`ask` would say, after what was rehearsed since :meth:`begin`."""
        standing = self._planned.get(schedule.uid)
        if standing is None:
            standing = Standing(*self._firing.standing(schedule, now))
            self._planned[schedule.uid] = standing
        assert schedule.overlap is not None
        answer = admit(
            schedule.overlap, schedule.overlap_limit, standing.running, standing.waiting,
            schedule.overlap_scope,
        )  # fmt: skip
        if answer.action is Action.OPEN:
            standing.running.append(letter.uid)
        elif answer.action is Action.WAIT:
            standing.waiting[:] = [*(set(standing.waiting) - set(answer.drops)), letter.uid]
        return Asked(answer)
