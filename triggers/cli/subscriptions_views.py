"""Subscriptions as text for people."""

from __future__ import annotations

from typing import Any

from jobrunner.cli.output import pairs
from jobrunner.cli.words import time_text
from jobrunner.core.timestamps import parse_time
from triggers.cli.rooms import rows_table

Document = dict[str, Any]


def subscriptions_table(rows: list[Document]) -> str:
    headers = ["SUBSCRIPTION", "STATE", "INTAKE", "CALLS", "ACK", "TOPIC"]
    return rows_table(
        headers,
        rows,
        lambda row: [
            row["name"],
            row["state"],
            row["intake"],
            calls(row),
            row["acknowledge"],
            row["topic"].rpartition("/")[2],
        ],
    )


def subscription_text(row: Document) -> str:
    messages = row["messages"]
    letters, retry = row["deadLetterPolicy"], row["retryPolicy"]
    counts = ", ".join(
        f"{count} {word}" for word, count in messages.items() if word != "waiting" and count
    )
    backoff = f"{retry['minimumBackoff']} to {retry['maximumBackoff']}" if retry else ""
    dead = ""
    if letters:
        dead = f"{letters['deadLetterTopic']} after {letters['maxDeliveryAttempts']} attempts"
    return pairs(
        [
            ("Subscription", row["name"]),
            ("State", row["state"]),
            ("Push URL", row.get("pushUrl") or row.get("pushPath", "")),
            ("Calls", calls(row)),
            ("Topic", row["topic"]),
            ("Pub/Sub name", row["subscription"]),
            ("Intake", row["intake"]),
            ("Accepts", row["accepts"]),
            ("Sends", row["sends"]),
            ("Filter", row["filter"]),
            ("Acknowledged", f"when {row['acknowledge']}"),
            ("Ack deadline", f"{row['ackDeadlineSeconds']}s"),
            ("Back-off", backoff),
            ("Dead letters", dead),
            ("Ordered", "by key" if row["enableMessageOrdering"] else ""),
            ("Senders show", _shows(row)),
            ("Waiting", f"{messages['waiting']} of {row['backlog']}"),
            ("Since start", counts),
            ("Trouble", row.get("trouble", "")),
            ("Created", time_text(parse_time(row["createdAt"]))),
        ]
    )


def calls(row: Document) -> str:
    if "jobTarget" in row:
        return f"job {row['jobTarget']['job']}"
    return str(row["httpTarget"]["uri"])


def _shows(row: Document) -> str:
    found = ["?token="] if row["hasPushToken"] else []
    check = row["senderToken"]
    if check:
        who = f" of {check['serviceAccountEmail']}" if check["serviceAccountEmail"] else ""
        found.append(f"an ID token{who}, keys: {check['keys']}")
    return " and ".join(found)
