"""Holds a schedule and its target to the bounds of the contract, and says all that is wrong.

Fields are named as in the contract's documents; our own settings by their own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from triggers.core.cron import show
from triggers.core.missed import MOST_LISTED
from triggers.core.occurrences import parse_expression
from triggers.core.pubsub_names import check_pubsub_name
from triggers.core.records import Headers, HttpTarget, JobTarget, PubsubTarget, Schedule, Target
from triggers.core.retry import check_retry
from triggers.core.zones import zone_of

MAX_NAME = 500
MAX_DESCRIPTION = 500
MAX_URL = 2083
MAX_HEADERS = 80 * 1024
"""Bytes of all names and values together."""
MAX_BODY = 1024 * 1024
MIN_DEADLINE, MAX_DEADLINE = 15.0, 1800.0
MAX_DELAY = 86_400
MAX_OVERLAP = 1000

METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
WITH_BODY = ("POST", "PUT", "PATCH")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_schedule(schedule: Schedule) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    name = schedule.name
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        form = f"allowed: letters, digits, - and _, at most {MAX_NAME} characters"
        problems.add("name", f"'{show(name)}' is not a name of a schedule; {form}")
    if len(schedule.description) > MAX_DESCRIPTION:
        count = len(schedule.description)
        problems.add("description", f"{count} characters are too many; at most {MAX_DESCRIPTION}")
    _gather(problems, lambda: parse_expression(schedule.expression))
    _gather(problems, lambda: zone_of(schedule.time_zone))
    _gather(problems, lambda: check_retry(schedule.retry))
    _check_target(problems, schedule.target)
    _check_settings(problems, schedule)
    if problems.violations:
        raise InvalidSpec(problems.violations)


def check_target(target: Target) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    _check_target(problems, target)
    if problems.violations:
        raise InvalidSpec(problems.violations)


def _gather(problems: Problems, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidSpec as error:
        problems.violations.extend(error.violations)


def _check_target(problems: Problems, target: Target) -> None:
    match target:
        case HttpTarget():
            _check_http(problems, target)
        case JobTarget():
            if not target.job:
                problems.add("jobTarget.job", "it is empty; allowed: the name of a job")
        case PubsubTarget():
            _check_pubsub(problems, target)


def _check_http(problems: Problems, target: HttpTarget) -> None:
    url, field = target.url, "httpTarget.uri"
    if not url.lower().startswith(("http://", "https://")):
        problems.add(field, f"'{show(url)}' must start with 'http://' or 'https://'")
    elif not _URL.fullmatch(url):
        problems.add(field, f"'{show(url)}' is not a URL; write it as https://host/path")
    if len(url.encode("utf-8", "surrogatepass")) > MAX_URL:
        problems.add(field, f"it has more than {MAX_URL} characters")
    if target.method not in METHODS:
        form = f"allowed: {', '.join(METHODS)}"
        problems.add("httpTarget.httpMethod", f"'{show(target.method)}' is not a method; {form}")
    elif target.body and target.method not in WITH_BODY:
        form = f"a body is allowed with {', '.join(WITH_BODY)}"
        problems.add("httpTarget.body", f"{target.method} takes none; {form}")
    if len(target.body) > MAX_BODY:
        count = len(target.body)
        problems.add("httpTarget.body", f"{count} bytes are too many; allowed: at most {MAX_BODY}")
    _check_headers(problems, target.headers)
    if not MIN_DEADLINE <= target.deadline <= MAX_DEADLINE:
        form = f"from {MIN_DEADLINE:g}s to {MAX_DEADLINE:g}s"
        problems.add("attemptDeadline", f"{target.deadline:g}s is not {form}")


def _check_headers(problems: Problems, headers: Headers) -> None:
    seen: set[str] = set()
    size = 0
    for name, value in headers:
        where = f"httpTarget.headers[{show(name)}]"
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
        problems.add("httpTarget.headers", f"{size} bytes are too many; at most {MAX_HEADERS}")


def _check_pubsub(problems: Problems, target: PubsubTarget) -> None:
    check_pubsub_name(problems, "pubsubTarget.topicName", target.topic, "topic")
    if not target.data and not target.attributes:
        problems.add("pubsubTarget", "a message needs data or an attribute")


def _check_settings(problems: Problems, schedule: Schedule) -> None:
    _whole(problems, "overlapLimit", schedule.overlap_limit, 1, MAX_OVERLAP)
    _whole(problems, "missedRunsLimit", schedule.catch_up_limit, 1, MOST_LISTED)
    if not 0 <= schedule.spread <= MAX_DELAY:
        problems.add("spread", f"{schedule.spread} is not from 0 to {MAX_DELAY} seconds")
    if not 0 <= schedule.jitter <= MAX_DELAY:
        problems.add("jitter", f"{schedule.jitter:g} is not from 0 to {MAX_DELAY} seconds")
    window = schedule.catch_up_window
    if window is not None and not (window > 0 and isfinite(window)):
        problems.add("missedRunsWindow", f"{window:g} is not a duration of more than 0 seconds")
    if schedule.pause_after is not None:
        _whole(problems, "pauseAfter", schedule.pause_after, 1, 10**6)
    start, end = schedule.starts_at, schedule.ends_at
    if start is not None and end is not None and end < start:
        problems.add("end", "it lies before the start")


def _whole(problems: Problems, field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        problems.add(field, f"{value} is not from {low} to {high}")
