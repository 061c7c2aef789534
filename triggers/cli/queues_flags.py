"""The options that make and change queues and their items, named as gcloud's where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import UsageProblem
from jobrunner.cli.params import DURATION, Parsed, whole
from triggers.cli.schedules_flags import (
    BODY,
    INSTANT,
    JOB,
    backoff,
    http_target,
    job_target,
    names_of,
)

if TYPE_CHECKING:
    from jobrunner.core.records import Scope

Document = dict[str, Any]

LIMITS = (
    click.option(
        "--max-dispatches-per-second",
        type=Parsed("number", float),
        metavar="N",
        help="Up to 500  [default: 500].",
    ),
    click.option(
        "--max-burst-size",
        type=whole(1),
        metavar="N",
        help="At once after a rest  [default: a fifth of the rate, at least 10].",
    ),
    click.option(
        "--max-concurrent-dispatches",
        type=whole(1),
        metavar="N",
        help="Under way at once  [default: 1000].",
    ),
)
RETRY = (
    click.option(
        "--max-attempts", metavar="N", help="The first included; or 'unlimited'  [default: 100]."
    ),
    click.option(
        "--max-retry-duration",
        type=DURATION,
        metavar="DURATION",
        help="From the first attempt; given up is what has reached both limits.",
    ),
    *backoff("0.1s", 16),
)
WHEN = (
    click.option("--name", metavar="TEXT", help="A second one of this name is refused."),
    click.option("--schedule-time", type=INSTANT, metavar="INSTANT", help="Not before that."),
    click.option("--delay", type=DURATION, metavar="DURATION", help="Not before it has passed."),
)
HTTP = (
    click.option("--url", "uri", metavar="URL", help="What is called."),
    click.option("--http-method", metavar="METHOD", help="Of the request  [default: POST]."),
    click.option("--headers", multiple=True, metavar="K=V,...", help="Of the request."),
    click.option("--oidc-service-account-email", metavar="EMAIL", help="Who an ID token is for."),
    click.option(
        "--oidc-token-audience", metavar="TEXT", help="Of the ID token  [default: the URL]."
    ),
    click.option("--oauth-service-account-email", metavar="EMAIL", help="For an access token."),
    click.option("--oauth-token-scope", metavar="TEXT", help="Of the access token."),
    click.option(
        "--dispatch-deadline",
        "attempt_deadline",
        type=DURATION,
        metavar="DURATION",
        help="Of one attempt  [default: 10m].",
    ),
)
_LIMITS = {
    "max_dispatches_per_second": "maxDispatchesPerSecond",
    "max_burst_size": "maxBurstSize",
    "max_concurrent_dispatches": "maxConcurrentDispatches",
}
_RETRY = {
    "max_retry_duration": "maxRetryDuration",
    "min_backoff": "minBackoff",
    "max_backoff": "maxBackoff",
    "max_doublings": "maxDoublings",
}


def merged(old: Document, flags: Document) -> Document:
    """The settings of a queue with what the flags change."""
    from jobrunner.core.durations import duration

    limits = dict(old.get("rateLimits") or {})
    if flags["max_dispatches_per_second"] is not None:
        # The bucket is sized anew by another rate.
        limits.pop("maxBurstSize", None)
    limits |= {key: flags[flag] for flag, key in _LIMITS.items() if flags[flag] is not None}
    retry = dict(old.get("retryConfig") or {})
    for flag, key in _RETRY.items():
        value = flags[flag]
        if value is not None:
            retry[key] = duration(value) if isinstance(value, float) else value
    attempts = flags["max_attempts"]
    if attempts is not None:
        retry["maxAttempts"] = -1 if attempts == "unlimited" else attempts
    return {**old, "rateLimits": limits, "retryConfig": retry}


def item_body(scope: Scope, flags: Document) -> Document:
    """What the API wants of a new item."""
    from jobrunner.core.timestamps import format_time
    from triggers.api.schedules.writing import target_body
    from triggers.core.queues import DEFAULT_DEADLINE
    from triggers.core.records import HttpTarget, JobTarget

    if flags["uri"] is None and flags["job"] is None:
        raise UsageProblem("Name what it calls: --url or --job.")
    if flags["uri"] is not None and flags["job"] is not None:
        raise UsageProblem("It calls a URL (--url) or starts a job (--job), not both.")
    if flags["job"] is not None:
        _none_of(flags, (*HTTP, *BODY), "--url")
        body = target_body(job_target(JobTarget("", scope.project, scope.region), flags))
    else:
        _none_of(flags, JOB, "--job")
        target = http_target(HttpTarget("", deadline=DEFAULT_DEADLINE), flags)
        body = target_body(target)
        body["dispatchDeadline"] = body.pop("attemptDeadline")
    if flags["schedule_time"] is not None and flags["delay"] is not None:
        raise UsageProblem("--schedule-time and --delay exclude each other.")
    if flags["name"] is not None:
        body["name"] = flags["name"]
    if flags["delay"] is not None:
        body["delay"] = f"{flags['delay']:.9f}".rstrip("0").rstrip(".") + "s"
    if flags["schedule_time"] is not None:
        body["scheduleTime"] = format_time(flags["schedule_time"])
    return body


def _none_of(flags: Document, group: tuple[Any, ...], needs: str) -> None:
    """Raises a usage error for an option that only goes with another kind of target."""
    for name in sorted(names_of(group)):
        if flags[name]:
            option = {"attempt_deadline": "dispatch_deadline"}.get(name, name)
            raise UsageProblem(f"--{option.replace('_', '-')} goes with {needs} only.")
