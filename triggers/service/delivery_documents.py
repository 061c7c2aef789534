"""Deliveries as people and programs see them: JSON documents. What may be a secret (bodies, values
of headers) is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobrunner.core.timestamps import format_time
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    EventRetry,
    Headers,
    HttpTarget,
    JobTarget,
    ManualRetry,
    PubsubTarget,
    PushRetry,
    QueueRetry,
    RetryPolicy,
    ScheduleRetry,
    Target,
)
from triggers.core.states import DeliveryState
from triggers.ports import Damaged, place_of

Document = dict[str, Any]


def summary(delivery: Delivery) -> Document:
    """One line of a list. A field that has no value is left out."""
    return _present(
        {
            "uid": delivery.uid,
            "project": delivery.project,
            "region": delivery.region,
            "source": delivery.source.value,
            "sourceName": delivery.source_name,
            "key": delivery.key,
            "target": place_of(delivery.target),
            "state": delivery.state.value,
            "reason": delivery.reason or None,
            "attempts": delivery.attempts,
            "unknownEnds": delivery.unknown or None,
            "lastStatus": delivery.last_status,
            "createTime": time(delivery.created_at),
            "notBefore": (
                time(delivery.not_before) if delivery.state is DeliveryState.PENDING else None
            ),
            "settleTime": time(delivery.settled_at),
            "orderKey": delivery.order_key,
            "execution": delivery.execution,
            "parent": delivery.parent,
        }
    )


def damaged(one: Damaged) -> Document:
    return {
        "uid": one.uid,
        "project": one.project,
        "region": one.region,
        "source": one.source,
        "sourceName": one.source_name,
        "state": one.state,
        "damaged": one.why,
    }


def description(
    delivery: Delivery, attempts: Sequence[DeliveryAttempt], replay: Delivery | None
) -> Document:
    """Everything but secrets. ``replay`` is the delivery that replays this one."""
    payload = delivery.payload
    return summary(delivery) | _present(
        {
            "calls": _target(delivery.target),
            "retry": _retry(delivery.retry),
            "payload": None
            if payload is None
            else {"bytes": len(payload.body), "headers": _names(payload.headers)},
            "queueTime": time(delivery.queued_at or None),
            "firstAttemptTime": time(delivery.first_attempt_at),
            "lastAttemptTime": time(delivery.last_attempt_at),
            "runTry": delivery.run_try or None,
            "holder": delivery.lease_owner,
            "replayedBy": replay.uid if replay is not None else None,
            "attemptLog": [_attempt(attempt) for attempt in attempts],
        }
    )


def time(at: float | None) -> str | None:
    return None if at is None else format_time(at)


def _target(target: Target) -> Document:
    match target:
        case HttpTarget():
            return {
                "httpTarget": _present(
                    {
                        "uri": target.url,
                        "httpMethod": target.method,
                        "headers": _names(target.headers) or None,
                        "bytes": len(target.body),
                        "attemptDeadline": f"{target.deadline:g}s",
                        "serviceAccount": (
                            None if target.token is None else target.token.service_account
                        ),
                    }
                )
            }
        case JobTarget():
            return {
                "jobTarget": {
                    "job": target.job,
                    "project": target.project,
                    "region": target.region,
                    "acknowledgedOn": target.ack.value,
                }
            }
        case PubsubTarget():
            return {"pubsubTarget": {"topicName": target.topic, "bytes": len(target.data)}}


_KINDS: dict[type[RetryPolicy], str] = {
    ScheduleRetry: "schedule",
    QueueRetry: "queue",
    PushRetry: "push",
    EventRetry: "event",
    ManualRetry: "manual",
}


def _retry(policy: RetryPolicy) -> Document:
    fields = {_camel(name): value for name, value in asdict(policy).items()}
    return {"kind": _KINDS[type(policy)], **_present(fields)}


def _attempt(attempt: DeliveryAttempt) -> Document:
    return _present(
        {
            "number": attempt.number,
            "startTime": time(attempt.started_at),
            "endTime": time(attempt.ended_at),
            "status": attempt.status,
            "ruling": "unknown" if attempt.ruling is None else attempt.ruling.value,
            "error": attempt.error or None,
            "answer": attempt.excerpt.decode("utf-8", "replace") or None,
            "execution": attempt.execution,
            "retryTime": time(attempt.retry_at),
        }
    )


def _names(headers: Headers) -> list[str]:
    return [name for name, _ in headers]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _present(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}
