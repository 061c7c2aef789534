"""What a test sees of executions and deliveries: plain values, as they were when it asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobrunner.core import records
from jobrunner.core.timestamps import parse_time


@dataclass(frozen=True, slots=True)
class Attempt:
    """One launch of a task. ``ended`` is ``None`` while it runs."""

    task: int
    number: int
    state: str
    exit_code: int | None
    signal: int | None
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Execution:
    """``state`` is PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED; ``tasks`` is how many there
    are, ``succeeded``, ``failed`` and ``cancelled`` count them. ``env`` is the environment that its
    container was given by the job and by overrides."""

    name: str
    uid: str
    job: str
    state: str
    tasks: int
    succeeded: int
    failed: int
    cancelled: int
    message: str
    created: datetime | None
    completed: datetime | None
    args: tuple[str, ...]
    env: Mapping[str, str]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a delivery. ``status`` is that of the answer, ``None`` without one;
    ``ruling`` is accept, retry, reject or unknown."""

    number: int
    status: int | None
    ruling: str
    error: str
    started: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """``source`` is schedule, queue, subscription, event-trigger or manual, ``name`` the one it is
    from; ``state`` is PENDING, SENDING, FOLLOWING, DELIVERED, DEAD, EXPIRED or CANCELLED;
    ``execution`` the uid of what it started."""

    uid: str
    source: str
    name: str
    target: str
    state: str
    reason: str
    last_status: int | None
    execution: str
    created: datetime | None
    tries: tuple[Try, ...]


def execution_of(found: records.Execution, attempts: Sequence[records.Attempt]) -> Execution:
    containers = found.template.template.containers
    first = containers[0] if containers else None
    return Execution(
        name=found.name,
        uid=found.uid,
        job=found.job_name,
        state=found.state.value,
        tasks=found.task_count,
        succeeded=found.counters.succeeded,
        failed=found.counters.failed,
        cancelled=found.counters.cancelled,
        message=found.message,
        created=_at(found.created_at),
        completed=_at(found.completed_at),
        args=() if first is None else tuple(first.args or ()),
        env={} if first is None else {one.name: one.value or "" for one in first.env},
        attempts=tuple(_attempt(one) for one in attempts),
    )


def _attempt(found: records.Attempt) -> Attempt:
    return Attempt(
        found.index,
        found.number,
        found.state.value,
        found.exit_code,
        found.signal,
        _at(found.launched_at),
        _at(found.ended_at),
    )


def delivery_of(document: Mapping[str, Any]) -> Delivery:
    return Delivery(
        uid=document["uid"],
        source=document["source"],
        name=document["sourceName"],
        target=document["target"],
        state=document["state"],
        reason=document.get("reason", ""),
        last_status=document.get("lastStatus"),
        execution=document.get("execution", ""),
        created=instant(document.get("createTime")),
        tries=tuple(
            Try(
                one["number"],
                one.get("status"),
                one["ruling"],
                one.get("error", ""),
                instant(one.get("startTime")),
            )
            for one in document.get("attemptLog", ())
        ),
    )


def instant(text: str | None) -> datetime | None:
    return None if text is None else _at(parse_time(text))


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
