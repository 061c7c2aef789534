"""What a schedule will do, fire by fire, and why: from the same rules that decide.

Nothing here decides anything. The moments and their kinds come from
:mod:`triggers.core.occurrences`, delays from :mod:`triggers.core.delays`, what is missed from
:mod:`triggers.core.missed`, and overlap from :mod:`triggers.core.overlap`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil, inf
from typing import NamedTuple

from triggers.core.delays import delay_of
from triggers.core.missed import Due, bounds, decide
from triggers.core.occurrences import Kind, Moment, Timing, moments
from triggers.core.overlap import Action, admit, overlap_of, release
from triggers.core.records import OccurrenceKey, Schedule, ScheduleState
from triggers.core.states import OccurrenceState
from triggers.core.zones import offset_text, shift_at

MOST = 10_000
"""Fires of one explanation."""


class Away(NamedTuple):
    """A time in which nobody looks, because the server is down: after ``start``, until the look at
    ``end``. Unix seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Explained:
    """``nominal`` is the scheduled instant and ``local`` the same in the schedule's zone, ISO 8601.
    ``wall`` is the local time that was meant. ``due_at`` is when it is opened, delays included;
    ``opens_at`` is when it starts behind what it has to wait for, ``None`` if it never does."""

    nominal: int
    local: str
    wall: str
    state: OccurrenceState
    due_at: float
    opens_at: float | None
    reasons: tuple[str, ...]

    @property
    def runs(self) -> bool:
        return self.opens_at is not None


def explain(
    schedule: Schedule,
    when: Timing,
    start: float,
    end: float = inf,
    *,
    count: int = MOST,
    run_seconds: float | None = None,
    away: Sequence[Away] = (),
) -> list[Explained]:
    """The fires of (``start``, ``end``], the first ``count`` of them, also what does not run.

    ``run_seconds`` is how long each run is taken to last; without it nothing overlaps. ``away``
    are times in which the server is taken to be down.
    """
    simulation = _Simulation(schedule, run_seconds)
    for found in _judged(schedule, when, start, end, min(count, MOST), away):
        simulation.add(found)
    return simulation.finish()


def kind_in_words(moment: Moment, when: Timing) -> str:
    """Why clocks that are set matter here; empty where they do not."""
    if moment.kind is Kind.PLAIN:
        return ""
    shift = shift_at(moment.wall, when.zone)
    name = str(when.zone)
    wall = _minute(moment.wall)
    if shift is None:
        return ""
    clocks = f"clocks in {name} go from {_minute(shift.before)} to {_minute(shift.after)}"
    day = f"{moment.wall:%Y-%m-%d}"
    match moment.kind:
        case Kind.AFTER_GAP:
            return f"{wall} does not exist on {day}, {clocks}; gap: run, at the first instant after"
        case Kind.SKIPPED_GAP:
            return f"{wall} does not exist on {day}, {clocks}; gap: skip"
        case Kind.SKIPPED_REPEAT:
            return f"{wall} comes twice on {day}, {clocks}; repeat: first, and this is the second"
        case Kind.FIRST_PASS:
            return f"{wall} comes twice on {day}, {clocks}; this is the first"
        case Kind.SECOND_PASS:
            return f"{wall} comes twice on {day}, {clocks}; repeat: both, and this is the second"


class _Found(NamedTuple):
    """``seen_at`` is when somebody looks; ``None`` for what does not run at all."""

    row: Explained
    seen_at: float | None


def _judged(
    schedule: Schedule,
    when: Timing,
    start: float,
    end: float,
    count: int,
    away: Sequence[Away],
) -> Iterator[_Found]:
    """Each moment with what zone, bounds, delays and downtime say about it."""
    pending: list[_Found] = []
    absence: Away | None = None
    for number, moment in enumerate(moments(when, start)):
        if moment.at > end or number >= count:
            break
        found = _bounded(schedule, when, moment)
        missing = _absence(found.row.due_at, away)
        if absence is not None and missing != absence:
            yield from _back(schedule, pending, absence)
            pending, absence = [], None
        if missing is None:
            yield found
        else:
            pending.append(found)
            absence = missing
    if absence is not None:
        yield from _back(schedule, pending, absence)


def _bounded(schedule: Schedule, when: Timing, moment: Moment) -> _Found:
    key = OccurrenceKey(schedule.uid, moment.at)
    delay = delay_of(schedule, key)
    reasons = [text for text in (kind_in_words(moment, when),) if text]
    runs = moment.kind.fires
    if runs:
        refused = _out_of_bounds(schedule, moment.at)
        if refused:
            reasons.append(refused)
            runs = False
    if runs and delay.spread:
        reasons.append(f"spread: {delay.spread} s later, by its name")
    if runs and delay.jitter:
        reasons.append(f"jitter: {delay.jitter:g} s later")
    due = moment.at + delay.total if runs else float(moment.at)
    row = Explained(
        moment.at,
        offset_text(moment.at, when.zone),
        _minute(moment.wall, day=True),
        OccurrenceState.OPEN if runs else OccurrenceState.SKIPPED,
        due,
        due if runs else None,
        tuple(reasons),
    )
    return _Found(row, due if runs else None)


