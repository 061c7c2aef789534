"""Queues and their tasks as frozen values, and the bounds that the contract sets them.

A task (a queue item) is a delivery from the queue; its name is the last part of the delivery's
key. All instants are Unix seconds (UTC), durations are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from math import ceil, isfinite

from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from triggers.core.cron import show
from triggers.core.rates import RateLimits, check_rates
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    Headers,
    HttpTarget,
    JobTarget,
    OAuthToken,
    OidcToken,
    Payload,
    QueueRetry,
    Target,
)
from triggers.core.retry import check_retry

MAX_QUEUE_ID = 100
MAX_TASK_ID = 500
MAX_AHEAD = 30 * 86_400.0
"""How far in the future a task may be scheduled."""
NAME_WINDOW = 86_400.0
"""How long after its end the name of a task is taken."""
MAX_URL = 2083
MAX_BODY = 1024 * 1024
MAX_HEADERS = 80 * 1024
MIN_DEADLINE, MAX_DEADLINE = 15.0, 1800.0
DEFAULT_DEADLINE = 600.0
METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
WITH_BODY = ("POST", "PUT", "PATCH")

_QUEUE_ID = re.compile(r"[A-Za-z0-9-]+")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]+")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_PARTS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)(?::([0-9]*))?"
    r"([^?#]*)(?:\?([^#]*))?(?:#.*)?"
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class QueueState(StrEnum):
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"


class Enforce(StrEnum):
    """When an override of the queue goes before what the task says."""

    ALWAYS = "ALWAYS"
    IF_NOT_EXISTS = "IF_NOT_EXISTS"


@dataclass(frozen=True, slots=True)
class UriOverride:
    """Parts that are empty (``None`` for the port) stay as the task has them. ``scheme`` is
    ``http`` or ``https``, ``query`` has no question mark."""

    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    query: str = ""
    enforce: Enforce = Enforce.ALWAYS


@dataclass(frozen=True, slots=True)
class HttpOverride:
    """What a queue says for all of its HTTP tasks, applied when they are sent."""

    uri: UriOverride | None = None
    method: str = ""
    headers: Headers = ()
    token: OidcToken | OAuthToken | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """``sampling`` is the share of calls that go to the log at Google; it is kept and has no
    effect here. ``purged_at`` is the instant of the last purge."""

    uid: str
    project: str
    region: str
    name: str
    limits: RateLimits = field(default_factory=RateLimits)
    retry: QueueRetry = field(default_factory=QueueRetry)
    state: QueueState = QueueState.RUNNING
    http: HttpOverride | None = None
    sampling: float = 0.0
    created_at: float = 0.0
    updated_at: float = 0.0
    purged_at: float | None = None
    resource_version: int = 1

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


@dataclass(frozen=True, slots=True)
class Task:
    """A delivery from a queue, with its first and its last attempt that ended. The first dispatch
    that is still on its way shows as ``delivery.first_attempt_at`` alone. ``responses`` counts the
    answers, whatever they said."""

    delivery: Delivery
    first: DeliveryAttempt | None = None
    last: DeliveryAttempt | None = None
    responses: int = 0

    @property
    def name(self) -> str:
        """The short id."""
        return task_id(self.delivery)

    @property
    def queue(self) -> str:
        return self.delivery.source_name

    @property
    def schedule_time(self) -> float:
        return self.delivery.not_before

    @property
    def dispatches(self) -> int:
        """Attempts so far, one that is on its way included."""
        under_way = self.delivery.lease_owner is not None
        return self.delivery.attempts + self.delivery.unknown + under_way


def task_key(queue: Queue, name: str) -> str:
    """The delivery's key: a queue that was made again does not know the names of the old one."""
    return f"{queue.uid}/{name}"


def task_id(delivery: Delivery) -> str:
    return delivery.key.rpartition("/")[2]


def made_up_id(uid: str) -> str:
    """The name of a task that was given none: digits, made from the delivery's uid."""
    return str(int.from_bytes(blake2b(uid.encode(), digest_size=8).digest()) | 1 << 63)


