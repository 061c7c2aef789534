"""Event triggers and events as text for people."""

from __future__ import annotations

import json
import shlex
from typing import Any

from jobrunner.cli.output import clean, pairs
from jobrunner.cli.words import time_text
from jobrunner.core.timestamps import parse_time
from triggers.cli.rooms import rows_table
from triggers.core.events import HOPS
from triggers.core.lifecycle_events import goes_round

Document = dict[str, Any]
LONGEST = 100
"""Characters of data in a line."""


def triggers_table(rows: list[Document]) -> str:
    headers = ["TRIGGER", "EVENTS", "DESTINATION", "READY"]
    return rows_table(
        headers,
        rows,
        lambda row: [
            row["name"], filters_text(row), destination_text(row["destination"]), _ready(row),
        ],
    )  # fmt: skip


def trigger_text(row: Document) -> str:
    retry, letters = row["retryPolicy"], row["deadLetterPolicy"]
    once = retry["maxAttempts"] == 1
    backoff = f"{retry['minBackoff']} to {retry['maxBackoff']}, for {retry['lifetime']}"
    return pairs(
        [
            ("Trigger", row["name"]),
            ("Filters", filters_text(row)),
            ("Expression", row["expression"]),
            ("Channel", row["channel"]),
            ("Topic", row["transport"]["topic"]),
            ("Destination", destination_text(row["destination"])),
            *_order_of(row["destination"]),
            ("Account", row["serviceAccount"]),
            ("Retries", "none" if once else backoff),
            ("Dead letters", letters["deadLetterTopic"] if letters else ""),
            ("Deadline", row["deadline"]),
            ("Backlog", str(row.get("backlog", ""))),
            ("Labels", ", ".join(f"{key}={value}" for key, value in row["labels"].items())),
            *(
                ("Problem", f"{one['message']} ({one['code']})")
                for one in row["conditions"].values()
            ),
            ("Created", time_text(parse_time(row["createdAt"]))),
            ("Changed", time_text(parse_time(row["updatedAt"]))),
        ]
    )


def filters_text(row: Document) -> str:
    return ", ".join(
        f"{one['attribute']} {'~' if one.get('operator') else '='} {one['value']}"
        for one in row["eventFilters"]
    )


def destination_text(destination: Document) -> str:
    run = destination.get("cloudRun")
    if run is None:
        endpoint = destination.get("httpEndpoint")
        return endpoint["uri"] if endpoint else f"topic {destination['topic']}"
    if "job" in run:
        return f"job {run['job']}"
    path = run["path"]
    return f"service {run['service']}" + (f" /{path.lstrip('/')}" if path else "")


def _order_of(destination: Document) -> list[tuple[str, str]]:
    """What a job gets beyond the event, and when the event is done with."""
    run = destination.get("cloudRun") or {}
    if "job" not in run:
        return []
    return [
        ("Args", shlex.join(run.get("args") or ())),
        (
            "Variables",
            ", ".join(f"{name}={value}" for name, value in (run.get("env") or {}).items()),
        ),
        ("Tasks", str(run.get("tasks") or "")),
        ("Task timeout", str(run.get("taskTimeout") or "")),
        ("Acknowledged", f"on {run['acknowledge']}" if run.get("acknowledge") else ""),
    ]


def rehearsal_text(name: str, found: Document) -> str:
    """Who said yes and who said no, each on a line."""
    said = "would get it" if found["matches"] else "would not get it"
    lines = [f"Trigger '{name}' {said}."]
    for reason in found["reasons"]:
        lines.append(f"  {'no ' if reason in found['refusals'] else 'yes'}  {clean(reason)}")
    for key, value in found["captures"].items():
        lines.append(f"  {key} = {clean(value)}")
    return "\n".join(lines) + "\n"


def event_line(entry: Document) -> str:
    """One event, and what it led to."""
    event = entry["event"]
    words = [time_text(parse_time(entry["time"]))[11:]]
    if entry["position"]:
        words.append(f"#{entry['position']}")
    words += [event["type"], event["source"], f"id={event['id']}"]
    if "subject" in event:
        words.append(f"subject={event['subject']}")
    if entry["channel"]:
        words.append(f"channel={entry['channel'].rpartition('/')[2]}")
    led = [_led(one) for one in entry["triggers"]]
    why = "" if led else goes_round(event.get(HOPS) or 0)
    nobody = f"nobody: {why}" if why else "nobody"
    words.append(f"-> {', '.join(led) if led else nobody}")
    return clean("  ".join(words)) + "\n"


def event_text(entry: Document) -> str:
    event = entry["event"]
    rows = [
        ("Event", str(entry["position"])),
        ("Came", time_text(parse_time(entry["time"]))),
        ("Channel", entry["channel"]),
    ]
    rows += [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in event.items()
        if name != "specversion"
    ]
    if entry["bytes"] and "data" not in event and "data_base64" not in event:
        rows.append(("data", f"{entry['bytes']} bytes, too many for the log"))
    rows += [("Trigger", _led(one)) for one in entry["triggers"]]
    return pairs(rows)


def _led(one: Document) -> str:
    if "problem" in one:
        return f"{one['trigger']} (not sent: {one['problem']})"
    again = ", as before" if one["again"] else ""
    return f"{one['trigger']} (delivery {one['delivery']}{again})"


def _ready(row: Document) -> str:
    problems = [one["message"] for one in row["conditions"].values()]
    return f"no: {problems[0]}" if problems else "yes"
