"""Holds queues and their tasks to the bounds of the contract, and says all that is wrong.

Fields are named as in the contract's documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.core.cron import show
from triggers.core.queues import WITH_BODY, HttpOverride, Queue
from triggers.core.rates import check_rates
from triggers.core.records import Headers, HttpTarget, JobTarget, Payload, QueueRetry, Target
from triggers.core.retry import check_retry

MAX_QUEUE_ID = 100
MAX_TASK_ID = 500
MAX_AHEAD = 30 * 86_400.0
"""How far in the future a task may be scheduled."""
MAX_URL = 2083
MAX_BODY = 1024 * 1024
MAX_HEADERS = 80 * 1024
MIN_DEADLINE, MAX_DEADLINE = 15.0, 1800.0
METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_QUEUE_ID = re.compile(r"[A-Za-z0-9-]+")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]+")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


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
