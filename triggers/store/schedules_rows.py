"""Rows of schedules and occurrences to values and back."""

from __future__ import annotations

from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, get_type_hints

import msgspec

from jobrunner.lib.database import Row
from triggers.core.records import Occurrence, OccurrenceKey, Origin, Schedule, ScheduleState
from triggers.core.states import OccurrenceState
from triggers.ports import Armed
from triggers.store.damage import Reader
from triggers.store.documents import (
    _decode,
    _encode,
    decode_retry,
    decode_target,
    encode_retry,
    encode_target,
)
from triggers.store.rows import clean

_COLUMNS = ("uid", "project", "region", "name", "state", "target", "retry")
_OTHERS = [one for one in fields(Schedule) if one.name not in _COLUMNS]
_NAMES = tuple(one.name for one in _OTHERS)


def _settings_fields() -> list[Any]:
    hints = get_type_hints(Schedule)
    return [
        (one.name, hints[one.name])
        if one.default is MISSING
        else (one.name, hints[one.name], one.default)
        for one in _OTHERS
    ]


# A field that is not there is its default: text of an older version reads well.
_Settings: Any = msgspec.defstruct("_Settings", _settings_fields(), omit_defaults=True)
_settings = msgspec.json.Decoder(_Settings)
_others = attrgetter(*_NAMES)
_schedules = {state.value: state for state in ScheduleState}
_states = {state.value: state for state in OccurrenceState}
_origins = {origin.value: origin for origin in Origin}

SCHEDULE = "uid project region name state target retry settings"
CLOCK = "last next_at"
"""What follows them, of a row of its own."""
SELECT_ARMED = (
    f"SELECT {', '.join(f's.{name}' for name in SCHEDULE.split())}, c.last, c.next_at"
    " FROM schedule_clocks c JOIN schedules s ON s.uid = c.uid"
)


def schedule_row(armed: Armed) -> tuple[object, ...]:
    """In the order of ``SCHEDULE`` and ``CLOCK``."""
    schedule = armed.schedule
    return (
        schedule.uid,
        schedule.project,
        schedule.region,
        schedule.name,
        schedule.state.value,
        encode_target(schedule.target),
        encode_retry(schedule.retry),
        _encode(_Settings(**{name: getattr(schedule, name) for name in _NAMES})),
        armed.last,
        armed.next_at,
    )


def _armed_of(row: Row) -> Armed:
    uid, project, region, name, state, target, retry, settings, last, next_at = row
    known = dict(zip(_NAMES, _others(_decode(_settings, settings)), strict=True))
    schedule = Schedule(
        uid=uid,
        project=project,
        region=region,
        name=name,
        state=_schedules[state],
        target=decode_target(target),
        retry=decode_retry(retry),
        **known,
    )
    return Armed(schedule, last, next_at)


ARMED = Reader("Schedule", _armed_of)


OCCURRENCE = (
    "schedule nominal backfill due_at state origin reason delivery created_at opened_at settled_at"
)


def occurrence_row(occurrence: Occurrence) -> tuple[object, ...]:
    """In the order of ``OCCURRENCE``."""
    key = occurrence.key
    return (
        key.schedule,
        key.nominal,
        key.backfill or "",
        occurrence.due_at,
        occurrence.state.value,
        occurrence.origin.value,
        clean(occurrence.reason),
        occurrence.delivery,
        occurrence.created_at,
        occurrence.opened_at,
        occurrence.settled_at,
    )


def occurrence_of(row: Row) -> Occurrence:
    return Occurrence(
        key=OccurrenceKey(row[0], row[1], row[2] or None),
        due_at=row[3],
        state=_states[row[4]],
        origin=_origins[row[5]],
        reason=row[6],
        delivery=row[7],
        created_at=row[8],
        opened_at=row[9],
        settled_at=row[10],
    )