def _out_of_bounds(schedule: Schedule, at: int) -> str:
    first, last = bounds(schedule)
    if schedule.state is not ScheduleState.ENABLED:
        return f"the schedule is {schedule.state}; nothing is made up for later"
    if schedule.starts_at is not None and at < ceil(schedule.starts_at):
        return "before the start date"
    if at <= first:
        return "before the schedule was created, resumed or changed"
    return "after the end date" if at > last else ""


def _absence(at: float, away: Sequence[Away]) -> Away | None:
    return next((span for span in away if span.start < at <= span.end), None)


def _back(schedule: Schedule, pending: Sequence[_Found], absence: Away) -> Iterator[_Found]:
    """What the look at the end of an absence decides."""
    due = [found for found in pending if found.seen_at is not None]
    decisions = decide(
        [found.row.nominal for found in due],
        absence.end,
        policy=schedule.catch_up,
        limit=schedule.catch_up_limit,
        window=schedule.catch_up_window,
        due=[found.row.due_at for found in due],
    )
    by_instant = {decision.at: decision for decision in decisions}
    for found in pending:
        runs = found.seen_at is not None
        yield _decided(found, by_instant[found.row.nominal], absence.end) if runs else found


def _decided(found: _Found, decision: Due, now: float) -> _Found:
    reasons = (*found.row.reasons, decision.reason)
    if decision.runs:
        return _Found(replace(found.row, opens_at=now, reasons=reasons), now)
    missed = OccurrenceState.MISSED
    return _Found(replace(found.row, state=missed, opens_at=None, reasons=reasons), None)


@dataclass(slots=True)
class _Simulation:
    """Lets each run last as long as it is told, and asks the overlap rule."""

    schedule: Schedule
    run_seconds: float | None
    rows: list[Explained] = field(default_factory=list)
    running: list[tuple[float, int]] = field(default_factory=list)
    """When each open one ends, and its row; oldest first."""
    waiting: list[int] = field(default_factory=list)

    def add(self, found: _Found) -> None:
        place = len(self.rows)
        self.rows.append(found.row)
        if found.seen_at is None or self.run_seconds is None:
            return
        self._pass_until(found.seen_at)
        answer = admit(
            overlap_of(self.schedule),
            self.schedule.overlap_limit,
            [str(row) for _, row in self.running],
            [str(row) for row in self.waiting],
            self.schedule.overlap_scope,
        )
        for row in answer.drops:
            self.waiting.remove(int(row))
            self._leave_out(int(row), f"replaced by the one of {found.row.local}")
        cancelled = {int(row) for row in answer.cancels}
        for other in sorted(cancelled):
            self._note(other, f"cancelled for the one of {found.row.local}")
        self.running = [
            (found.seen_at if other in cancelled else end, other) for end, other in self.running
        ]
        self._note(place, answer.reason)
        match answer.action:
            case Action.OPEN:
                self._open(place, found.seen_at)
            case Action.WAIT:
                self.waiting.append(place)
                self._pass_until(found.seen_at)
            case Action.SKIP:
                self._leave_out(place, "")

    def finish(self) -> list[Explained]:
        self._pass_until(inf)
        return self.rows

    def _pass_until(self, now: float) -> None:
        """Ends what ends, and opens what waits for it, in order of time."""
        while self.running:
            end, place = min(self.running)
            if end > now:
                return
            self.running.remove((end, place))
            limit = self.schedule.overlap_limit
            names = [str(row) for row in self.waiting]
            for row in release(limit, len(self.running), names):
                self.waiting.remove(int(row))
                self._open(int(row), end)

    def _open(self, place: int, at: float) -> None:
        row = self.rows[place]
        self.rows[place] = replace(row, opens_at=at)
        assert self.run_seconds is not None
        self.running.append((at + self.run_seconds, place))

    def _leave_out(self, place: int, reason: str) -> None:
        row = self.rows[place]
        skipped = OccurrenceState.SKIPPED
        self.rows[place] = replace(row, state=skipped, opens_at=None)
        if reason:
            self._note(place, reason)

    def _note(self, place: int, reason: str) -> None:
        row = self.rows[place]
        self.rows[place] = replace(row, reasons=(*row.reasons, reason))


def _minute(wall: datetime, *, day: bool = False) -> str:
    return f"{wall:%Y-%m-%dT%H:%M}" if day else f"{wall:%H:%M}"
