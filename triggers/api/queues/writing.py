"""Queues and queue items as JSON documents. Pure.

What can be written is named as in YAML of kind ``Queue``: a document that was read can be written
again.
"""

from __future__ import annotations

from typing import Any

from jobrunner.core.durations import duration
from jobrunner.core.timestamps import format_time
from triggers.core.queues import HttpOverride, Queue, Task
from triggers.core.records import OAuthToken, OidcToken
from triggers.service.delivery_documents import description

Document = dict[str, Any]


def queue_document(queue: Queue, items: int | None = None) -> Document:
    """``items`` is how many tasks it has; a list does not count them."""
    found: Document = {
        "name": queue.name,
        "project": queue.project,
        "region": queue.region,
        "uid": queue.uid,
        "state": str(queue.state),
        **settings_document(queue),
        "createdAt": format_time(queue.created_at),
        "updatedAt": format_time(queue.updated_at),
        "purgedAt": None if queue.purged_at is None else format_time(queue.purged_at),
        "resourceVersion": queue.resource_version,
    }
    return found if items is None else {**found, "items": items}


def settings_document(queue: Queue) -> Document:
    """What people set, complete."""
    limits, retry = queue.limits, queue.retry
    return {
        "rateLimits": {
            "maxDispatchesPerSecond": limits.per_second,
            "maxBurstSize": limits.burst,
            "maxConcurrentDispatches": limits.concurrent,
        },
        "retryConfig": {
            "maxAttempts": retry.max_attempts,
            "maxRetryDuration": duration(retry.max_retry_duration),
            "minBackoff": duration(retry.min_backoff),
            "maxBackoff": duration(retry.max_backoff),
            "maxDoublings": retry.max_doublings,
        },
        "httpTarget": None if queue.http is None else _override(queue.http),
    }


def item_document(task: Task) -> Document:
    """Everything but secrets: of headers the names."""
    delivery = task.delivery
    attempts = [] if task.last is None else [task.last]
    whole = description(delivery, attempts, None)
    found: Document = {
        "name": task.name,
        "queue": task.queue,
        "project": delivery.project,
        "region": delivery.region,
        "state": whole["state"],
        "reason": whole.get("reason", ""),
        "scheduleTime": format_time(task.schedule_time),
        "createTime": format_time(delivery.created_at),
        "dispatches": task.dispatches,
        "responses": task.responses,
        "delivery": delivery.uid,
        **whole["calls"],
    }
    if whole["attemptLog"]:
        found["lastAttempt"] = whole["attemptLog"][0]
    if delivery.execution is not None:
        found["execution"] = delivery.execution
    return found


def _override(http: HttpOverride) -> Document:
    found: Document = {}
    if http.uri is not None:
        uri = http.uri
        found["uriOverride"] = {
            key: value
            for key, value in (
                ("scheme", uri.scheme),
                ("host", uri.host),
                ("port", uri.port),
                ("path", uri.path),
                ("query", uri.query),
                ("enforce", str(uri.enforce)),
            )
            if value
        }
    if http.method:
        found["httpMethod"] = http.method
    if http.headers:
        found["headers"] = dict(http.headers)
    match http.token:
        case OidcToken(account, audience):
            found["oidcToken"] = {"serviceAccountEmail": account}
            if audience:
                found["oidcToken"]["audience"] = audience
        case OAuthToken(account, scope):
            found["oauthToken"] = {"serviceAccountEmail": account, "scope": scope}
    return found
