"""From an expression, a zone and its settings to the instants that are due. Pure arithmetic in UTC.

Three kinds of expression come together here:

- **fixed times** (unix-cron whose minute and hour do not start with ``*``; English times): wall
  times, and the settings ``gap`` and ``repeat`` for those that come not at all or twice;
- **the clock** (unix-cron whose minute or hour starts with ``*``): every instant at which the clock
  on the wall shows it, so a gap has none and an hour that is shown twice has both;
- **intervals** (English): elapsed time, from the anchor or from the start of each day's window.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from math import floor
from typing import NamedTuple

from triggers.core.cron import CronLine, next_wall, parse_cron
from triggers.core.english import (
    EnglishInterval,
    EnglishTime,
    looks_english,
    next_wall_time,
    parse_english,
    weekday_of,
)
from triggers.core.records import Gap, Repeat, Schedule
from triggers.core.zones import Shift, clock_seconds, place, shift_at, wall_of, zone_of

Pattern = CronLine | EnglishTime | EnglishInterval

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LONGEST_WAIT = 20
"""Days without one due that a window is searched through; a week is enough."""
REMEMBERED = 16_384
"""Timings, and instants of theirs, that are not worked out again."""
LAST_INSTANT = 253_402_000_000
"""Unix seconds; near the end of the year 9999 nothing is due any more."""


class Kind(StrEnum):
    """How an instant came to be due, or not."""

    PLAIN = "plain"
    AFTER_GAP = "after-gap"
    """Its wall time does not exist that day; it runs at the first instant after the gap."""
    SKIPPED_GAP = "skipped-gap"
    """Its wall time does not exist that day, and is left out."""
    FIRST_PASS = "first-pass"
    SECOND_PASS = "second-pass"
    """Its wall time is shown twice; this is the second time, and it runs."""
    SKIPPED_REPEAT = "skipped-repeat"
    """Its wall time is shown twice; this is the second time, and is left out."""

    @property
    def fires(self) -> bool:
        return self not in {Kind.SKIPPED_GAP, Kind.SKIPPED_REPEAT}


class Moment(NamedTuple):
    """``at`` is the nominal instant in Unix seconds; ``wall`` the local time that was meant."""

    at: int
    wall: datetime
    kind: Kind = Kind.PLAIN


class Timing(NamedTuple):
    """When something is due: a pattern, read in a zone. ``anchor`` (Unix seconds) is what an
    interval without a window counts from."""

    pattern: Pattern
    zone: tzinfo
    gap: Gap
    repeat: Repeat
    anchor: int = 0


def parse_expression(text: str, field: str = "schedule") -> Pattern:
    """Either syntax. Raises InvalidSpec."""
    return parse_english(text, field) if looks_english(text) else parse_cron(text, field)


def timing(
    expression: str,
    time_zone: str = "",
    *,
    gap: Gap | None = None,
    repeat: Repeat | None = None,
    anchor: float = 0.0,
) -> Timing:
    """``gap`` and ``repeat`` default to run and first, in the English syntax to skip and both.
    Raises InvalidSpec."""
    pattern = parse_expression(expression)
    cron = isinstance(pattern, CronLine)
    return Timing(
        pattern,
        zone_of(time_zone),
        gap or (Gap.RUN if cron else Gap.SKIP),
        repeat or (Repeat.FIRST if cron else Repeat.BOTH),
        _whole_minutes(anchor),
    )


def timing_of(schedule: Schedule) -> Timing:
    """Raises InvalidSpec."""
    found = _timing(schedule.expression, schedule.time_zone, schedule.gap, schedule.repeat)
    if isinstance(found.pattern, EnglishInterval):
        return found._replace(anchor=_whole_minutes(schedule.anchor))
    # What has no use for an anchor is one timing for many schedules.
    return found


@lru_cache(maxsize=REMEMBERED)
def _timing(expression: str, time_zone: str, gap: Gap | None, repeat: Repeat | None) -> Timing:
    return timing(expression, time_zone, gap=gap, repeat=repeat)


def _whole_minutes(anchor: float) -> int:
    """The seconds of the anchor do not count, as in App Engine."""
    return floor(anchor) // 60 * 60


def next_after(when: Timing, instant: float) -> int | None:
    """The first nominal instant strictly after ``instant``; ``None`` if there is none."""
    return _next_after(when, floor(instant))


@lru_cache(maxsize=REMEMBERED)
def _next_after(when: Timing, after: int) -> int | None:
    if after >= LAST_INSTANT:
        return None
    pattern = when.pattern
    if not isinstance(pattern, EnglishInterval):
        here = datetime.fromtimestamp(after, when.zone)
        wall = _next(pattern, here)
        if wall is None:
            return None
        at = _plainly(when.zone, here, wall)
        if at is not None:
            return at if at <= LAST_INSTANT else None
    for moment in moments(when, after):
        if moment.kind.fires:
            return moment.at
    return None


def _plainly(zone: tzinfo, here: datetime, wall: datetime) -> int | None:
    """The instant of ``wall``, the first one after ``here``, where there is nothing to decide, as
    mostly: ``here`` is shown once, so nothing that the clocks have shown comes again before;
    ``wall`` is shown once, so it is in no gap and comes not twice."""
    if zone is UTC:
        return clock_seconds(wall)
    offset = zone.utcoffset(wall)
    if offset is None or offset != zone.utcoffset(wall.replace(fold=1)):
        return None
    if here.utcoffset() != here.replace(fold=1).utcoffset():
        return None
    return clock_seconds(wall - offset)


def moments(when: Timing, after: float) -> Iterator[Moment]:
    """Everything after ``after`` in order of time, also what the settings for daylight saving
    leave out. No two that run share an instant."""
    start = floor(after)
    if start >= LAST_INSTANT:
        return iter(())
    if isinstance(when.pattern, EnglishInterval):
        found = (
            _windows(when.pattern, when.zone, start)
            if when.pattern.window
            else _anchored(when.pattern, when.zone, when.anchor, start)
        )
        return (Moment(at, wall_of(at, when.zone)) for at in found)
    return _wall_times(when, when.pattern, start)


def _next(pattern: CronLine | EnglishTime, after: datetime) -> datetime | None:
    if isinstance(pattern, CronLine):
        return next_wall(pattern, after)
    return next_wall_time(pattern, after)


def _wall_times(when: Timing, pattern: CronLine | EnglishTime, after: int) -> Iterator[Moment]:
    """First passes come in the order of wall times; second passes are kept until it is their turn,
    behind all first ones of the same setting of the clocks."""
    zone = when.zone
    clock = isinstance(pattern, CronLine) and pattern.follows_the_clock
    run_gap = when.gap is Gap.RUN and not clock
    both = when.repeat is Repeat.BOTH or clock
    wall: datetime | None = wall_of(after, zone)
    assert wall is not None
    later: list[Moment] = []
    if wall.fold == 0 and zone is not UTC:
        shift = shift_at(wall, zone)
        if shift is not None and not shift.forward:
            later = _second_passes(pattern, shift, wall, both)
    last = after
    while True:
        wall = _next(pattern, wall)
        found = None if wall is None else place(wall, zone)
        while later and (found is None or later[0].at < found.first):
            yield later.pop(0)
        if wall is None or found is None or found.first > LAST_INSTANT:
            return
        if found.in_gap:
            if found.first > after and not clock:
                kind = Kind.AFTER_GAP if run_gap else Kind.SKIPPED_GAP
                if not run_gap or found.first > last:
                    yield Moment(found.first, wall, kind)
                if run_gap:
                    last = found.first
            continue
        if found.second > found.first and found.second > after:
            kind = Kind.SECOND_PASS if both else Kind.SKIPPED_REPEAT
            later.append(Moment(found.second, wall, kind))
        if found.first > last:
            last = found.first
            twice = found.second > found.first
            yield Moment(found.first, wall, Kind.FIRST_PASS if twice else Kind.PLAIN)


def _second_passes(
    pattern: CronLine | EnglishTime, shift: Shift, until: datetime, both: bool
) -> list[Moment]:
    """What the clocks have shown once already when ``until`` is in the first of two passes."""
    found: list[Moment] = []
    wall = _next(pattern, shift.after - timedelta(seconds=1))
    while wall is not None and wall <= until:
        at = shift.at + (wall - shift.after) // timedelta(seconds=1)
        found.append(Moment(at, wall, Kind.SECOND_PASS if both else Kind.SKIPPED_REPEAT))
        wall = _next(pattern, wall)
    return found


def _anchored(spec: EnglishInterval, zone: tzinfo, anchor: int, after: int) -> Iterator[int]:
    at = anchor + max(1, (after - anchor) // spec.period + 1) * spec.period
    while at <= LAST_INSTANT:
        day = wall_of(at, zone).date()
        if spec.weekdays is None or weekday_of(day) in spec.weekdays:
            yield at
            at += spec.period
        else:
            at = max(at + spec.period, _up(anchor, spec.period, _midnight(day + _DAY, zone)))


def _windows(spec: EnglishInterval, zone: tzinfo, after: int) -> Iterator[int]:
    """The start of a window that the clocks jump over moves to the first instant after the gap, and
    one that is shown twice is the first; within the window it is elapsed time that counts."""
    assert spec.window is not None
    first, last = spec.window
    day = wall_of(after, zone).date() - _DAY
    start, following = _clock(day, first, zone), _clock(day + _DAY, first, zone)
    idle = 0
    while idle < _LONGEST_WAIT and start <= LAST_INSTANT:
        end = _clock(day if first <= last else day + _DAY, last, zone)
        at = start if start > after else _up(start, spec.period, after + 1)
        idle += 1
        while at <= end and at < following:
            today = wall_of(at, zone).date()
            if spec.weekdays is None or weekday_of(today) in spec.weekdays:
                yield at
                idle = 0
                at += spec.period
            else:
                at = max(at + spec.period, _up(start, spec.period, _midnight(today + _DAY, zone)))
        day += _DAY
        start, following = following, _clock(day + _DAY, first, zone)


def _up(origin: int, period: int, least: int) -> int:
    """The first of ``origin`` plus whole periods that is not before ``least``."""
    return origin + -((origin - least) // period) * period


def _clock(day: date, minutes: int, zone: tzinfo) -> int:
    hour, minute = divmod(minutes, 60)
    wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  (a wall time)
    return place(wall, zone).first


def _midnight(day: date, zone: tzinfo) -> int:
    return _clock(day, 0, zone)