def burst_of(per_second: float) -> int:
    """The size of the bucket where nobody sets one: a fifth of a second's rate, at least 10."""
    return max(10, ceil(per_second / 5))


# ---------------------------------------------------------------- the override of a queue


def overridden(delivery: Delivery, override: HttpOverride | None) -> Delivery:
    """``delivery`` as it is sent by a queue with ``override``. A job is started as it is."""
    target, payload = delivery.target, delivery.payload
    if override is None or not isinstance(target, HttpTarget):
        return delivery
    if payload is not None:
        ours = {name.lower() for name, _ in override.headers}
        kept = tuple(one for one in payload.headers if one[0].lower() not in ours)
        bodied = (override.method or target.method) in WITH_BODY
        payload = replace(payload, headers=kept, body=payload.body if bodied else b"")
    return replace(delivery, target=overridden_target(target, override), payload=payload)


def overridden_target(target: HttpTarget, override: HttpOverride) -> HttpTarget:
    """``target`` as a queue with ``override`` calls it."""
    headers = {name.lower(): (name, value) for name, value in target.headers}
    headers |= {name.lower(): (name, value) for name, value in override.headers}
    method = override.method or target.method
    return replace(
        target,
        url=_url(target.url, override.uri),
        method=method,
        headers=tuple(headers.values()),
        body=target.body if method in WITH_BODY else b"",
        token=override.token or target.token,
    )


def _url(url: str, uri: UriOverride | None) -> str:
    parts = _PARTS.fullmatch(url)
    if uri is None or parts is None:
        return url
    scheme, user, host, port, path, query = parts.groups(default="")
    if uri.enforce is Enforce.IF_NOT_EXISTS:
        # A task has a scheme and a host always: only what a URL may lack can be missing.
        uri = UriOverride(
            port=None if port else uri.port,
            path="" if path not in ("", "/") else uri.path,
            query="" if query else uri.query,
        )
    if uri.host or uri.scheme:
        # The port and the user of the task belong to its own scheme and host.
        port, user = "", "" if uri.host else user
    if uri.port is not None:
        port = str(uri.port)
    path = f"/{uri.path.removeprefix('/')}" if uri.path else path
    query = uri.query or query
    return "".join(
        (
            f"{uri.scheme or scheme}://{user}{uri.host or host}",
            f":{port}" if port else "",
            path,
            f"?{query}" if query else "",
        )
    )


# ---------------------------------------------------------------- validation


def check_queue(queue: Queue) -> None:
    """Raises InvalidSpec with every violation, fields named as in the API."""
    problems = Problems()
    if len(queue.name) > MAX_QUEUE_ID or not _QUEUE_ID.fullmatch(queue.name):
        form = f"allowed: letters, digits and -, at most {MAX_QUEUE_ID} characters"
        problems.add("name", f"'{show(queue.name)}' is not a name of a queue; {form}")
    _gather(problems, lambda: check_rates(queue.limits))
    _gather(problems, lambda: check_retry(queue.retry))
    if not 0 <= queue.sampling <= 1:
        problems.add(
            "stackdriverLoggingConfig.samplingRatio", f"{queue.sampling:g} is not from 0 to 1"
        )
    if queue.http is not None:
        _check_override(problems, queue.http)
    if problems.violations:
        raise InvalidSpec(problems.violations)


def check_task(
    name: str | None,
    target: Target,
    payload: Payload | None,
    schedule_time: float | None,
    retry: QueueRetry | None,
    now: float,
) -> None:
    """Raises InvalidSpec with every violation, fields named as in the API."""
    problems = Problems()
    if name is not None and (len(name) > MAX_TASK_ID or not _TASK_ID.fullmatch(name)):
        form = f"allowed: letters, digits, - and _, at most {MAX_TASK_ID} characters"
        problems.add("task.name", f"'{show(name)}' is not a name of a task; {form}")
    match target:
        case HttpTarget():
            _check_http(problems, target, payload)
        case JobTarget():
            if not target.job:
                problems.add("task.jobTarget.job", "it is empty; allowed: the name of a job")
        case _:
            problems.add("task", "a task calls a URL or starts a job")
    if schedule_time is not None and not (
        isfinite(schedule_time) and schedule_time <= now + MAX_AHEAD
    ):
        problems.add("task.scheduleTime", "it is more than 30 days ahead")
    if retry is not None:
        _gather(problems, lambda: check_retry(retry, "task.retryConfig"))
    if problems.violations:
        raise InvalidSpec(problems.violations)


