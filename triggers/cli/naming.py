"""Errors in the words that were typed: a field that came from a flag is named by both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jobrunner.errors import InvalidSpec, Violation

_HTTP = {
    "httpTarget.httpMethod": "--http-method",
    "httpTarget.body": "--message-body",
    "httpTarget.headers": "--headers",
    "httpTarget.oidcToken": "--oidc-service-account-email",
    "httpTarget.oidcToken.audience": "--oidc-token-audience",
    "httpTarget.oauthToken": "--oauth-service-account-email",
    "httpTarget.oauthToken.scope": "--oauth-token-scope",
}
_JOB = {
    "jobTarget.job": "--job",
    "jobTarget.args": "--args",
    "jobTarget.env": "--update-env-vars",
    "jobTarget.tasks": "--tasks",
    "jobTarget.taskTimeout": "--task-timeout",
    "jobTarget.acknowledge": "--acknowledge",
}
SCHEDULE: Mapping[str, str] = {
    "timeZone": "--time-zone",
    "attemptDeadline": "--attempt-deadline",
    "overlapLimit": "--overlap-limit",
    "overlapScope": "--overlap-scope",
    "missedRunsLimit": "--missed-runs-limit",
    "missedRunsWindow": "--missed-runs-window",
    "pauseAfter": "--pause-after",
    "retryConfig.retryCount": "--max-retry-attempts",
    "retryConfig.maxRetryDuration": "--max-retry-duration",
    "retryConfig.minBackoffDuration": "--min-backoff",
    "retryConfig.maxBackoffDuration": "--max-backoff",
    "retryConfig.maxDoublings": "--max-doublings",
    "httpTarget.uri": "--uri",
    **_HTTP,
    **_JOB,
    "pubsubTarget": "--message-body or --attributes",
    "pubsubTarget.topicName": "--topic",
    "pubsubTarget.data": "--message-body",
    "pubsubTarget.attributes": "--attributes",
}
QUEUE: Mapping[str, str] = {
    "rateLimits.maxDispatchesPerSecond": "--max-dispatches-per-second",
    "rateLimits.maxBurstSize": "--max-burst-size",
    "rateLimits.maxConcurrentDispatches": "--max-concurrent-dispatches",
    "retryConfig.maxAttempts": "--max-attempts",
    "retryConfig.maxRetryDuration": "--max-retry-duration",
    "retryConfig.minBackoff": "--min-backoff",
    "retryConfig.maxBackoff": "--max-backoff",
    "retryConfig.maxDoublings": "--max-doublings",
}
ITEM: Mapping[str, str] = {
    "task.name": "--name",
    "task.scheduleTime": "--schedule-time or --delay",
    "scheduleTime": "--schedule-time",
    "task.dispatchDeadline": "--dispatch-deadline",
    "dispatchDeadline": "--dispatch-deadline",
    "httpTarget.uri": "--url",
    "task.httpRequest.url": "--url",
    **_HTTP,
    **{name.replace("httpTarget", "task.httpRequest"): flag for name, flag in _HTTP.items()},
    **_JOB,
    **{f"task.{name}": flag for name, flag in _JOB.items()},
}
DELIVERY: Mapping[str, str] = {
    "orderKey": "--order-key",
    "attemptDeadline": "--attempt-deadline",
    "http.attemptDeadline": "--attempt-deadline",
    "retry.retryCount": "--max-retry-attempts",
    "retry.maxRetryDuration": "--max-retry-duration",
    "retry.minBackoff": "--min-backoff",
    "retry.maxBackoff": "--max-backoff",
    "retry.maxDoublings": "--max-doublings",
    "httpTarget.uri": "URL",
    "httpTarget.httpMethod": "--http-method",
    "httpTarget.body": "--data",
    "httpTarget.headers": "--header",
}

_LAST = re.compile(r"(?:\.[^.\[\]]*|\[.*\])\Z", re.DOTALL)


@contextmanager
def flags_named(flags: Mapping[str, str]) -> Iterator[None]:
    """Within, an InvalidSpec names the flag before each field that ``flags`` knows, itself or as a
    part of something: a header as ``--headers (httpTarget.headers[X-A])``."""
    try:
        yield
    except InvalidSpec as error:
        found = [Violation(_named(one.field, flags), one.message) for one in error.violations]
        raise InvalidSpec(found, hint=error.hint) from None


def _named(field: str, flags: Mapping[str, str]) -> str:
    part = field
    while part not in flags:
        shorter = _LAST.sub("", part)
        if shorter == part:
            return field
        part = shorter
    return f"{flags[part]} ({field})"
