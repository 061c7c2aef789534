"""What is due when a schedule is looked at, and what becomes of the moments that nobody saw.

The ticker was away: stopped, suspended, or its clock was set. It asks with the last nominal instant
that it has dealt with and the time now, and gets a decision for each moment in between. To ask
twice gives the same; a clock that goes back gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from triggers.core.delays import due_at
from triggers.core.occurrences import Timing, moments, next_after
from triggers.core.records import CatchUp, Origin, Schedule, ScheduleState

ON_TIME = 60.0
"""Seconds; what comes later than that was missed. Moments are whole minutes apart, so without
jitter at most one is on time."""
MOST_LISTED = 1000
"""How many moments one look lists; older ones are left out and said to be."""


class DueList(NamedTuple):
    """Nominal instants in order. ``more`` says that there were older ones, which are not listed."""

    instants: tuple[int, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """``runs`` is false for a moment that is written down as missed. ``reason`` says why."""

    at: int
    runs: bool
    origin: Origin
    reason: str


def due_between(when: Timing, last: float, now: float, most: int = MOST_LISTED) -> DueList:
    """What was due in (``last``, ``now``]: the newest ``most``. Years of downtime of a schedule
    that runs each minute cost no more than a few times ``most``."""
    budget = 4 * most
    # Mostly one is due or none, and the ticker has asked for the one after it before.
    first = next_after(when, last)
    if first is None or first > now:
        return DueList(())
    second = next_after(when, first)
    if second is None or second > now:
        return DueList((first,))
    found = _take(when, last, now, budget + 1)
    if len(found) <= budget:
        return DueList(tuple(found[-most:]), more=len(found) > most)
    # Too many to count. Look for a start from where there are at least ``most`` and not too many.
    too_early, too_late = last, now
    while True:
        start = (too_early + too_late) / 2
        found = _take(when, start, now, budget + 1)
        if len(found) > budget:
            too_early = start
        elif len(found) < most:
            too_late = start
        else:
            return DueList(tuple(found[-most:]), more=True)


def _take(when: Timing, start: float, end: float, most: int) -> list[int]:
    found: list[int] = []
    for moment in moments(when, start):
        if moment.at > end or len(found) == most:
            break
        if moment.kind.fires:
            found.append(moment.at)
    return found


def decide(
    instants: Sequence[int],
    now: float,
    *,
    policy: CatchUp,
    limit: int = 100,
    window: float | None = None,
    due: Sequence[float] | None = None,
) -> tuple[Due, ...]:
    """One decision for each of ``instants``, which were due up to ``now``, in order.

    What is on time runs, whatever the policy. ``limit`` is how many missed ones are run by ``all``;
    ``window`` is how old a missed one may be to be run. ``due`` are the instants with their delays.
    """
    decisions: list[Due] = []
    left = limit if policy is CatchUp.ALL else 1 if policy is CatchUp.LATEST else 0
    for at, meant in zip(reversed(instants), reversed(due or instants), strict=True):
        late = now - meant
        if late < ON_TIME:
            decisions.append(Due(at, True, Origin.DUE, "on time"))
            # It stands in for all that were missed before it.
            left = left if policy is CatchUp.ALL else 0
            continue
        words = f"missed by {_span(late)}"
        if policy is CatchUp.SKIP:
            reason = f"{words}; missed runs are skipped"
        elif window is not None and late > window:
            reason = f"{words}; older than the window of {_span(window)}"
        elif left:
            left -= 1
            reason = f"{words}; run late, as missed runs: {policy}"
            decisions.append(Due(at, True, Origin.CATCH_UP, reason))
            continue
        elif policy is CatchUp.LATEST:
            reason = f"{words}; a later one stands in for it, as missed runs: latest"
        else:
            reason = f"{words}; more than the {limit} that are made up for"
        decisions.append(Due(at, False, Origin.DUE, reason))
    return tuple(reversed(decisions))


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a schedule found: decisions in order, whether there were older moments than
    are listed, and the last moment that is dealt with now."""

    decisions: tuple[Due, ...]
    more: bool
    last: float


def look(schedule: Schedule, when: Timing, last: float, now: float) -> Look:
    """Everything that is due of ``schedule`` at ``now``, given that ``last`` was dealt with.

    What came before it was armed (created, resumed, changed), before its start or after its end is
    not due, and neither is anything while it is not enabled.
    """
    if schedule.state is not ScheduleState.ENABLED:
        return Look((), False, last)
    start, end = bounds(schedule)
    found = due_between(when, max(last, start), min(now, end))
    # One whose delay is not over keeps those behind it waiting: they are opened in order.
    due = [due_at(schedule, nominal) for nominal in found.instants]
    count = next((n for n, at in enumerate(due) if at > now), len(due))
    instants = found.instants[:count]
    decisions = decide(
        instants,
        now,
        policy=schedule.catch_up,
        limit=schedule.catch_up_limit,
        window=schedule.catch_up_window,
        due=due[:count],
    )
    newest = instants[-1] if instants else last
    return Look(decisions, found.more, max(last, newest))


def next_due(schedule: Schedule, when: Timing, after: float) -> int | None:
    """The next nominal instant of ``schedule`` after ``after``; ``None`` if there is none, or
    while it is not enabled. When it runs is :func:`triggers.core.delays.due_at` of it."""
    if schedule.state is not ScheduleState.ENABLED:
        return None
    start, end = bounds(schedule)
    found = next_after(when, max(after, start))
    return found if found is not None and found <= end else None


def bounds(schedule: Schedule) -> tuple[float, float]:
    """Due is what lies after the first and not after the second."""
    start = schedule.armed_from
    if schedule.starts_at is not None:
        # The start itself may be due.
        start = max(start, ceil(schedule.starts_at) - 1)
    return start, schedule.ends_at if schedule.ends_at is not None else inf


def _span(seconds: float) -> str:
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or "0 s"