def _check_http(problems: Problems, target: HttpTarget, payload: Payload | None) -> None:
    url, under = target.url, "task.httpRequest"
    if not url:
        problems.add(f"{under}.url", "HttpRequest.url is required.")
    elif not url.lower().startswith(("http://", "https://")):
        message = "HttpTarget.url must start with 'http://' or 'https://'."
        problems.add(f"{under}.url", message)
    elif not _URL.fullmatch(url):
        form = "write it as https://host/path"
        problems.add(f"{under}.url", f"'{show(url)}' is not a URL; {form}")
    if len(url.encode("utf-8", "surrogatepass")) > MAX_URL:
        problems.add(f"{under}.url", f"it has more than {MAX_URL} characters")
    body = target.body if payload is None else payload.body
    _check_method(problems, f"{under}.httpMethod", target.method)
    if body and target.method in METHODS and target.method not in WITH_BODY:
        form = f"a body is allowed with {', '.join(WITH_BODY)}"
        problems.add(f"{under}.body", f"{target.method} takes none; {form}")
    if len(body) > MAX_BODY:
        form = f"allowed: at most {MAX_BODY}"
        problems.add(f"{under}.body", f"{len(body)} bytes are too many; {form}")
    brought = () if payload is None else payload.headers
    _check_headers(problems, f"{under}.headers", (*target.headers, *brought))
    if not MIN_DEADLINE <= target.deadline <= MAX_DEADLINE:
        form = f"from {MIN_DEADLINE:g}s to {MAX_DEADLINE:g}s"
        problems.add("task.dispatchDeadline", f"{target.deadline:g}s is not {form}")


def _check_method(problems: Problems, where: str, method: str) -> None:
    if method not in METHODS:
        form = f"allowed: {', '.join(METHODS)}"
        problems.add(where, f"'{show(method)}' is not a method; {form}")


def _check_headers(problems: Problems, under: str, headers: Headers) -> None:
    seen: set[str] = set()
    size = 0
    for name, value in headers:
        where = f"{under}[{show(name)}]"
        size += len(name.encode("utf-8", "surrogatepass"))
        size += len(value.encode("utf-8", "surrogatepass"))
        if not _HEADER_NAME.fullmatch(name):
            problems.add(where, "this is not a name of a header")
        elif name.lower() in seen:
            problems.add(where, "it is given twice")
        seen.add(name.lower())
        if any(c in value for c in "\r\n\0"):
            problems.add(where, "its value has a line break or a zero byte in it")
    if size > MAX_HEADERS:
        problems.add(under, f"{size} bytes are too many; at most {MAX_HEADERS}")


def _check_override(problems: Problems, http: HttpOverride) -> None:
    if http.method:
        _check_method(problems, "httpTarget.httpMethod", http.method)
    _check_headers(problems, "httpTarget.headerOverrides", http.headers)
    uri, under = http.uri, "httpTarget.uriOverride"
    if uri is None:
        return
    if uri.scheme not in ("", "http", "https"):
        problems.add(f"{under}.scheme", f"'{show(uri.scheme)}' is not allowed; HTTP or HTTPS")
    if uri.host and not _HOST.fullmatch(uri.host):
        problems.add(f"{under}.host", f"'{show(uri.host)}' is not the name of a host")
    if uri.port is not None and not 1 <= uri.port <= 65535:
        problems.add(f"{under}.port", f"{uri.port} is not from 1 to 65535")
    for part, text in (("pathOverride.path", uri.path), ("queryOverride.queryParams", uri.query)):
        if any(c.isspace() or not c.isprintable() for c in text):
            problems.add(f"{under}.{part}", f"'{show(text)}' has a space in it; write it as %20")


def _gather(problems: Problems, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidSpec as error:
        problems.violations.extend(error.violations)
