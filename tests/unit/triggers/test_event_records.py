"""What subscriptions and event triggers may say, and what events know of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobrunner.errors import InvalidSpec
from triggers.core.event_triggers import (
    Channel,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceAddress,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.event_validation import (
    check_channel,
    check_event_trigger,
    check_service,
    check_subscription,
)
from triggers.core.events import AttributeType, CloudEvent, Extension, PubsubMessage
from triggers.core.records import EventRetry, HttpTarget, PushRetry
from triggers.core.subscriptions import AckPolicy, Intake, Subscription, TokenCheck

CUSTOM = EventFilter("type", "com.example.made")

SUBSCRIPTION = Subscription(
    "u1", "demo", "us-central1", "orders", HttpTarget("http://127.0.0.1/x"),
    topic="projects/p/topics/top",
)  # fmt: skip
TRIGGER = EventTrigger(
    "u2", "demo", "us-central1", "made", (CUSTOM,), ServiceDestination("svc", "/ev")
)


def fields(error: InvalidSpec) -> list[str]:
    return [violation.field for violation in error.violations]


def test_subscriptions_and_triggers_of_ordinary_form_are_fine() -> None:
    check_subscription(SUBSCRIPTION)
    check_event_trigger(TRIGGER)
    check_channel(Channel("u", "demo", "us-central1", "c1"))
    check_service(ServiceAddress("demo", "us-central1", "svc", "http://127.0.0.1:8080/base"))
    for destination in (
        JobDestination("job"),
        HttpDestination("https://host/path?q=1"),
        TopicDestination("projects/p/topics/out"),
        ServiceDestination("http://127.0.0.1:8080"),
    ):
        check_event_trigger(replace(TRIGGER, destination=destination))


def test_all_that_is_wrong_with_a_subscription_is_said_at_once() -> None:
    wrong = replace(
        SUBSCRIPTION,
        name="go",
        topic="top",
        target=HttpTarget("ftp://x"),
        retry=PushRetry(min_backoff=900.0, max_delivery_attempts=2, retention=1.0),
        dead_letter_topic="projects/p/topics/googx",
        exactly_once=True,
        ordered=True,
        ack=AckPolicy.FINISHED,
        filter="attributes.",
        ack_deadline=5.0,
        token=TokenCheck(email="nobody"),
        backlog=0,
    )
    with pytest.raises(InvalidSpec) as caught:
        check_subscription(wrong)
    assert set(fields(caught.value)) == {
        "name", "topic", "httpTarget.uri", "retryPolicy.minimumBackoff",
        "deadLetterPolicy.maxDeliveryAttempts", "messageRetentionDuration",
        "deadLetterPolicy.deadLetterTopic", "enableExactlyOnceDelivery", "enableMessageOrdering",
        "ackDeadlineSeconds", "filter", "senderToken.serviceAccountEmail", "backlog",
    }  # fmt: skip


def test_to_pull_takes_a_topic_or_a_subscription_and_no_secret() -> None:
    pull = replace(SUBSCRIPTION, intake=Intake.PULL, topic="", secret_hash="00" * 32)
    with pytest.raises(InvalidSpec) as caught:
        check_subscription(pull)
    assert fields(caught.value) == ["topic", "pushToken"]
    check_subscription(
        replace(pull, pubsub_subscription="projects/p/subscriptions/sub", secret_hash="")
    )


def test_all_that_is_wrong_with_a_trigger_is_said_at_once() -> None:
    wrong = replace(
        TRIGGER,
        name="Bad_Name",
        filters=(
            EventFilter("no-good", "x"),
            EventFilter("a", "", "path_pattern"),
            EventFilter("A", "x"),
            EventFilter("b", "a**b", "match-path-pattern"),
        ),
        destination=ServiceDestination("No Service", "a b"),
        service_account="x",
        channel="c1",
        retry=EventRetry(max_attempts=3),
        deadline=0.0,
        expression="type =",
    )
    with pytest.raises(InvalidSpec) as caught:
        check_event_trigger(wrong)
    assert set(fields(caught.value)) == {
        "name", "eventFilters", "eventFilters[0].attribute", "eventFilters[1].value",
        "eventFilters[1].operator", "eventFilters[2].attribute", "eventFilters[3].value",
        "destination.cloudRun.service",
        "destination.cloudRun.path", "serviceAccount", "channel", "retryPolicy.maxAttempts",
        "deadline", "expression",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url", ["svc", "http://", "http://host/a b", "http://host/?x=1", "ftp://h"]
)
def test_the_address_of_a_service_is_a_url_without_a_query(url: str) -> None:
    with pytest.raises(InvalidSpec):
        check_service(ServiceAddress("demo", "us-central1", "svc", url))


def test_hops_are_an_extension_of_the_event_and_nothing_odd_counts() -> None:
    event = CloudEvent("1", "/s", "t", extensions=(Extension("a", "b"),))
    assert event.hops == 0
    assert event.with_hops(3).with_hops(4).hops == 4
    assert event.with_hops(3).with_hops(0) == event
    for value in ("x", "-1", True, b"3", "٣"):
        odd = replace(event, extensions=(Extension("jobrunnerhops", value),))
        assert odd.hops == 0
    assert replace(event, extensions=(Extension("jobrunnerhops", "5"),)).hops == 5


def test_the_attributes_of_an_event_are_the_core_ones_and_then_its_own() -> None:
    event = CloudEvent(
        "1", "/s", "t", subject="x", extensions=(Extension("n", 4, AttributeType.INTEGER),)
    )
    assert [name for name, _ in event.attributes()] == [
        "specversion", "id", "source", "type", "subject", "n",
    ]  # fmt: skip
    assert event.attribute("n") == 4
    assert event.attribute("time") is None


def test_a_message_is_known_by_subscription_id_and_instant() -> None:
    text, at = "2026-01-01T00:00:00.123Z", 1_767_225_600.123
    message = PubsubMessage("1", text, at)
    finer = PubsubMessage("1", "2026-01-01T00:00:00.123456Z", 1_767_225_600.123456)
    assert message.key("s") == finer.key("s")
    assert message.key("s") != PubsubMessage("1", text, at + 0.001).key("s")
    assert str(message.key("s")) == "s/1/1767225600123"
