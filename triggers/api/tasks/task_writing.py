"""Tasks as documents of the Cloud Tasks API. Pure."""

from __future__ import annotations

from base64 import b64encode

from jobrunner.core.documents import Document, filled
from jobrunner.core.durations import duration
from jobrunner.core.timestamps import format_time
from triggers.api.http_targets import headers_document, token_document
from triggers.api.tasks.names import task_name
from triggers.api.tasks.queue_writing import retry_document
from triggers.core.queues import DEFAULT_DEADLINE, Queue, Task
from triggers.core.records import DeliveryAttempt, HttpTarget, JobTarget, QueueRetry, Ruling
from triggers.core.verdict import attempt_code

USER_AGENT = "Google-Cloud-Tasks"
RUN_HOST = "https://run.googleapis.com"
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""``google.rpc.Code`` by number."""


def task_document(task: Task, queue: Queue, *, full: bool) -> Document:
    """Without the body of the request unless it is ``full``. ``retryConfig`` is shown where it is
    not that of the queue."""
    delivery = task.delivery
    deadline = DEFAULT_DEADLINE
    if isinstance(delivery.target, HttpTarget):
        deadline = delivery.target.deadline
    said = filled(
        name=task_name(delivery.scope, task.queue, task.name),
        httpRequest=_request(task, full=full),
        scheduleTime=format_time(task.schedule_time),
        createTime=format_time(delivery.created_at),
        dispatchDeadline=duration(deadline),
        dispatchCount=task.dispatches,
        responseCount=task.responses,
        view="FULL" if full else "BASIC",
        retryConfig=_retry(task, queue),
    )
    if delivery.first_attempt_at is not None:
        said["firstAttempt"] = {"dispatchTime": format_time(delivery.first_attempt_at)}
    if last := _last_attempt(task):
        said["lastAttempt"] = last
    return said


def _request(task: Task, *, full: bool) -> Document:
    delivery = task.delivery
    match delivery.target:
        case HttpTarget() as target:
            body = target.body if delivery.payload is None else delivery.payload.body
            brought = () if delivery.payload is None else delivery.payload.headers
            return {
                **filled(
                    url=target.url,
                    httpMethod=target.method,
                    headers=headers_document((*target.headers, *brought), USER_AGENT),
                    body=b64encode(body).decode() if full else "",
                ),
                **token_document(target.token, target.url),
            }
        case JobTarget(job, project, region):
            # What the same would be at Google.
            url = f"{RUN_HOST}/v2/projects/{project}/locations/{region}/jobs/{job}:run"
            return {"url": url, "httpMethod": "POST"}
        case _:
            return {}


def _retry(task: Task, queue: Queue) -> Document:
    retry = task.delivery.retry
    if not isinstance(retry, QueueRetry) or retry == queue.retry:
        return {}
    return retry_document(retry)


def _last_attempt(task: Task) -> Document:
    """The one that is on its way, or else the last one that ended."""
    started = task.delivery.last_attempt_at
    last = task.last
    if last is None or (started is not None and started > last.started_at):
        return {} if started is None else {"dispatchTime": format_time(started)}
    times = filled(
        scheduleTime=format_time(last.scheduled_at) if last.scheduled_at else None,
        dispatchTime=format_time(last.started_at),
        responseTime=None if last.ended_at is None else format_time(last.ended_at),
    )
    return times if last.ended_at is None else {**times, "responseStatus": _status(last)}


def _status(attempt: DeliveryAttempt) -> Document:
    if attempt.ruling is Ruling.ACCEPT:
        return {}
    code = attempt_code(attempt)
    answered = attempt.status is not None
    words = f"HTTP status code {attempt.status}" if answered else attempt.error
    return filled(code=code, message=f"{_CODES[code]}({code}): {words}")
