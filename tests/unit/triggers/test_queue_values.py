"""Queues and tasks are held to the contract's bounds; a queue can speak for all of its tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobrunner.errors import InvalidSpec
from tests.support.deliveries import NOW, a_delivery
from tests.support.queues import a_queue
from triggers.core.queue_validation import check_queue, check_task
from triggers.core.queues import (
    Enforce,
    HttpOverride,
    Task,
    UriOverride,
    burst_of,
    made_up_id,
    overridden,
)
from triggers.core.rates import RateLimits
from triggers.core.records import (
    HttpTarget,
    JobTarget,
    OidcToken,
    Payload,
    PubsubTarget,
    QueueRetry,
)
from triggers.core.states import DeliveryState

URL = "http://svc.example.com:8080/x?a=1"


def refusals(**fields: Any) -> list[str]:
    with pytest.raises(InvalidSpec) as error:
        check_queue(a_queue(**fields))
    return [str(violation) for violation in error.value.violations]


def test_all_that_is_wrong_with_a_queue_is_said_at_once() -> None:
    found = refusals(
        name="a_b",
        limits=RateLimits(per_second=501, concurrent=5001),
        retry=QueueRetry(max_attempts=-2, min_backoff=5, max_backoff=1),
        sampling=2,
        http=HttpOverride(
            UriOverride("ftp", "a b", 0, "/a b", "c d"), "FETCH", (("a b", "1"), ("c", "\n"))
        ),
    )
    assert [line.split(":")[0] for line in found] == [
        "name",
        "rateLimits.maxDispatchesPerSecond",
        "rateLimits.maxConcurrentDispatches",
        "retryConfig.maxAttempts",
        "retryConfig.minBackoff",
        "stackdriverLoggingConfig.samplingRatio",
        "httpTarget.httpMethod",
        "httpTarget.headerOverrides[a b]",
        "httpTarget.headerOverrides[c]",
        "httpTarget.uriOverride.scheme",
        "httpTarget.uriOverride.host",
        "httpTarget.uriOverride.port",
        "httpTarget.uriOverride.pathOverride.path",
        "httpTarget.uriOverride.queryOverride.queryParams",
    ]


@pytest.mark.parametrize("name", ["", "a_b", "a.b", "ä", "a" * 101, "a b", "a/b"])
def test_a_name_of_a_queue_is_letters_digits_and_hyphens(name: str) -> None:
    assert refusals(name=name)[0].startswith("name: ")


def test_the_defaults_and_the_bounds_themselves_are_allowed() -> None:
    check_queue(a_queue("A" * 100))
    check_queue(a_queue(limits=RateLimits(500, 1, 5000), retry=QueueRetry(max_attempts=-1)))


TASKS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "task.name: "),
    ({"name": "a" * 501}, "task.name: "),
    ({"target": HttpTarget("")}, "task.httpRequest.url: HttpRequest.url is required."),
    (
        {"target": HttpTarget("ftp://x")},
        "task.httpRequest.url: HttpTarget.url must start with 'http://' or 'https://'.",
    ),
    ({"target": HttpTarget("http://" + "a" * 2083)}, "task.httpRequest.url: it has more than 2083"),
    ({"target": HttpTarget("http:///x")}, "task.httpRequest.url: "),
    ({"target": HttpTarget(URL, deadline=14)}, "task.dispatchDeadline: 14s is not from 15s to"),
    ({"target": HttpTarget(URL, deadline=1801)}, "task.dispatchDeadline: "),
    ({"target": HttpTarget(URL, "GET", body=b"x")}, "task.httpRequest.body: GET takes none"),
    ({"target": HttpTarget(URL, "FETCH")}, "task.httpRequest.httpMethod: 'FETCH' is not"),
    ({"payload": Payload(b"x" * (1024 * 1024 + 1))}, "task.httpRequest.body: 1048577 bytes are"),
    ({"payload": Payload(headers=(("a", "1"), ("A", "2")))}, "task.httpRequest.headers[A]: it is"),
    ({"target": JobTarget("")}, "task.jobTarget.job: it is empty"),
    ({"target": PubsubTarget("projects/p/topics/t-1", b"x")}, "task: a task calls a URL or starts"),
    ({"schedule_time": NOW + 30 * 86_400 + 1}, "task.scheduleTime: it is more than 30 days"),
    ({"schedule_time": float("nan")}, "task.scheduleTime: "),
    ({"retry": QueueRetry(max_attempts=0)}, "task.retryConfig.maxAttempts: 0 is not"),
]


@pytest.mark.parametrize(("fields", "message"), TASKS)
def test_a_task_out_of_bounds_is_refused(fields: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "name": None,
        "target": HttpTarget(URL, deadline=600),
        "payload": None,
        "schedule_time": None,
        "retry": None,
        "now": NOW,
    }
    check_task(**values)
    with pytest.raises(InvalidSpec) as error:
        check_task(**(values | fields))
    assert [message in str(one) for one in error.value.violations] == [True]


@pytest.mark.parametrize(
    ("url", "uri", "called"),
    [
        (URL, UriOverride("https"), "https://svc.example.com/x?a=1"),
        (URL, UriOverride(host="h"), "http://h/x?a=1"),
        (URL, UriOverride(host="h", port=99), "http://h:99/x?a=1"),
        (URL, UriOverride(port=99), "http://svc.example.com:99/x?a=1"),
        (URL, UriOverride(path="p/q"), "http://svc.example.com:8080/p/q?a=1"),
        (URL, UriOverride(query="b=2"), "http://svc.example.com:8080/x?b=2"),
        ("http://[::1]:8080", UriOverride(path="/p"), "http://[::1]:8080/p"),
        ("http://me:pw@h/#f", UriOverride(port=1), "http://me:pw@h:1/"),
        ("http://me:pw@h/", UriOverride(host="other"), "http://other/"),
        (
            URL,
            UriOverride("https", "h", 9, "/p", "b=2", Enforce.IF_NOT_EXISTS),
            "http://svc.example.com:8080/x?a=1",
        ),
        (
            "http://h",
            UriOverride("https", "i", 9, "/p", "b=2", Enforce.IF_NOT_EXISTS),
            "http://h:9/p?b=2",
        ),
    ],
)
def test_a_queue_puts_its_parts_into_the_url(url: str, uri: UriOverride, called: str) -> None:
    task = a_delivery(target=HttpTarget(url))
    target = overridden(task, HttpOverride(uri)).target
    assert isinstance(target, HttpTarget)
    assert target.url == called


def test_a_queue_goes_before_what_its_task_says_and_leaves_jobs_alone() -> None:
    token = OidcToken("me@example.com")
    override = HttpOverride(method="GET", headers=(("X-A", "queue"),), token=token)
    target = HttpTarget(URL, headers=(("x-a", "task"), ("b", "1")), body=b"x")
    payload = Payload(b"y", (("X-a", "payload"), ("C", "2")))
    sent = overridden(a_delivery(target=target, payload=payload), override)
    assert sent.target == replace(
        target, method="GET", headers=(("X-A", "queue"), ("b", "1")), body=b"", token=token
    )
    assert sent.payload == Payload(b"", (("C", "2"),))
    job = a_delivery(target=JobTarget("job"))
    assert overridden(job, override) is job
    assert overridden(a_delivery(target=target), None).target is target


def test_names_that_are_made_up_are_digits_and_differ() -> None:
    names = {made_up_id(f"uid-{number}") for number in range(100)}
    assert len(names) == 100
    assert all(name.isdecimal() and len(name) >= 19 for name in names)


def test_a_bucket_holds_a_fifth_of_a_second_and_at_least_ten() -> None:
    assert [burst_of(rate) for rate in (0.1, 5, 50, 51, 500)] == [10, 10, 10, 11, 100]


@pytest.mark.parametrize(
    ("state", "owner", "dispatches"),
    [
        (DeliveryState.PENDING, None, 2),
        (DeliveryState.SENDING, "r1", 3),
        (DeliveryState.FOLLOWING, None, 3),
    ],
)
def test_a_dispatch_counts_from_its_start_and_while_its_run_goes_on(
    state: DeliveryState, owner: str | None, dispatches: int
) -> None:
    made = a_delivery(state=state, lease_owner=owner, attempts=1, unknown=1)
    assert Task(made).dispatches == dispatches
