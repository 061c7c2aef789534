"""The request of a delivery, by the contract of where it comes from: headers, body, audience.

From weak to strong: what the target always sends, what this delivery brings, what the source kind
prescribes. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache

from jobrunner import __version__
from jobrunner.core.timestamps import format_time
from triggers.core.dead_letters import ORIGIN
from triggers.core.envelopes import WRAPPED_HEADERS, with_attempt
from triggers.core.records import (
    Delivery,
    Headers,
    HttpTarget,
    OccurrenceKey,
    PushRetry,
    SourceKind,
)

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
"""The source of a schedule, which knows its zone, brings this one; without it, it is in UTC."""

_PUSH: Headers = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("From", "noreply@google.com"),
    ("User-Agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)"),
)

# Computed, or a matter between two ends of one connection: never the user's.
_OURS = frozenset({
    "host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "trailer",
    "upgrade", "expect", "proxy-connection", "proxy-authorization",
})  # fmt: skip
_RESERVED = ("x-google-", "x-appengine-")
_FIXED: dict[SourceKind, tuple[str, ...]] = {
    SourceKind.MANUAL: (),
    SourceKind.SCHEDULE: ("x-cloudscheduler", *_RESERVED),
    SourceKind.QUEUE: ("x-cloudtasks-", *_RESERVED),
}
_PUSHED = frozenset({SourceKind.SUBSCRIPTION, SourceKind.EVENT_TRIGGER})
_TYPED = frozenset({SourceKind.SCHEDULE, SourceKind.MANUAL})
"""Sources that give a body a type where nobody has said one."""
_SCHEDULE_TIME = SCHEDULE_TIME.lower()

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")


class UnusableHeader(ValueError):
    """A header of the target that no request can carry. The text says which."""


def body_of(delivery: Delivery, target: HttpTarget, number: int | None = None) -> bytes:
    """``number`` is the attempt that is made: an envelope with a count tells it."""
    if delivery.payload is None:
        return target.body
    payload = delivery.payload
    # What Pub/Sub itself retries brings the count of Pub/Sub; other bodies are somebody's data.
    ours = delivery.source is SourceKind.SUBSCRIPTION and isinstance(delivery.retry, PushRetry)
    if number is not None and number > 1 and ours and payload.headers == WRAPPED_HEADERS:
        return with_attempt(payload.body, number)
    return payload.body


def headers_of(delivery: Delivery, target: HttpTarget) -> dict[str, str]:
    """All headers but those that are computed (Host, Content-Length) and Authorization of a token.

    Raises UnusableHeader for a header of the target that cannot be sent. One that comes with the
    message (an attribute of somebody's making) is left out instead: it must not block the rest.
    """
    brought = () if delivery.payload is None else delivery.payload.headers
    if delivery.source in _PUSHED:
        return _of_push(delivery.source, target.headers, brought).copy()
    standing, scheduled = _standing(delivery.source, target.headers, brought)
    sent = dict(standing)
    for name, value in _prescribed(delivery, scheduled):
        sent[name.lower()] = (name, value)
    typed = "content-type" in sent or delivery.source not in _TYPED
    if not typed and body_of(delivery, target):
        sent["content-type"] = ("Content-Type", "application/octet-stream")
    return dict(sent.values())


def _of_both(
    source: SourceKind, always: Headers, brought: Headers
) -> tuple[dict[str, tuple[str, str]], tuple[str, str] | None]:
    """What the target ``always`` sends and what was ``brought``, by names in lower case, without
    what is not theirs; and the instant of a schedule among them. Most deliveries of a source share
    it. Raises UnusableHeader."""
    sent: dict[str, tuple[str, str]] = {}
    if source is SourceKind.MANUAL:
        sent["user-agent"] = ("User-Agent", f"jobrunner/{__version__}")
    for name, value in always:
        if not _sendable(name, value):
            raise UnusableHeader(f"the header {name[:100]!a} cannot be sent as it is")
        sent[name.lower()] = (name, value)
    for name, value in brought:
        if name != ORIGIN and _sendable(name, value):
            sent[name.lower()] = (name, value)
    scheduled = sent.get(_SCHEDULE_TIME)
    fixed = _FIXED.get(source, _RESERVED)
    for name in [name for name in sent if name in _OURS or name.startswith(fixed)]:
        del sent[name]
    return sent, scheduled


_standing = lru_cache(maxsize=1024)(_of_both)


@lru_cache(maxsize=1024)
def _of_push(source: SourceKind, always: Headers, brought: Headers) -> dict[str, str]:
    """All that a push sends: nothing of it is of one delivery alone. Raises UnusableHeader."""
    standing, _ = _of_both(source, always, brought)
    return dict((standing | {name.lower(): (name, value) for name, value in _PUSH}).values())


def default_audience(source: SourceKind, url: str) -> str:
    """Of a token that names none: the whole URL; the origin of the service for events."""
    if source is SourceKind.EVENT_TRIGGER:
        match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", url)
        return match[0] if match else url
    return url


def _prescribed(delivery: Delivery, scheduled: tuple[str, str] | None) -> Headers:
    match delivery.source:
        case SourceKind.SCHEDULE:
            when = scheduled[1] if scheduled else f"{format_time(_nominal(delivery))[:19]}Z"
            return (
                ("User-Agent", "Google-Cloud-Scheduler"),
                ("X-CloudScheduler", "true"),
                ("X-CloudScheduler-JobName", _short(delivery.source_name)),
                (SCHEDULE_TIME, when),
            )
        case SourceKind.QUEUE:
            return _of_queue(delivery)
        case _:
            return ()


def _nominal(delivery: Delivery) -> float:
    """The scheduled instant, before spread and jitter."""
    try:
        return OccurrenceKey.parse(delivery.key).nominal
    except ValueError:
        return delivery.queued_at


def _of_queue(delivery: Delivery) -> Headers:
    eta = delivery.not_before or delivery.queued_at or delivery.created_at
    headers = [
        ("User-Agent", "Google-Cloud-Tasks"),
        ("X-CloudTasks-QueueName", _short(delivery.source_name)),
        ("X-CloudTasks-TaskName", _short(delivery.key)),
        ("X-CloudTasks-TaskRetryCount", str(delivery.attempts)),
        ("X-CloudTasks-TaskExecutionCount", str(delivery.responses)),
        ("X-CloudTasks-TaskETA", f"{eta:.6f}".rstrip("0").rstrip(".")),
    ]
    if delivery.attempts:
        if delivery.last_status is not None:
            headers.append(("X-CloudTasks-TaskPreviousResponse", str(delivery.last_status)))
        headers.append(("X-CloudTasks-TaskRetryReason", ""))
    return tuple(headers)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _sendable(name: str, value: str) -> bool:
    return bool(_TOKEN.fullmatch(name)) and bool(_VALUE.fullmatch(value))
