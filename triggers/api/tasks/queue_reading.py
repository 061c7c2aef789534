"""Queues of the Cloud Tasks API: a whole document, or the parts of one that a mask names. Pure.

Everything that is wrong is found and named by its path. Zero and empty stand for the default, as
they cannot be told from nothing in the messages of gRPC; ``maxDoublings`` alone can be 0.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace

from jobrunner.core.documents import Document, Node
from jobrunner.core.durations import read_duration
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.api.http_targets import read_enum, read_method, read_token
from triggers.api.masks import mask_paths
from triggers.api.tasks.names import ENFORCE_MODES, SCHEMES
from triggers.api.tasks.queue_writing import written
from triggers.core.queues import Enforce, HttpOverride, Queue, UriOverride, burst_of
from triggers.core.rates import RateLimits
from triggers.core.records import Headers, QueueRetry

OUTPUT = ("name", "state", "purgeTime", "stats")
WRITABLE = ("rateLimits", "retryConfig", "httpTarget", "stackdriverLoggingConfig")
APP_ENGINE = ("appEngineRoutingOverride", "appEngineHttpQueue", "appEngineHttpTarget")
_TOKENS = ("oidcToken", "oauthToken")
_LIMITS = RateLimits()


def new_queue(base: Queue, body: object) -> Queue:
    """``base`` has project, region and name; everything else is read. Raises InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    if not node.present:
        problems.add("queue", "it is missing; allowed: a queue")
    for key in APP_ENGINE:
        if node.raw(key) not in (None, {}):
            allowed = "allowed: httpTarget"
            problems.add(key, f"App Engine is not supported by this server; {allowed}")
    logging = node.node("stackdriverLoggingConfig")
    queue = replace(
        base,
        limits=_limits(node.node("rateLimits")),
        retry=retry_config(node.node("retryConfig")),
        http=_http_target(node.node("httpTarget"), problems),
        sampling=_number(logging, "samplingRatio"),
    )
    logging.end()
    node.skip(*OUTPUT)
    node.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return queue


def patched(old: Queue, body: object, mask: str) -> Queue:
    """``old`` with what ``mask`` names taken from ``body``, or its default where the body has
    nothing; with an empty mask that is every field. Raises InvalidSpec."""
    if not isinstance(body, dict):
        raise invalid("queue", "it is missing; allowed: a queue")
    if not mask.strip():
        return new_queue(old, body)
    document = deepcopy(written(old))
    for path in mask_paths(mask, (*WRITABLE, *APP_ENGINE), OUTPUT, "a queue"):
        _lay(document, body, path.split("."))
    target = document.get("httpTarget")
    if isinstance(target, dict):
        for key in _TOKENS:
            # One whose members were all taken out is gone.
            if not any((target.get(key) or {"": 0}).values()):
                target.pop(key, None)
    return new_queue(old, document)


def retry_config(node: Node, default: QueueRetry | None = None) -> QueueRetry:
    """``default`` fills what is not there."""
    base = default or QueueRetry()

    def seconds(key: str, otherwise: float) -> float:
        found = read_duration(node, key)
        return otherwise if found is None else found

    doublings = node.whole("maxDoublings")
    policy = QueueRetry(
        max_attempts=node.whole("maxAttempts") or base.max_attempts,
        max_retry_duration=seconds("maxRetryDuration", base.max_retry_duration),
        min_backoff=seconds("minBackoff", base.min_backoff),
        max_backoff=seconds("maxBackoff", base.max_backoff),
        max_doublings=base.max_doublings if doublings is None else doublings,
    )
    node.end()
    return policy


def _limits(node: Node) -> RateLimits:
    rate = _number(node, "maxDispatchesPerSecond") or _LIMITS.per_second
    # Computed, whatever the caller wrote.
    node.skip("maxBurstSize")
    limits = RateLimits(
        per_second=rate,
        burst=burst_of(min(max(rate, 0.0), _LIMITS.per_second)),
        concurrent=node.whole("maxConcurrentDispatches") or _LIMITS.concurrent,
    )
    node.end()
    return limits


def _number(node: Node, key: str) -> float:
    """0 where there is none."""
    value = node.raw(key)
    if value is None:
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    text = value if isinstance(value, str) and len(value) < 30 else ""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        node.wrong(node.at(key), value, "a number")
        return 0.0
    return number


def _http_target(node: Node, problems: Problems) -> HttpOverride | None:
    if not node.present:
        return None
    override = HttpOverride(
        uri=_uri_override(node.node("uriOverride")),
        method=read_method(node),
        headers=_header_overrides(node),
        token=read_token(node, problems),
    )
    node.end()
    return None if override == HttpOverride() else override


def _header_overrides(node: Node) -> Headers:
    found = []
    for each in node.nodes("headerOverrides"):
        header = each.node("header")
        found.append((header.text("key"), header.text("value")))
        header.end()
        each.end()
    return tuple(found)


def _uri_override(node: Node) -> UriOverride | None:
    if not node.present:
        return None
    path, query = node.node("pathOverride"), node.node("queryOverride")
    mode = read_enum(node, "uriOverrideEnforceMode", ENFORCE_MODES, "an enforce mode")
    override = UriOverride(
        scheme=read_enum(node, "scheme", SCHEMES, "a scheme").lower(),
        host=node.text("host"),
        port=node.whole("port") or None,
        path=path.text("path"),
        query=query.text("queryParams").removeprefix("?"),
        enforce=Enforce.IF_NOT_EXISTS if mode == "IF_NOT_EXISTS" else Enforce.ALWAYS,
    )
    for each in (path, query, node):
        each.end()
    return None if replace(override, enforce=Enforce.ALWAYS) == UriOverride() else override


def _lay(document: Document, body: Document, parts: list[str]) -> None:
    """Puts what ``body`` has at ``parts`` into the document, or takes it out where it has nothing.
    To name one kind of token takes the other away."""
    within = document
    for place, part in enumerate(parts[:-1]):
        inner = within.get(part)
        if not isinstance(inner, dict):
            inner = within[part] = {}
        found = body.get(part)
        within, body = inner, found if isinstance(found, dict) else {}
        if part == "httpTarget" and parts[place + 1] in _TOKENS and body.get(parts[place + 1]):
            for other in _TOKENS:
                if other != parts[place + 1]:
                    within.pop(other, None)
    value = body.get(parts[-1])
    if value in (None, {}, []):
        within.pop(parts[-1], None)
    else:
        within[parts[-1]] = deepcopy(value)
