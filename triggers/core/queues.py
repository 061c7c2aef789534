"""Queues and their tasks as frozen values, and what a queue says for all of its tasks.

A task (a queue item) is a delivery from the queue; its name is the last part of the delivery's
key. All instants are Unix seconds (UTC), durations are seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from math import ceil

from jobrunner.core.records import Scope
from triggers.core.rates import RateLimits
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    Headers,
    HttpTarget,
    OAuthToken,
    OidcToken,
    QueueRetry,
)
from triggers.core.states import DeliveryState

NAME_WINDOW = 86_400.0
"""How long after its end the name of a task is taken."""
DEFAULT_DEADLINE = 600.0
WITH_BODY = ("POST", "PUT", "PATCH")

_PARTS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)(?::([0-9]*))?"
    r"([^?#]*)(?:\?([^#]*))?(?:#.*)?"
)


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
    effect here. ``purged_at`` is the instant of the last purge; ``purged_to`` is the position of
    the last task that a purge has still to withdraw, 0 for none."""

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
    purged_to: int = 0
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
        """Attempts so far, one that is on its way, or whose run goes on, included."""
        delivery = self.delivery
        follows = delivery.state is DeliveryState.FOLLOWING
        under_way = follows or delivery.lease_owner is not None
        return delivery.attempts + delivery.unknown + under_way


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
