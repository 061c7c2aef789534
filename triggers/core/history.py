"""What was told set against what happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from triggers.core.explain import Explained
from triggers.core.records import Occurrence
from triggers.core.states import OccurrenceState

_RAN = frozenset({OccurrenceState.OPEN, OccurrenceState.CLOSED})


class Match(StrEnum):
    AS_TOLD = "as told"
    OTHERWISE = "otherwise"
    """It ran and should not have, or the other way round."""
    OVERLAP = "overlap"
    """By its time it was to run; so much was open just then that the overlap policy left it out."""
    NOT_SEEN = "not seen"
    """It was to run, and there is no record of it."""
    NOT_TOLD = "not told"
    """There is a record of it, and the rules as they are now know nothing of it: it was run by hand
    or by a backfill, or the schedule was changed since."""


@dataclass(frozen=True, slots=True)
class Compared:
    """At least one of the two is there."""

    match: Match
    told: Explained | None
    happened: Occurrence | None

    @property
    def nominal(self) -> int:
        if self.told is not None:
            return self.told.nominal
        assert self.happened is not None
        return self.happened.key.nominal


def compare(
    told: Sequence[Explained], happened: Iterable[Occurrence], *, overlaps: bool = False
) -> list[Compared]:
    """In order of time. What was told not to run and left no record is as told. ``overlaps`` is
    whether the policy of the schedule may leave out what is due: nobody can tell that beforehand.
    """
    by_clock: dict[int, Occurrence] = {}
    others: list[Compared] = []
    for occurrence in happened:
        if occurrence.key.backfill is None:
            by_clock[occurrence.key.nominal] = occurrence
        else:
            others.append(Compared(Match.NOT_TOLD, None, occurrence))
    rows: list[Compared] = []
    # Two rows may share an instant: one that runs, and one that a gap left out there.
    for row in sorted(told, key=lambda row: (row.nominal, not row.runs)):
        occurrence_of = by_clock.pop(row.nominal, None)
        rows.append(Compared(_match(row, occurrence_of, overlaps), row, occurrence_of))
    rows += [Compared(Match.NOT_TOLD, None, occurrence) for occurrence in by_clock.values()]
    return sorted(rows + others, key=lambda row: row.nominal)


def _match(row: Explained, happened: Occurrence | None, overlaps: bool) -> Match:
    if happened is None:
        return Match.NOT_SEEN if row.runs else Match.AS_TOLD
    if happened.state is OccurrenceState.WAITING:
        return Match.AS_TOLD
    if overlaps and row.runs and happened.state is OccurrenceState.SKIPPED:
        return Match.OVERLAP
    return Match.AS_TOLD if (happened.state in _RAN) == row.runs else Match.OTHERWISE
