"""Schedules as jobs of the Scheduler API. Pure."""

from __future__ import annotations

from base64 import b64encode

from jobrunner.core.documents import Document, filled
from jobrunner.core.durations import duration
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time
from triggers.api.http_targets import headers_document, token_document
from triggers.api.scheduler.names import full_name, name_of
from triggers.core.records import (
    DeliveryAttempt,
    HttpTarget,
    JobTarget,
    PubsubTarget,
    Ruling,
    Schedule,
    ScheduleRetry,
    ScheduleState,
    Target,
    Unreadable,
)
from triggers.core.verdict import attempt_code
from triggers.service.schedules import Seen

USER_AGENT = "Google-Cloud-Scheduler"
RUN_HOST = "https://run.googleapis.com"
NEVER_ATTEMPTED = -1
DATA_LOSS = 15


def job_document(seen: Seen) -> Document:
    """What is empty is left out; the status of an attempt that went well is ``{}``."""
    schedule = seen.schedule
    delivery = seen.delivery
    times = {
        "userUpdateTime": format_time(schedule.updated_at),
        "scheduleTime": None if seen.next_at is None else format_time(seen.next_at),
        "lastAttemptTime": None
        if delivery is None or delivery.last_attempt_at is None
        else format_time(delivery.last_attempt_at),
    }
    said = filled(**written(schedule), **times, state=schedule.state.value)
    return {**said, "retryConfig": filled(**retry(schedule)), "status": status(seen.attempt)}


def damaged_document(one: Unreadable) -> Document:
    """Google's state for a job that the system cannot keep, and why."""
    return {
        "name": full_name(Scope(one.project, one.region), one.name),
        "state": ScheduleState.UPDATE_FAILED.value,
        "status": {"code": DATA_LOSS, "message": one.why},
    }


def written(schedule: Schedule) -> Document:
    """What a caller can write, complete: zeros too."""
    target = schedule.target
    document: Document = {
        "name": name_of(schedule),
        "description": schedule.description,
        "schedule": schedule.expression,
        "timeZone": schedule.time_zone,
        "retryConfig": retry(schedule),
        **target_document(target),
    }
    if isinstance(target, HttpTarget):
        document["attemptDeadline"] = duration(target.deadline)
    return document


def target_document(target: Target) -> Document:
    match target:
        case HttpTarget():
            return {"httpTarget": _http(target)}
        case PubsubTarget():
            data = b64encode(target.data).decode()
            attributes = dict(target.attributes)
            return {
                "pubsubTarget": filled(topicName=target.topic, data=data, attributes=attributes)
            }
        case JobTarget():
            # What the same would be at Google.
            place = f"projects/{target.project}/locations/{target.region}/jobs/{target.job}"
            url = f"{RUN_HOST}/v2/{place}:run"
            return {"httpTarget": {"uri": url, "httpMethod": "POST"}}


def retry(schedule: Schedule) -> Document:
    policy = schedule.retry
    if not isinstance(policy, ScheduleRetry):
        return {}
    return {
        "retryCount": policy.retry_count,
        "maxRetryDuration": duration(policy.max_retry_duration),
        "minBackoffDuration": duration(policy.min_backoff),
        "maxBackoffDuration": duration(policy.max_backoff),
        "maxDoublings": policy.max_doublings,
    }


def status(attempt: DeliveryAttempt | None) -> Document:
    """Of the last attempt that ended."""
    if attempt is None:
        return {"code": NEVER_ATTEMPTED}
    if attempt.ruling is Ruling.ACCEPT:
        return {}
    return filled(code=attempt_code(attempt), message=attempt.error)


def _http(target: HttpTarget) -> Document:
    document = filled(
        uri=target.url,
        httpMethod=target.method,
        headers=headers_document(target.headers, USER_AGENT),
        body=b64encode(target.body).decode(),
    )
    return {**document, **token_document(target.token, target.url)}
