"""Schedules, their occurrences and what was told of them as JSON documents. Pure.

What can be written is named as in YAML of kind ``Schedule``: a document that was read can be
written again, and :mod:`triggers.api.schedules.reading` makes the same schedule of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobrunner.core.durations import duration
from jobrunner.core.spec import Overrides
from jobrunner.core.timestamps import format_time
from triggers.api.scheduler.writing import retry, status, target_document
from triggers.core.explain import Explained
from triggers.core.history import Compared
from triggers.core.overlap import overlap_of
from triggers.core.records import (
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    OidcToken,
    Schedule,
    Target,
)
from triggers.service.schedules import Seen
from triggers.service.schedules_runs import End

Document = dict[str, Any]


def schedule_document(seen: Seen) -> Document:
    """All there is. ``effectiveOverlap`` is what holds where ``overlap`` is not set."""
    schedule = seen.schedule
    return {
        "name": schedule.name,
        "project": schedule.project,
        "region": schedule.region,
        "uid": schedule.uid,
        "state": str(schedule.state),
        **settings_document(schedule),
        "effectiveOverlap": str(overlap_of(schedule)),
        "failures": schedule.failures,
        "createdAt": format_time(schedule.created_at),
        "updatedAt": format_time(schedule.updated_at),
        "intervalsFrom": format_time(schedule.anchor),
        "armedFrom": format_time(schedule.armed_from),
        "resourceVersion": schedule.resource_version,
        "nextAt": time(seen.next_at),
        "lastAttemptAt": time(seen.delivery.last_attempt_at if seen.delivery else None),
        "status": status(seen.attempt),
    }


def settings_document(schedule: Schedule) -> Document:
    """What people set, complete; ``None`` for a default that depends on something else."""
    return {
        "description": schedule.description,
        "schedule": schedule.expression,
        "timeZone": schedule.time_zone,
        **target_body(schedule.target),
        "retryConfig": retry(schedule),
        "gap": None if schedule.gap is None else str(schedule.gap),
        "repeat": None if schedule.repeat is None else str(schedule.repeat),
        "overlap": None if schedule.overlap is None else str(schedule.overlap),
        "overlapLimit": schedule.overlap_limit,
        "overlapScope": str(schedule.overlap_scope),
        "missedRuns": str(schedule.catch_up),
        "missedRunsLimit": schedule.catch_up_limit,
        "missedRunsWindow": schedule.catch_up_window,
        "spread": schedule.spread,
        "jitter": schedule.jitter,
        "start": time(schedule.starts_at),
        "end": time(schedule.ends_at),
        "pauseAfter": schedule.pause_after,
    }


_ENDS = {End.WELL: "succeeded", End.BADLY: "failed", End.NEITHER: "cancelled"}
Ends = Mapping[OccurrenceKey, End]


def occurrence_document(row: Occurrence, ends: Ends) -> Document:
    return {
        "scheduled": format_time(row.key.nominal),
        "state": str(row.state),
        "origin": str(row.origin),
        "backfill": row.key.backfill,
        "dueAt": format_time(row.due_at),
        "openedAt": time(row.opened_at),
        "settledAt": time(row.settled_at),
        "ended": _ENDS.get(ends[row.key]) if row.key in ends else None,
        "delivery": row.delivery,
        "reason": row.reason,
    }


def fire_document(row: Explained) -> Document:
    return {
        "scheduled": row.local,
        "wall": row.wall,
        "runs": row.runs,
        "state": str(row.state),
        "dueAt": format_time(row.due_at),
        "opensAt": time(row.opens_at),
        "reasons": list(row.reasons),
    }


def compared_document(row: Compared, ends: Ends) -> Document:
    happened = row.happened
    return {
        "scheduled": format_time(row.nominal),
        "match": str(row.match),
        "told": None if row.told is None else fire_document(row.told),
        "happened": None
        if happened is None
        else {"key": str(happened.key), **occurrence_document(happened, ends)},
    }


def time(at: float | None) -> str | None:
    return None if at is None else format_time(at)


def target_body(target: Target) -> Document:
    """The fields that say what is called."""
    match target:
        case JobTarget():
            return {"jobTarget": _job(target)}
        case HttpTarget(token=token, deadline=deadline):
            document: Document = dict(target_document(target))
            if isinstance(token, OidcToken) and not token.audience:
                # The URL, whatever it will be: not what it is now.
                del document["httpTarget"]["oidcToken"]["audience"]
            return {**document, "attemptDeadline": duration(deadline)}
        case _:
            return target_document(target)


def _job(target: JobTarget) -> Document:
    said: Document = {
        "job": target.job,
        "project": target.project,
        "region": target.region,
        "acknowledge": str(target.ack),
    }
    if target.overrides != Overrides():
        one = target.overrides.containers[0] if target.overrides.containers else None
        said |= {
            "args": list(one.args) if one else [],
            "env": {each.name: each.value for each in one.env} if one else {},
            "tasks": target.overrides.task_count,
            "taskTimeout": target.overrides.timeout,
        }
    return said
