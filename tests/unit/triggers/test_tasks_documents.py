"""Queues and tasks of the Cloud Tasks API: read, masked, written."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from triggers.api.tasks.names import full_view, queue_id, task_id
from triggers.api.tasks.queue_reading import new_queue, patched
from triggers.api.tasks.queue_writing import queue_document, written
from triggers.api.tasks.task_reading import buffered_body, buffered_target, read_create
from triggers.api.tasks.task_writing import task_document
from triggers.core.queues import (
    Enforce,
    HttpOverride,
    Queue,
    QueueState,
    Task,
    UriOverride,
    burst_of,
)
from triggers.core.rates import RateLimits
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    HttpTarget,
    JobTarget,
    OAuthToken,
    OidcToken,
    QueueRetry,
    Ruling,
    SourceKind,
)

SCOPE = Scope("p", "us-central1")
BASE = Queue("", "p", "us-central1", "q")
NAME = "projects/p/locations/us-central1/queues/q"

text = st.text("abcxyz019", max_size=6)
whole_ms = st.integers(1, 3_600_000).map(lambda ms: ms / 1000)
rates = st.floats(0.01, 500).map(lambda rate: round(rate, 2))
limits = st.builds(
    lambda rate, concurrent: RateLimits(rate, burst_of(rate), concurrent),
    rates,
    st.integers(1, 5000),
)
retries = st.builds(
    QueueRetry,
    st.one_of(st.just(-1), st.integers(1, 1000)),
    st.one_of(st.just(0.0), whole_ms),
    whole_ms,
    whole_ms,
    st.integers(0, 20),
)
uris = st.builds(
    UriOverride,
    st.sampled_from(["", "http", "https"]),
    st.sampled_from(["example.com", "localhost"]),
    st.one_of(st.none(), st.integers(1, 65535)),
    text.map(lambda path: path and f"/{path}"),
    text,
    st.sampled_from(Enforce),
)
tokens = st.one_of(
    st.none(),
    st.builds(OidcToken, st.just("sa@p.iam"), text),
    st.builds(OAuthToken, st.just("sa@p.iam")),
)
targets = st.one_of(
    st.none(),
    st.builds(
        HttpOverride,
        uris,
        st.sampled_from(["", "GET", "PATCH"]),
        st.lists(st.tuples(st.just("X-A"), text), max_size=1).map(tuple),
        tokens,
    ),
)
queues = st.builds(
    lambda limits, retry, http, sampling: replace(
        BASE, limits=limits, retry=retry, http=http, sampling=sampling
    ),
    limits,
    retries,
    targets,
    st.sampled_from([0.0, 0.25, 1.0]),
)


@given(queues)
def test_what_is_written_of_a_queue_reads_as_the_queue(queue: Queue) -> None:
    assert new_queue(BASE, written(queue)) == queue
    assert (
        patched(BASE, queue_document(queue) | {"retryConfig": written(queue)["retryConfig"]}, "")
        == queue
    )


@given(queues, queues)
def test_a_mask_takes_what_it_names_and_leaves_the_rest(old: Queue, new: Queue) -> None:
    body = written(new)
    assert patched(old, body, "retryConfig") == replace(old, retry=new.retry)
    assert patched(old, body, "rate_limits") == replace(old, limits=new.limits)
    assert patched(old, body, "httpTarget") == replace(old, http=new.http)
    assert patched(old, body, "state,name") == old
    attempts = replace(old.retry, max_attempts=new.retry.max_attempts)
    assert patched(old, body, "retryConfig.maxAttempts") == replace(old, retry=attempts)


def test_a_field_that_the_mask_names_and_the_body_lacks_has_its_default_again() -> None:
    old = replace(BASE, retry=QueueRetry(3, 5.0, 1.0, 2.0, 4), limits=RateLimits(1.0, 10, 7))
    new = patched(old, {}, "retryConfig.maxAttempts,rateLimits.maxDispatchesPerSecond")
    assert new.retry == replace(old.retry, max_attempts=100)
    assert new.limits == RateLimits(500.0, 100, 7)


def test_the_kinds_of_token_exclude_each_other_under_a_mask() -> None:
    old = replace(BASE, http=HttpOverride(method="GET", token=OidcToken("a@b", "aud")))
    body = {"httpTarget": {"oauthToken": {"serviceAccountEmail": "c@d"}}}
    mask = "httpTarget.oauthToken.serviceAccountEmail,httpTarget.oauthToken.scope"
    assert patched(old, body, mask).http == HttpOverride(method="GET", token=OAuthToken("c@d"))
    cleared = "httpTarget.oidcToken.serviceAccountEmail,httpTarget.oidcToken.audience"
    assert patched(old, {}, cleared).http == HttpOverride(method="GET")


def test_a_queue_of_nothing_has_the_defaults_of_the_contract() -> None:
    document = queue_document(new_queue(BASE, {"name": NAME}))
    assert document == {
        "name": NAME,
        "rateLimits": {
            "maxDispatchesPerSecond": 500.0,
            "maxBurstSize": 100,
            "maxConcurrentDispatches": 1000,
        },
        "retryConfig": {
            "maxAttempts": 100,
            "minBackoff": "0.1s",
            "maxBackoff": "3600s",
            "maxDoublings": 16,
        },
        "state": "RUNNING",
    }


def test_numbers_of_enums_read_as_their_names_and_a_burst_size_does_not_count() -> None:
    body = {
        "state": 2,
        "rateLimits": {"maxBurstSize": -5, "maxDispatchesPerSecond": "2.5"},
        "httpTarget": {
            "httpMethod": 4,
            "uriOverride": {"scheme": 1, "host": "h", "port": "80", "uriOverrideEnforceMode": 1},
            "headerOverrides": [{"header": {"key": "A", "value": "b"}}],
        },
    }
    queue = new_queue(BASE, body)
    assert queue.state is QueueState.RUNNING
    assert queue.limits == RateLimits(2.5, 10, 1000)
    uri = UriOverride("http", "h", 80, enforce=Enforce.IF_NOT_EXISTS)
    assert queue.http == HttpOverride(uri, "PUT", (("A", "b"),))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rateLimits": {"maxDispatchesPerSecond": "fast"}}, "rateLimits.maxDispatchesPerSecond"),
        ({"rateLimits": {"maxDispatchesPerSecond": "nan"}}, "rateLimits.maxDispatchesPerSecond"),
        ({"rateLimits": {"more": 1}}, "rateLimits.more"),
        ({"retryConfig": {"minBackoff": "1"}}, "retryConfig.minBackoff"),
        ({"httpTarget": {"uriOverride": {"scheme": "FTP"}}}, "httpTarget.uriOverride.scheme"),
        ({"httpTarget": {"httpMethod": 9}}, "httpTarget.httpMethod"),
        ({"httpTarget": {"httpMethod": True}}, "httpTarget.httpMethod"),
        ({"appEngineRoutingOverride": {"service": "x"}}, "appEngineRoutingOverride"),
        ({"type": "PULL"}, "type"),
        ([], "document"),
    ],
)
def test_what_is_wrong_with_a_queue_is_named(body: Any, field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        new_queue(BASE, body)
    assert field in [violation.field for violation in caught.value.violations]


def test_a_mask_of_a_field_that_no_queue_has_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'color' is not a field of a queue"):
        patched(BASE, {}, "color")


def project(text: str) -> str:
    return {"123": "p"}.get(text, text)


def test_names_are_of_their_parents_and_a_project_goes_by_its_number_too() -> None:
    assert queue_id(NAME, SCOPE, project) == "q"
    assert queue_id(NAME.replace("/p/", "/123/"), SCOPE, project) == "q"
    assert task_id(f"{NAME}/tasks/t-1", SCOPE, "q", project) == "t-1"
    assert task_id("", SCOPE, "q", project) is None


@pytest.mark.parametrize(
    "name",
    ["q", f"{NAME}/tasks/", f"{NAME}/tasks/a/b", f"{NAME.replace('/q', '/x')}/tasks/t", 7,
     f"{NAME.replace('/p/', '/x/')}/tasks/t", f"{NAME}/tasks/a\n"],
)  # fmt: skip
def test_a_name_of_another_form_or_parent_is_refused(name: object) -> None:
    with pytest.raises(InvalidSpec, match=r"task\.name"):
        task_id(name, SCOPE, "q", project)


@pytest.mark.parametrize("view", [2, "2", "FULL"])
def test_a_view_goes_by_name_and_number(view: object) -> None:
    assert full_view(view)
    assert not full_view(1)
    assert not full_view("VIEW_UNSPECIFIED")
    assert not full_view(None)
    with pytest.raises(InvalidSpec, match="allowed: BASIC, FULL"):
        full_view("ALL")


def create(task: Any, **more: Any) -> Any:
    return read_create({"task": task, **more}, SCOPE, "q", project)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_task_is_read_with_what_clients_send(encode: Any) -> None:
    wanted = create(
        {
            "name": f"{NAME}/tasks/t",
            "httpRequest": {
                "url": "https://x/y",
                "httpMethod": 4,
                "headers": {"A": "b", "user-agent": "me", "Host": "x"},
                "body": encode(b"\xfb\xff\xfe").decode().rstrip("="),
                "oidcToken": {"serviceAccountEmail": "a@b"},
            },
            "scheduleTime": "2030-01-01T00:00:00.1234567+01:00",
            "dispatchDeadline": "15.5s",
            "dispatchCount": 4,
            "view": 2,
        },
        responseView=2,
        parent=NAME,
    )
    assert wanted.target == HttpTarget(
        "https://x/y",
        "PUT",
        (("A", "b"),),
        b"\xfb\xff\xfe",
        OidcToken("a@b"),
        deadline=15.5,
    )
    assert (wanted.name, wanted.full, wanted.retry) == ("t", True, None)
    assert wanted.schedule_time == pytest.approx(1893452400.1234567, abs=1e-6)


def test_a_task_of_nothing_but_a_url_is_a_post_with_ten_minutes() -> None:
    wanted = create({"httpRequest": {"url": "http://x"}})
    assert wanted.target == HttpTarget("http://x", deadline=600.0)
    assert (wanted.name, wanted.schedule_time, wanted.full) == (None, None, False)


def test_a_retry_configuration_of_a_task_fills_up_from_the_queue() -> None:
    wanted = create({"httpRequest": {"url": "http://x"}, "retryConfig": {"maxAttempts": 2}})
    assert wanted.retry(QueueRetry(9, 8.0, 7.0, 60.0, 5)) == QueueRetry(2, 8.0, 7.0, 60.0, 5)


@pytest.mark.parametrize(
    ("task", "field"),
    [
        (None, "task"),
        ({}, "task.httpRequest"),
        ({"appEngineHttpRequest": {"relativeUri": "/"}}, "task.appEngineHttpRequest"),
        ({"httpRequest": {"url": "u", "body": "*"}}, "task.httpRequest.body"),
        ({"httpRequest": {"url": "u", "uri": "u"}}, "task.httpRequest.uri"),
        ({"httpRequest": {"url": "u"}, "scheduleTime": "soon"}, "task.scheduleTime"),
        ({"httpRequest": {"url": "u"}, "retryConfig": {"minBackoff": 1}},
         "task.retryConfig.minBackoff"),
        ({"httpRequest": {"url": "u", "oidcToken": {}}},
         "task.httpRequest.oidcToken.serviceAccountEmail"),
        ({"httpRequest": {"url": "u"}, "pullMessage": {}}, "task.pullMessage"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_task_is_named(task: Any, field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        create(task)
    assert field in [violation.field for violation in caught.value.violations]


def test_a_buffered_task_goes_where_the_queue_says() -> None:
    uri = UriOverride("http", "h", 8080, "/p", "a=b")
    target = buffered_target(HttpOverride(uri, "PUT", (("X", "y"),)), b"{}", "application/json")
    assert (target.url, target.method, target.body) == ("http://h:8080/p?a=b", "PUT", b"{}")
    assert target.headers == (("Content-Type", "application/json"), ("X", "y"))
    assert target.deadline == 600
    bare = buffered_target(HttpOverride(UriOverride(host="h")), b"", "text/plain")
    assert (bare.url, bare.headers) == ("https://h", ())
    for nowhere in (None, HttpOverride(method="GET"), HttpOverride(UriOverride(path="/x"))):
        with pytest.raises(InvalidSpec, match=r"uriOverride\.host"):
            buffered_target(nowhere, b"", "")


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"", (b"", "text/x")),
        (b"{}", (b"", "")),
        (b'{"a": 1}', (b'{"a": 1}', "text/x")),
        (b"{broken", (b"{broken", "text/x")),
        (b'{"body": {"data": "aGk", "contentType": "text/y"}}', (b"hi", "text/y")),
        (b'{"body": {"x": 1}}', (b'{"body": {"x": 1}}', "text/x")),
    ],
)
def test_what_is_buffered_is_the_body_of_the_call_or_what_clients_wrap_it_in(
    sent: bytes, body: tuple[bytes, str]
) -> None:
    assert buffered_body(sent, "text/x") == body


def delivery(**more: Any) -> Delivery:
    values: dict[str, Any] = {
        "uid": "u", "project": "p", "region": "us-central1", "source": SourceKind.QUEUE,
        "source_name": "q", "key": "quid/t", "retry": QueueRetry(),
        "target": HttpTarget("http://x", headers=(("A", "b"),), body=b"{}", deadline=600),
        "created_at": 1.0, "not_before": 2.0,
    }  # fmt: skip
    return Delivery(**{**values, **more})


def test_a_new_task_shows_its_request_and_its_body_only_in_full() -> None:
    basic = task_document(Task(delivery()), BASE, full=False)
    request = {
        "url": "http://x",
        "httpMethod": "POST",
        "headers": {"A": "b", "User-Agent": "Google-Cloud-Tasks"},
    }
    assert basic == {
        "name": f"{NAME}/tasks/t",
        "httpRequest": request,
        "scheduleTime": "1970-01-01T00:00:02.000000Z",
        "createTime": "1970-01-01T00:00:01.000000Z",
        "dispatchDeadline": "600s",
        "view": "BASIC",
    }
    full = task_document(Task(delivery()), BASE, full=True)
    assert full == {**basic, "view": "FULL", "httpRequest": {**request, "body": "e30="}}


def test_attempts_of_a_task_show_when_and_how_they_ended() -> None:
    attempt = DeliveryAttempt("u", 1, 3.0, 2.0, 4.0, 503, Ruling.RETRY, error="HTTP 503")
    tried = delivery(attempts=1, first_attempt_at=3.0, last_attempt_at=3.0, last_status=503)
    shown = task_document(Task(tried, attempt, attempt, 1), BASE, full=False)
    assert (shown["dispatchCount"], shown["responseCount"]) == (1, 1)
    assert shown["firstAttempt"] == {"dispatchTime": "1970-01-01T00:00:03.000000Z"}
    assert shown["lastAttempt"] == {
        "scheduleTime": "1970-01-01T00:00:02.000000Z",
        "dispatchTime": "1970-01-01T00:00:03.000000Z",
        "responseTime": "1970-01-01T00:00:04.000000Z",
        "responseStatus": {"code": 14, "message": "UNAVAILABLE(14): HTTP status code 503"},
    }
    again = replace(tried, last_attempt_at=5.0, lease_owner="me")
    on_its_way = task_document(Task(again, attempt, attempt, 1), BASE, full=False)
    assert on_its_way["dispatchCount"] == 2
    assert on_its_way["lastAttempt"] == {"dispatchTime": "1970-01-01T00:00:05.000000Z"}


def test_a_retry_configuration_shows_where_it_is_not_that_of_the_queue() -> None:
    own = task_document(Task(delivery(retry=QueueRetry(2))), BASE, full=False)
    assert own["retryConfig"] == {
        "maxAttempts": 2,
        "maxRetryDuration": "0s",
        "minBackoff": "0.1s",
        "maxBackoff": "3600s",
        "maxDoublings": 16,
    }


def test_a_task_that_starts_a_job_shows_the_url_that_would_do_so() -> None:
    shown = task_document(Task(delivery(target=JobTarget("j", "p", "r"))), BASE, full=True)
    assert shown["httpRequest"] == {
        "url": "https://run.googleapis.com/v2/projects/p/locations/r/jobs/j:run",
        "httpMethod": "POST",
    }
