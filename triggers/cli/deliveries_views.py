"""Deliveries as text for people."""

from __future__ import annotations

from typing import Any

from jobrunner.cli.output import pairs, table
from jobrunner.cli.words import time_text
from jobrunner.core.timestamps import parse_time

Document = dict[str, Any]


def deliveries_table(rows: list[Document]) -> str:
    headers = ["DELIVERY", "STATE", "SOURCE", "TARGET", "ATTEMPTS", "CREATED", "REASON"]
    return table(headers, [_line(one) for one in rows])


def _source(one: Document) -> str:
    return f"{one['source']} {one['sourceName']}".strip()


def _line(one: Document) -> list[str]:
    if "damaged" in one:
        return [one["uid"], one["state"], _source(one), "", "", "", one["damaged"]]
    return [
        one["uid"],
        one["state"],
        _source(one),
        _place(one["target"]),
        str(one["attempts"] + one.get("unknownEnds", 0)),
        local(one["createTime"]),
        one.get("reason", ""),
    ]


def delivery_text(one: Document) -> str:
    text = pairs(
        [
            ("Delivery", one["uid"]),
            ("State", one["state"]),
            ("Reason", one.get("reason", "")),
            ("Source", _source(one)),
            ("Key", one["key"]),
            ("Order key", one.get("orderKey", "")),
            ("Target", _called(one["calls"])),
            ("Created", local(one["createTime"])),
            ("Not before", local(one.get("notBefore"))),
            ("Settled", local(one.get("settleTime"))),
            ("Attempts", str(one["attempts"])),
            ("Unknown ends", str(one.get("unknownEnds", ""))),
            ("Execution", one.get("execution", "")),
            ("Replays", one.get("parent", "")),
            ("Replayed by", one.get("replayedBy", "")),
            ("Held by", one.get("holder", "")),
        ]
    )
    if not one["attemptLog"]:
        return text
    rows = [
        [
            str(attempt["number"]),
            local(attempt["startTime"]),
            str(attempt.get("status", "")),
            _ruled(attempt, one["state"]),
            _came(attempt),
        ]
        for attempt in one["attemptLog"]
    ]
    return f"{text}\n{table(['ATTEMPT', 'STARTED', 'STATUS', 'RULING', 'WHAT CAME'], rows)}"


def _ruled(attempt: Document, state: str) -> str:
    """What followed from the attempt."""
    if attempt["ruling"] != "retry":
        return str(attempt["ruling"])
    at = attempt.get("retryTime")
    if at:
        return f"again at {local(at)}"
    return "given up" if state in {"DEAD", "EXPIRED"} else "retry"


def _came(attempt: Document) -> str:
    """What went wrong, or the beginning of the answer: its status has a column of its own."""
    error = attempt.get("error", "")
    answer = " ".join(attempt.get("answer", "").split())[:120]
    if answer and error == f"HTTP {attempt.get('status')}":
        return answer
    return error or answer


def _place(target: str) -> str:
    return _by_name(f"http://{target.removesuffix(':80')}", target)


def _by_name(url: str, otherwise: str | None = None) -> str:
    """A service that goes by its name has no address before it is called."""
    from triggers.core.service_urls import read_pending_url

    pending = read_pending_url(url)
    if pending is None:
        return url if otherwise is None else otherwise
    scope, name, path = pending
    return f"service {name} ({scope.region}){f', {path}' if path else ''}"


def _called(calls: Document) -> str:
    if "httpTarget" in calls:
        return f"{calls['httpTarget']['httpMethod']} {_by_name(calls['httpTarget']['uri'])}"
    if "jobTarget" in calls:
        job = calls["jobTarget"]
        place = f"{job['project']}, {job['region']}"
        return f"job {job['job']} ({place}), acknowledged on {job['acknowledgedOn']}"
    return str(calls["pubsubTarget"]["topicName"])


def local(text: str | None) -> str:
    return time_text(parse_time(text)) if text else ""
