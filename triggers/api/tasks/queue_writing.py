"""Queues as documents of the Cloud Tasks API. Pure."""

from __future__ import annotations

from jobrunner.core.documents import Document, filled
from jobrunner.core.durations import duration
from jobrunner.core.timestamps import format_time
from triggers.api.http_targets import token_document
from triggers.api.tasks.names import queue_name
from triggers.core.queues import HttpOverride, Queue, UriOverride
from triggers.core.records import QueueRetry


def queue_document(queue: Queue) -> Document:
    """What is zero or empty is left out."""
    said = written(queue)
    return filled(
        name=said["name"],
        httpTarget=said.get("httpTarget"),
        rateLimits=said["rateLimits"],
        retryConfig=_without_zeros(retry_document(queue.retry)),
        state=queue.state.value,
        purgeTime=None if queue.purged_at is None else format_time(queue.purged_at),
        stackdriverLoggingConfig=filled(samplingRatio=queue.sampling),
    )


def written(queue: Queue) -> Document:
    """What a caller can write, complete: zeros too."""
    document: Document = {
        "name": queue_name(queue.scope, queue.name),
        "rateLimits": {
            "maxDispatchesPerSecond": queue.limits.per_second,
            "maxBurstSize": queue.limits.burst,
            "maxConcurrentDispatches": queue.limits.concurrent,
        },
        "retryConfig": retry_document(queue.retry),
        "stackdriverLoggingConfig": {"samplingRatio": queue.sampling},
    }
    if queue.http is not None:
        document["httpTarget"] = _override(queue.http)
    return document


def retry_document(retry: QueueRetry) -> Document:
    return {
        "maxAttempts": retry.max_attempts,
        "maxRetryDuration": duration(retry.max_retry_duration),
        "minBackoff": duration(retry.min_backoff),
        "maxBackoff": duration(retry.max_backoff),
        "maxDoublings": retry.max_doublings,
    }


def _without_zeros(document: Document) -> Document:
    return {key: value for key, value in document.items() if value not in (0, "0s")}


def _override(http: HttpOverride) -> Document:
    headers = [{"header": filled(key=key, value=value)} for key, value in http.headers]
    return {
        **filled(
            uriOverride=None if http.uri is None else _uri(http.uri),
            httpMethod=http.method,
            headerOverrides=headers,
        ),
        **token_document(http.token),
    }


def _uri(uri: UriOverride) -> Document:
    """A port is an int64, which is text in JSON."""
    return filled(
        scheme=uri.scheme.upper(),
        host=uri.host,
        port=None if uri.port is None else str(uri.port),
        pathOverride=filled(path=uri.path),
        queryOverride=filled(queryParams=uri.query),
        uriOverrideEnforceMode=uri.enforce.value,
    )
