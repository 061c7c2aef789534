"""Queues and their items as text for people."""

from __future__ import annotations

from typing import Any

from jobrunner.cli.output import pairs
from jobrunner.cli.words import time_text
from jobrunner.core.timestamps import parse_time
from triggers.cli.rooms import rows_table

Document = dict[str, Any]


def queues_table(rows: list[Document]) -> str:
    headers = ["QUEUE", "STATE", "PER SECOND", "AT ONCE", "ATTEMPTS"]
    return rows_table(headers, rows, _line)


def _line(row: Document) -> list[str]:
    limits = row["rateLimits"]
    return [
        row["name"],
        row["state"],
        f"{limits['maxDispatchesPerSecond']:g}",
        str(limits["maxConcurrentDispatches"]),
        _attempts(row),
    ]


def queue_text(row: Document) -> str:
    limits, retry = row["rateLimits"], row["retryConfig"]
    least, most, doublings = (retry[key] for key in ("minBackoff", "maxBackoff", "maxDoublings"))
    backoff = f"{least} to {most}, doubled {doublings} times"
    lasting = retry["maxRetryDuration"]
    return pairs(
        [
            ("Queue", row["name"]),
            ("State", row["state"]),
            ("Items", str(row["items"])),
            ("Per second", f"{limits['maxDispatchesPerSecond']:g}"),
            ("Burst", str(limits["maxBurstSize"])),
            ("At once", str(limits["maxConcurrentDispatches"])),
            ("Attempts", _attempts(row)),
            ("Retried for", "" if lasting == "0s" else lasting),
            ("Back-off", backoff),
            ("Override", _override(row["httpTarget"])),
            ("Created", _local(row["createdAt"])),
            ("Purged", _local(row["purgedAt"])),
        ]
    )


def items_table(rows: list[Document]) -> str:
    headers = ["ITEM", "STATE", "CALLS", "DUE", "DISPATCHES", "REASON"]
    return rows_table(
        headers,
        rows,
        lambda row: [
            row["name"],
            row["state"],
            _calls(row),
            _local(row["scheduleTime"]),
            str(row["dispatches"]),
            row["reason"],
        ],
    )


def item_text(row: Document) -> str:
    last = row.get("lastAttempt", {})
    return pairs(
        [
            ("Item", row["name"]),
            ("Queue", row["queue"]),
            ("State", row["state"]),
            ("Calls", _calls(row)),
            ("Due", _local(row["scheduleTime"])),
            ("Created", _local(row["createTime"])),
            ("Dispatches", str(row["dispatches"])),
            ("Responses", str(row["responses"])),
            ("Last attempt", _local(last.get("startTime"))),
            ("Last status", str(last.get("status", ""))),
            ("Last error", last.get("error", "")),
            ("Execution", row.get("execution", "")),
            ("Delivery", row["delivery"]),
        ]
    )


def _calls(row: Document) -> str:
    if "jobTarget" in row:
        return f"job {row['jobTarget']['job']}"
    return f"{row['httpTarget']['httpMethod']} {row['httpTarget']['uri']}"


def _attempts(row: Document) -> str:
    most = row["retryConfig"]["maxAttempts"]
    return "unlimited" if most == -1 else str(most)


def _override(http: Document | None) -> str:
    return "" if http is None else ", ".join(http)


def _local(text: str | None) -> str:
    return time_text(parse_time(text)) if text else ""
