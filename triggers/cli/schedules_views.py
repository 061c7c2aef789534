"""How schedules and their occurrences are shown: documents of the API as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobrunner.cli.output import pairs, table
from jobrunner.cli.words import duration_text

if TYPE_CHECKING:
    from triggers.core.explain import Explained
    from triggers.core.records import Schedule
from triggers.cli.rooms import rows_table

Document = dict[str, Any]


def target_text(document: Document) -> str:
    if "httpTarget" in document:
        return f"{document['httpTarget']['httpMethod']} {document['httpTarget']['uri']}"
    if "jobTarget" in document:
        return f"job {document['jobTarget']['job']}"
    return str(document["pubsubTarget"]["topicName"])


def shown(text: str | None, zone: str) -> str:
    """An instant of a document as the clocks of the schedule's zone show it, with the offset; empty
    for none. In UTC where this machine does not know the zone."""
    from datetime import UTC

    from jobrunner.core.timestamps import parse_time
    from jobrunner.errors import InvalidSpec
    from triggers.core.zones import offset_text, zone_of

    if not text:
        return ""
    try:
        known = zone_of(zone)
    except InvalidSpec:
        known = UTC
    return offset_text(int(parse_time(text)), known)


def schedules_table(rows: Sequence[Document]) -> str:
    return rows_table(
        ["NAME", "SCHEDULE", "TIME ZONE", "TARGET", "STATE", "NEXT"],
        rows,
        lambda row: [
            row["name"],
            row["schedule"],
            row["timeZone"],
            target_text(row),
            row["state"],
            shown(row["nextAt"], row["timeZone"]),
        ],
    )


def schedule_text(document: Document, schedule: Schedule, history: Sequence[Document]) -> str:
    from triggers.core.occurrences import parse_expression
    from triggers.core.words import describe

    head = pairs(
        [
            ("Name", schedule.name),
            ("Description", schedule.description),
            ("Schedule", f"{schedule.expression} ({schedule.time_zone})"),
            ("In words", describe(parse_expression(schedule.expression))),
            ("Target", target_text(document)),
            ("State", str(schedule.state)),
            ("Next", shown(document["nextAt"], schedule.time_zone)),
            ("Last attempt", shown(document["lastAttemptAt"], schedule.time_zone)),
            ("Overlap", f"{document['effectiveOverlap']}, limit {schedule.overlap_limit}"),
            ("Missed runs", str(schedule.catch_up)),
            ("Start", shown(document.get("start"), schedule.time_zone)),
            ("End", shown(document.get("end"), schedule.time_zone)),
            ("Retries", _retries(document.get("retryConfig") or {})),
            ("Pauses after", _failures(schedule.pause_after)),
            ("Delays", delays_text(schedule)),
            ("Failures in a row", str(schedule.failures) if schedule.failures else ""),
        ]
    )
    return f"{head}\n{occurrences_table(history, schedule.time_zone)}" if history else head


def _retries(config: Document) -> str:
    """Empty where a failure is the end."""
    count, within = config.get("retryCount") or 0, config.get("maxRetryDuration") or "0s"
    if not count and within == "0s":
        return ""
    said = f"{count}, " if count else ""
    bound = f", within {within}" if within != "0s" else ""
    return f"{said}{config['minBackoffDuration']} to {config['maxBackoffDuration']} apart{bound}"


def _failures(count: int | None) -> str:
    return "" if count is None else "1 failure" if count == 1 else f"{count} failures in a row"


def delays_text(schedule: Schedule) -> str:
    found = [
        f"{name} up to {duration_text(value)}"
        for name, value in (("spread", schedule.spread), ("jitter", schedule.jitter))
        if value
    ]
    return ", ".join(found)


def occurrences_table(rows: Sequence[Document], zone: str) -> str:
    return table(
        ["SCHEDULED", "STATE", "ENDED", "ORIGIN", "DELIVERY", "WHY"],
        [
            [
                shown(row["scheduled"], zone),
                row["state"],
                row.get("ended") or "",
                row["origin"],
                row["delivery"] or "",
                row["reason"],
            ]
            for row in rows
        ],
    )


def fires_table(rows: Sequence[Explained]) -> str:
    return table(
        ["SCHEDULED", "RUNS", "WHY"],
        [[row.local, "yes" if row.runs else "no", "; ".join(row.reasons)] for row in rows],
    )


def compared_table(rows: Sequence[Document], zone: str) -> str:
    def cells(row: Document) -> list[str]:
        told, happened = row["told"], row["happened"]
        said = "" if told is None else "runs" if told["runs"] else "does not run"
        state = "" if happened is None else happened["state"]
        ended = "" if happened is None else happened.get("ended") or ""
        why = "; ".join(told["reasons"]) if told is not None else ""
        reason = happened["reason"] if happened is not None else why
        return [shown(row["scheduled"], zone), said, state, ended, row["match"], reason]

    return table(
        ["SCHEDULED", "TOLD", "HAPPENED", "ENDED", "MATCH", "WHY"], [cells(row) for row in rows]
    )
