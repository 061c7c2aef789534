"""What a request carries, by where its delivery comes from."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner import __version__
from triggers.core.records import Delivery, HttpTarget, Payload, ScheduleRetry, SourceKind
from triggers.senders.headers import (
    UnusableHeader,
    body_of,
    default_audience,
    headers_of,
)

TARGET = HttpTarget("https://svc.example/run?x=1", body=b"{}")


def delivery(source: SourceKind = SourceKind.SCHEDULE, target: HttpTarget = TARGET) -> Delivery:
    return Delivery(
        uid="d1",
        project="local",
        region="us-central1",
        source=source,
        source_name="nightly",
        key="s1/2026-04-13T12:00:00Z",
        target=target,
        retry=ScheduleRetry(),
        queued_at=1_776_081_600.0,
    )


def of(source: SourceKind, *headers: tuple[str, str], **changes: object) -> dict[str, str]:
    target = replace(TARGET, headers=headers)
    return headers_of(replace(delivery(source, target), **changes), target)  # type: ignore[arg-type]


def test_a_schedule_is_cloud_scheduler_whatever_the_user_says() -> None:
    assert of(SourceKind.SCHEDULE, ("user-agent", "me"), ("X-CloudScheduler-JobName", "other")) == {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": "nightly",
        "X-CloudScheduler-ScheduleTime": "2026-04-13T12:00:00Z",
        "Content-Type": "application/octet-stream",
    }


def test_what_is_sent_by_hand_says_who_sends_it_and_nothing_of_google() -> None:
    assert of(SourceKind.MANUAL) == {
        "User-Agent": f"jobrunner/{__version__}",
        "Content-Type": "application/octet-stream",
    }


def test_what_is_sent_by_hand_carries_what_the_user_says() -> None:
    said = {"user-agent": "me", "X-CloudScheduler": "true", "Content-Type": "text/plain"}
    assert of(SourceKind.MANUAL, *said.items()) == said
    assert of(SourceKind.MANUAL, ("Host", "elsewhere"), ("Content-Length", "9")).keys() == {
        "User-Agent",
        "Content-Type",
    }


def test_the_instant_of_a_schedule_is_its_source_s_to_spell() -> None:
    text = "2026-04-13T12:00:00-07:00"
    brought = Payload(b"{}", (("x-cloudscheduler-scheduletime", text),))
    headers = of(SourceKind.SCHEDULE, payload=brought)
    assert headers["X-CloudScheduler-ScheduleTime"] == text


def test_a_type_is_added_only_to_the_body_of_a_schedule_that_has_none() -> None:
    bare = replace(TARGET, body=b"")
    assert "Content-Type" not in headers_of(delivery(), bare)
    assert "Content-Type" not in of(SourceKind.QUEUE)
    assert "Content-Type" not in of(SourceKind.SUBSCRIPTION)
    assert of(SourceKind.SCHEDULE, ("content-TYPE", "a/b"))["content-TYPE"] == "a/b"


def test_a_first_task_tells_its_names_and_counts() -> None:
    headers = of(
        SourceKind.QUEUE,
        ("X-CloudTasks-TaskName", "forged"),
        key="projects/p/locations/l/queues/q/tasks/t1",
        not_before=1602727873.950779,
    )
    assert headers == {
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": "nightly",
        "X-CloudTasks-TaskName": "t1",
        "X-CloudTasks-TaskRetryCount": "0",
        "X-CloudTasks-TaskExecutionCount": "0",
        "X-CloudTasks-TaskETA": "1602727873.950779",
    }


def test_a_task_that_is_tried_again_tells_what_the_last_answer_was() -> None:
    headers = of(SourceKind.QUEUE, attempts=3, responses=2, last_status=429)
    assert headers["X-CloudTasks-TaskRetryCount"] == "3"
    assert headers["X-CloudTasks-TaskExecutionCount"] == "2"
    assert headers["X-CloudTasks-TaskPreviousResponse"] == "429"
    assert headers["X-CloudTasks-TaskRetryReason"] == ""
    assert "X-CloudTasks-TaskPreviousResponse" not in of(SourceKind.QUEUE, attempts=1)


@pytest.mark.parametrize("source", [SourceKind.SUBSCRIPTION, SourceKind.EVENT_TRIGGER])
def test_pushes_and_events_come_from_the_push_layer(source: SourceKind) -> None:
    payload = Payload(b"x", (("ce-id", "1"), ("user-agent", "no")))
    assert of(source, payload=payload) == {
        "ce-id": "1",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate, br",
        "From": "noreply@google.com",
        "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
    }


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Length", "connection", "Transfer-Encoding", "TE", "Upgrade", "Expect",
     "X-Google-Anything", "x-appengine-queuename"],
)  # fmt: skip
def test_computed_and_reserved_headers_are_dropped(name: str) -> None:
    assert name.lower() not in {key.lower() for key in of(SourceKind.QUEUE, (name, "1"))}


def test_the_delivery_wins_over_the_target_by_name() -> None:
    payload = Payload(b"", (("x-A", "2"),))
    assert of(SourceKind.QUEUE, ("X-a", "1"), payload=payload)["x-A"] == "2"


def test_the_payload_takes_the_place_of_the_body_even_if_it_is_empty() -> None:
    assert body_of(delivery(), TARGET) == b"{}"
    assert body_of(replace(delivery(), payload=Payload()), TARGET) == b""


@pytest.mark.parametrize(
    "header", [("a b", "1"), ("", "1"), ("a", "b\r\nc: d"), ("a", "\0"), ("a:", "b"), ("ä", "b")]
)
def test_a_header_of_the_target_that_cannot_be_sent_is_refused_by_name(
    header: tuple[str, str],
) -> None:
    with pytest.raises(UnusableHeader, match="cannot be sent"):
        of(SourceKind.QUEUE, header)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_nothing_that_a_message_brings_breaks_out_of_its_header(
    headers: list[tuple[str, str]],
) -> None:
    for name, value in of(SourceKind.SUBSCRIPTION, payload=Payload(b"", tuple(headers))).items():
        assert not set(name) & set(" \r\n\0:\t")
        assert not set(value) & set("\r\n\0")


@pytest.mark.parametrize(
    ("source", "audience"),
    [
        (SourceKind.SCHEDULE, "https://svc.example/run?x=1"),
        (SourceKind.QUEUE, "https://svc.example/run?x=1"),
        (SourceKind.SUBSCRIPTION, "https://svc.example/run?x=1"),
        (SourceKind.EVENT_TRIGGER, "https://svc.example"),
    ],
)
def test_the_audience_that_nobody_names_is_that_of_the_source(
    source: SourceKind, audience: str
) -> None:
    assert default_audience(source, TARGET.url) == audience
