"""The moments of a range in the past or future, to be opened under the id of a backfill."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from jobrunner.errors import InvalidSpec, Violation
from triggers.core.occurrences import Timing, moments
from triggers.core.records import OccurrenceKey, Schedule

MOST = 10_000
"""Occurrences of one backfill."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """``keys`` in order of time. They are others than those of the clock, so that a moment can be
    run again; the same id gives the same keys, so that a backfill asked for twice runs once."""

    id: str
    keys: tuple[OccurrenceKey, ...]


def plan_backfill(schedule: Schedule, when: Timing, id: str, start: float, end: float) -> Backfill:
    """Everything due from ``start`` to ``end`` (Unix seconds), both included, whatever the state of
    the schedule and its dates. Raises InvalidSpec for a range that is empty or holds too many."""
    if end < start:
        raise InvalidSpec([Violation("to", "it lies before 'from'")])
    keys: list[OccurrenceKey] = []
    for moment in moments(when, ceil(start) - 1):
        if moment.at > end:
            break
        if not moment.kind.fires:
            continue
        if len(keys) == MOST:
            problem = f"the range holds more than {MOST} occurrences; allowed: at most {MOST}"
            raise InvalidSpec([Violation("to", problem)])
        keys.append(OccurrenceKey(schedule.uid, moment.at, id))
    return Backfill(id, tuple(keys))
