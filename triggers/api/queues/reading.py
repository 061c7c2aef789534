"""Documents of queues and queue items as values. Pure. Everything that is wrong is found and named
by its path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import parse_time
from jobrunner.errors import InvalidSpec
from triggers.api.http_targets import read_token
from triggers.api.scheduler.reading import http_target
from triggers.api.schedules.reading import job_target, one_of
from triggers.core.queues import (
    DEFAULT_DEADLINE,
    Enforce,
    HttpOverride,
    Queue,
    UriOverride,
    burst_of,
)
from triggers.core.rates import RateLimits
from triggers.core.records import QueueRetry, Target

Settings = dict[str, Any]
OUTPUT = ("uid", "state", "items", "createdAt", "updatedAt", "purgedAt")
"""What the server writes and nobody sets."""
NEW = Queue("", "", "", "")


def settings_of(spec: Node, problems: Problems) -> Settings:
    """The fields of a queue that a document says, defaults included."""
    found: Settings = {
        "limits": _limits(spec.node("rateLimits")),
        "retry": retry_policy(spec.node("retryConfig")),
        "http": _override(spec.node("httpTarget"), problems),
    }
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that is to be made. ``delay`` counts from then, in seconds. ``retry`` is ``None`` for
    that of the queue."""

    name: str | None
    target: Target
    schedule_time: float | None
    delay: float
    retry: QueueRetry | None


def item_of(body: object, scope: Scope) -> Wanted:
    """Raises InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    given = [key for key in ("httpTarget", "jobTarget") if node.has(key)]
    if len(given) != 1:
        problems.add("target", "allowed: one of httpTarget and jobTarget")
    deadline = read_duration(node, "dispatchDeadline")
    target: Target
    if "jobTarget" in given:
        if deadline is not None:
            problems.add("dispatchDeadline", "it is for an httpTarget")
        job = job_target(node.node("jobTarget"))
        target = replace(
            job, project=job.project or scope.project, region=job.region or scope.region
        )
    else:
        http = http_target(node.node("httpTarget"), problems)
        target = replace(http, deadline=DEFAULT_DEADLINE if deadline is None else deadline)
    retry = node.node("retryConfig")
    wanted = Wanted(
        node.text("name") or None,
        target,
        _instant(node, "scheduleTime"),
        read_duration(node, "delay") or 0.0,
        retry_policy(retry) if retry.present else None,
    )
    node.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return wanted


def retry_policy(node: Node) -> QueueRetry:
    default = QueueRetry()

    def seconds(key: str, otherwise: float) -> float:
        found = read_duration(node, key)
        return otherwise if found is None else found

    def count(key: str, otherwise: int) -> int:
        found = node.whole(key)
        return otherwise if found is None else found

    policy = QueueRetry(
        max_attempts=count("maxAttempts", default.max_attempts),
        max_retry_duration=seconds("maxRetryDuration", default.max_retry_duration),
        min_backoff=seconds("minBackoff", default.min_backoff),
        max_backoff=seconds("maxBackoff", default.max_backoff),
        max_doublings=count("maxDoublings", default.max_doublings),
    )
    node.end()
    return policy


def _limits(node: Node) -> RateLimits:
    """A bucket that nobody sizes is sized by the rate."""
    default = RateLimits()
    rate = node.raw("maxDispatchesPerSecond")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, (int, float))):
        node.wrong(node.at("maxDispatchesPerSecond"), rate, "a number")
        rate = None
    per_second = default.per_second if rate is None else float(str(rate))
    concurrent = node.whole("maxConcurrentDispatches")
    burst = node.whole("maxBurstSize")
    found = RateLimits(
        per_second,
        burst_of(min(max(per_second, 0.0), default.per_second)) if burst is None else burst,
        default.concurrent if concurrent is None else concurrent,
    )
    node.end()
    return found


def _override(node: Node, problems: Problems) -> HttpOverride | None:
    if not node.present:
        return None
    uri = node.node("uriOverride")
    found = HttpOverride(
        uri=_uri(uri) if uri.present else None,
        method=node.text("httpMethod"),
        headers=tuple(node.text_map("headers").items()),
        token=read_token(node, problems),
    )
    node.end()
    return found


def _uri(node: Node) -> UriOverride:
    found = UriOverride(
        scheme=node.text("scheme").lower(),
        host=node.text("host"),
        port=node.whole("port"),
        path=node.text("path"),
        query=node.text("query"),
        enforce=one_of(node, "enforce", Enforce) or Enforce.ALWAYS,
    )
    node.end()
    return found


def _instant(node: Node, key: str) -> float | None:
    text = node.optional_text(key)
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        node.wrong(node.at(key), text, "an instant, as 2026-01-01T00:00:00Z")
        return None
