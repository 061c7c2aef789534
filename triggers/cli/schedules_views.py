"""How schedules and their occurrences are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobrunner.cli.output import pairs, table
from jobrunner.cli.words import duration_text, rfc3339, time_text

if TYPE_CHECKING:
    from triggers.core.explain import Explained
    from triggers.core.history import Compared
    from triggers.core.records import Occurrence, Schedule, Target
    from triggers.service.schedules import Seen


def target_text(target: Target) -> str:
    from triggers.core.records import HttpTarget, JobTarget

    match target:
        case HttpTarget():
            return f"{target.method} {target.url}"
        case JobTarget():
            return f"job {target.job}"
        case _:
            return target.topic


def schedule_document(seen: Seen) -> dict[str, object]:
    """All there is: what the Scheduler API has, and our own settings."""
    from triggers.api.scheduler.writing import retry, status, target_document
    from triggers.core.overlap import overlap_of
    from triggers.core.records import JobTarget

    schedule = seen.schedule
    target: dict[str, object] = target_document(schedule.target)
    if isinstance(schedule.target, JobTarget):
        target = {"jobTarget": job_document(schedule.target)}
    return {
        "name": schedule.name,
        "project": schedule.project,
        "region": schedule.region,
        "uid": schedule.uid,
        "description": schedule.description,
        "schedule": schedule.expression,
        "timeZone": schedule.time_zone,
        "state": str(schedule.state),
        **target,
        "retryConfig": retry(schedule),
        "gap": None if schedule.gap is None else str(schedule.gap),
        "repeat": None if schedule.repeat is None else str(schedule.repeat),
        "overlap": str(overlap_of(schedule)),
        "overlapLimit": schedule.overlap_limit,
        "overlapScope": str(schedule.overlap_scope),
        "missedRuns": str(schedule.catch_up),
        "missedRunsLimit": schedule.catch_up_limit,
        "missedRunsWindow": schedule.catch_up_window,
        "spread": schedule.spread,
        "jitter": schedule.jitter,
        "start": rfc3339(schedule.starts_at),
        "end": rfc3339(schedule.ends_at),
        "pauseAfter": schedule.pause_after,
        "failures": schedule.failures,
        "createdAt": rfc3339(schedule.created_at),
        "updatedAt": rfc3339(schedule.updated_at),
        "nextAt": rfc3339(seen.next_at),
        "lastAttemptAt": rfc3339(seen.delivery.last_attempt_at if seen.delivery else None),
        "status": status(seen.attempt),
    }


def job_document(target: object) -> dict[str, object]:
    from jobrunner.core.spec import Overrides
    from triggers.core.records import JobTarget

    assert isinstance(target, JobTarget)
    said: dict[str, object] = {
        "job": target.job,
        "project": target.project,
        "region": target.region,
        "acknowledge": str(target.ack),
    }
    if target.overrides != Overrides():
        one = target.overrides.containers[0] if target.overrides.containers else None
        said["overrides"] = {
            "args": list(one.args) if one else [],
            "env": {each.name: each.value for each in one.env} if one else {},
            "tasks": target.overrides.task_count,
            "taskTimeout": target.overrides.timeout,
        }
    return said


def schedules_table(rows: Sequence[Seen]) -> str:
    return table(
        ["NAME", "SCHEDULE", "TIME ZONE", "TARGET", "STATE", "NEXT"],
        [
            [
                seen.schedule.name,
                seen.schedule.expression,
                seen.schedule.time_zone,
                target_text(seen.schedule.target),
                str(seen.schedule.state),
                "" if seen.next_at is None else time_text(seen.next_at),
            ]
            for seen in rows
        ],
    )


def schedule_text(seen: Seen, history: Sequence[Occurrence]) -> str:
    from triggers.core.occurrences import parse_expression
    from triggers.core.overlap import overlap_of
    from triggers.core.words import describe

    schedule = seen.schedule
    last = seen.delivery.last_attempt_at if seen.delivery else None
    head = pairs(
        [
            ("Name", schedule.name),
            ("Description", schedule.description),
            ("Schedule", f"{schedule.expression} ({schedule.time_zone})"),
            ("In words", describe(parse_expression(schedule.expression))),
            ("Target", target_text(schedule.target)),
            ("State", str(schedule.state)),
            ("Next", "" if seen.next_at is None else time_text(seen.next_at)),
            ("Last attempt", "" if last is None else time_text(last)),
            ("Overlap", f"{overlap_of(schedule)}, limit {schedule.overlap_limit}"),
            ("Missed runs", str(schedule.catch_up)),
            ("Delays", delays_text(schedule)),
            ("Failures in a row", str(schedule.failures) if schedule.failures else ""),
        ]
    )
    return f"{head}\n{occurrences_table(history)}" if history else head


def delays_text(schedule: Schedule) -> str:
    found = [
        f"{name} up to {duration_text(value)}"
        for name, value in (("spread", schedule.spread), ("jitter", schedule.jitter))
        if value
    ]
    return ", ".join(found)


def occurrences_table(rows: Sequence[Occurrence]) -> str:
    return table(
        ["SCHEDULED", "STATE", "ORIGIN", "DELIVERY", "WHY"],
        [
            [
                time_text(row.key.nominal),
                str(row.state),
                str(row.origin),
                row.delivery or "",
                row.reason,
            ]
            for row in rows
        ],
    )


def fire_document(row: Explained) -> dict[str, object]:
    return {
        "scheduled": row.local,
        "wall": row.wall,
        "runs": row.runs,
        "state": str(row.state),
        "dueAt": rfc3339(row.due_at),
        "opensAt": rfc3339(row.opens_at),
        "reasons": list(row.reasons),
    }


def fires_table(rows: Sequence[Explained]) -> str:
    return table(
        ["SCHEDULED", "RUNS", "WHY"],
        [[row.local, "yes" if row.runs else "no", "; ".join(row.reasons)] for row in rows],
    )


def compared_document(row: Compared) -> dict[str, object]:
    happened = row.happened
    return {
        "scheduled": rfc3339(row.nominal),
        "match": str(row.match),
        "told": None if row.told is None else fire_document(row.told),
        "happened": None
        if happened is None
        else {
            "key": str(happened.key),
            "state": str(happened.state),
            "origin": str(happened.origin),
            "reason": happened.reason,
            "delivery": happened.delivery,
            "openedAt": rfc3339(happened.opened_at),
            "settledAt": rfc3339(happened.settled_at),
        },
    }


def compared_table(rows: Sequence[Compared]) -> str:
    def cells(row: Compared) -> list[str]:
        told = "" if row.told is None else "runs" if row.told.runs else "does not run"
        happened = row.happened
        state = "" if happened is None else str(happened.state)
        why = "; ".join(row.told.reasons) if row.told is not None else ""
        reason = happened.reason if happened is not None else why
        return [time_text(row.nominal), told, state, str(row.match), reason]

    return table(["SCHEDULED", "TOLD", "HAPPENED", "MATCH", "WHY"], [cells(row) for row in rows])
