"""Tasks of the Cloud Tasks API: what a caller wants put into a queue. Pure.

Everything that is wrong with the form is found and named by its path; the bounds are those of
:mod:`triggers.core.queues`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import parse_time
from jobrunner.errors import InvalidSpec
from triggers.api.http_targets import read_bytes, read_headers, read_method, read_token
from triggers.api.tasks.names import full_view, task_id
from triggers.api.tasks.queue_reading import retry_config
from triggers.core.queues import DEFAULT_DEADLINE, HttpOverride, overridden_target
from triggers.core.records import HttpTarget, QueueRetry

_HTTP_BODY = frozenset({"contentType", "data", "extensions"})
OUTPUT = ("createTime", "dispatchCount", "responseCount", "firstAttempt", "lastAttempt", "view")


@dataclass(frozen=True, slots=True)
class NewTask:
    """``name`` is the short id, ``None`` for one that is made up. ``retry`` reads a retry
    configuration over that of the queue, ``None`` where the task has none of its own."""

    target: HttpTarget
    name: str | None = None
    schedule_time: float | None = None
    retry: Callable[[QueueRetry], QueueRetry] | None = None
    full: bool = False


def read_create(
    body: object, scope: Scope, queue: str, project: Callable[[str], str], field: str = ""
) -> NewTask:
    """Of a request to create one. ``field`` is the path of the request. Raises InvalidSpec."""
    problems = Problems()
    root = Node(body, field, problems)
    node = root.node("task")
    view = root.raw("responseView")
    root.skip("parent")
    if not node.present:
        problems.add(root.at("task"), "it is missing; allowed: a task")
    name = node.raw("name")
    if node.has("appEngineHttpRequest"):
        problems.add(
            node.at("appEngineHttpRequest"),
            "App Engine is not supported by this server; allowed: httpRequest",
        )
    elif node.present and not node.has("httpRequest"):
        problems.add(node.at("httpRequest"), "it is missing; allowed: an HTTP request")
    deadline = read_duration(node, "dispatchDeadline") or DEFAULT_DEADLINE
    target = _request(node.node("httpRequest"), deadline, problems)
    schedule_time = _time(node, "scheduleTime")
    retry = node.raw("retryConfig")
    read = _retry_reader(retry, node.at("retryConfig"))
    if retry is not None:
        retry_config(Node(retry, node.at("retryConfig"), problems))
    node.skip(*OUTPUT)
    node.end()
    root.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return NewTask(
        target=target,
        name=task_id(name, scope, queue, project, node.at("name")),
        schedule_time=schedule_time,
        retry=None if retry is None else read,
        full=full_view(view, root.at("responseView")),
    )


def buffered_body(body: bytes, content_type: str) -> tuple[bytes, str]:
    """Body and content type of a buffered task: the body of the call as it is, or what the two
    ways of Google's own clients say: an empty object, and ``google.api.HttpBody``. Raises
    InvalidSpec."""
    if body[:1] != b"{":
        return body, content_type
    try:
        document = json.loads(body)
    except ValueError:
        return body, content_type
    if document == {}:
        return b"", ""
    inner = document.get("body")
    if len(document) > 1 or not isinstance(inner, dict) or not inner.keys() <= _HTTP_BODY:
        return body, content_type
    problems = Problems()
    node = Node(inner, "body", problems)
    data, content_type = read_bytes(node, "data"), node.text("contentType")
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return data, content_type


def buffered_target(http: HttpOverride | None, body: bytes, content_type: str) -> HttpTarget:
    """The call of a task that has nothing but a body: the queue says where it goes. Raises
    InvalidSpec for a queue that does not."""
    if http is None or http.uri is None or not http.uri.host:
        raise invalid(
            "queue.httpTarget.uriOverride.host",
            "it is missing; a task without a URL goes to a queue that has one",
        )
    headers = (("Content-Type", content_type),) if body and content_type else ()
    url = f"{http.uri.scheme or 'https'}://{http.uri.host}"
    bare = HttpTarget(url, headers=headers, body=body, deadline=DEFAULT_DEADLINE)
    return overridden_target(bare, http)


def _request(node: Node, deadline: float, problems: Problems) -> HttpTarget:
    target = HttpTarget(
        url=node.text("url"),
        method=read_method(node) or "POST",
        headers=read_headers(node),
        body=read_bytes(node, "body"),
        token=read_token(node, problems),
        deadline=deadline,
    )
    node.end()
    return target


def _retry_reader(value: object, path: str) -> Callable[[QueueRetry], QueueRetry]:
    return lambda default: retry_config(Node(value, path, Problems()), default)


def _time(node: Node, key: str) -> float | None:
    text = node.text(key)
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        node.problems.add(node.at(key), str(error))
        return None
