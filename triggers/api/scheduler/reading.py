"""Jobs of the Scheduler API as schedules: a whole document, or the parts of one that a mask names.
Pure. Everything that is wrong is found and named by its path."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from jobrunner.core.documents import Document, Node
from jobrunner.core.durations import read_duration
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.api.http_targets import read_bytes, read_headers, read_method, read_token
from triggers.api.masks import mask_paths
from triggers.api.scheduler.writing import written
from triggers.core.records import (
    HttpTarget,
    PubsubTarget,
    Schedule,
    ScheduleRetry,
)
from triggers.core.zones import DEFAULT_ZONE

OUTPUT = (
    "name", "userUpdateTime", "state", "status", "scheduleTime", "lastAttemptTime", "satisfiesPzs",
)  # fmt: skip
TARGETS = ("httpTarget", "pubsubTarget", "appEngineHttpTarget")
_TOKENS = ("oidcToken", "oauthToken")
_MAPS = ("headers", "attributes")
_WRITABLE = (
    "description", "schedule", "timeZone", "attemptDeadline", "retryConfig", *TARGETS,
)  # fmt: skip
_DEFAULTS = ScheduleRetry()


def new_schedule(base: Schedule, body: object) -> Schedule:
    """``base`` has project, region and name; everything else is read. Raises InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    if not node.present:
        problems.add("job", "it is missing; allowed: a job")
    target, deadline = _target(node, problems), read_duration(node, "attemptDeadline")
    if deadline is not None and deadline != 0 and isinstance(target, HttpTarget):
        target = replace(target, deadline=deadline)
    if not node.text("schedule"):
        problems.add("schedule", "it is missing; allowed: unix-cron or English")
    schedule = replace(
        base,
        description=node.text("description"),
        expression=node.text("schedule"),
        time_zone=node.text("timeZone") or DEFAULT_ZONE,
        target=target,
        retry=retry_policy(node.node("retryConfig")),
    )
    node.skip(*OUTPUT)
    node.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return schedule


def patched(old: Schedule, body: object, mask: str) -> Schedule:
    """``old`` with what ``mask`` names taken from ``body``; with an empty mask, with what the body
    has. What else the body says does not count. Raises InvalidSpec."""
    if not isinstance(body, dict):
        raise invalid("job", "it is missing; allowed: a job")
    paths = mask_paths(mask, _WRITABLE, OUTPUT, "a job") or [
        key for key in body if key in _WRITABLE
    ]
    document = deepcopy(written(old))
    for path in paths:
        _lay(document, body, path)
    _without_empty_tokens(document, body)
    new = new_schedule(old, document)
    if not any(path[0] in TARGETS or path == ["attemptDeadline"] for path in map(_parts, paths)):
        new = replace(new, target=old.target)
    elif isinstance(old.target, HttpTarget) and isinstance(new.target, HttpTarget):
        kept = {
            name: getattr(old.target, name)
            for name in ("follow_redirects", "response_cap", "verify_tls", "proxy")
        }
        new = replace(new, target=replace(new.target, **kept))
    if not any(path.startswith("retryConfig") for path in paths):
        new = replace(new, retry=old.retry)
    return new


def _parts(path: str) -> list[str]:
    return path.split(".")


def _lay(document: Document, body: Document, path: str) -> None:
    """Puts what ``body`` has at ``path`` into the document, or takes it out where it has nothing;
    what excludes it goes."""
    parts = _parts(path)
    _exclude(document, parts[0], TARGETS)
    for part in parts[:-1]:
        inner = document.get(part)
        if not isinstance(inner, dict):
            inner = document[part] = {}
        found = body.get(part)
        document, body = inner, found if isinstance(found, dict) else {}
        if part == "httpTarget" and body.get(parts[1]) is not None:
            _exclude(document, parts[1], _TOKENS)
    value, old = body.get(parts[-1]), document.get(parts[-1])
    if value in (None, {}):
        document.pop(parts[-1], None)
    elif parts[-1] in _MAPS and isinstance(value, dict) and isinstance(old, dict):
        # Clients send what is new and what is to go (with no value), not the whole.
        merged = {**old, **value}
        document[parts[-1]] = {key: each for key, each in merged.items() if each is not None}
    else:
        document[parts[-1]] = deepcopy(value)


def _without_empty_tokens(document: Document, body: Document) -> None:
    """A token whose members were all taken out is gone."""
    target, given = document.get("httpTarget"), body.get("httpTarget")
    if not isinstance(target, dict):
        return
    for key in _TOKENS:
        token = target.get(key)
        named = isinstance(given, dict) and bool(given.get(key))
        if isinstance(token, dict) and not token.get("serviceAccountEmail") and not named:
            del target[key]


def _exclude(document: Document, chosen: str, group: tuple[str, ...]) -> None:
    if chosen in group:
        for other in group:
            if other != chosen:
                document.pop(other, None)


# -------------------------------------------------------------------------------- targets


def _target(node: Node, problems: Problems) -> HttpTarget | PubsubTarget:
    given = [key for key in TARGETS if node.has(key)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are set" if given else "there is none"
        problems.add("target", f"{found}; allowed: exactly one, httpTarget or pubsubTarget")
    if "appEngineHttpTarget" in given:
        allowed = "allowed: httpTarget or pubsubTarget"
        problems.add("appEngineHttpTarget", f"it is not supported by this server; {allowed}")
    if given == ["pubsubTarget"]:
        return pubsub_target(node.node("pubsubTarget"))
    return http_target(node.node("httpTarget"), problems)


def pubsub_target(node: Node) -> PubsubTarget:
    attributes = tuple(node.text_map("attributes").items())
    target = PubsubTarget(node.text("topicName"), read_bytes(node, "data"), attributes)
    node.end()
    return target


def http_target(node: Node, problems: Problems) -> HttpTarget:
    target = HttpTarget(
        url=node.text("uri"),
        method=read_method(node) or "POST",
        headers=read_headers(node),
        body=read_bytes(node, "body"),
        token=read_token(node, problems),
    )
    if node.present:
        node.end()
    return target


def retry_policy(node: Node) -> ScheduleRetry:
    def seconds(key: str, default: float) -> float:
        found = read_duration(node, key)
        return default if found is None else found

    def count(key: str, default: int) -> int:
        found = node.whole(key)
        return default if found is None else found

    policy = ScheduleRetry(
        retry_count=count("retryCount", _DEFAULTS.retry_count),
        max_retry_duration=seconds("maxRetryDuration", _DEFAULTS.max_retry_duration),
        min_backoff=seconds("minBackoffDuration", _DEFAULTS.min_backoff),
        max_backoff=seconds("maxBackoffDuration", _DEFAULTS.max_backoff),
        max_doublings=count("maxDoublings", _DEFAULTS.max_doublings),
    )
    node.end()
    return policy
