"""Events and messages lead to exactly the deliveries that triggers and subscriptions ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.records import ExecutionChange, Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.errors import InvalidSpec
from triggers.core.cesql import FUNCTIONS
from triggers.core.cloudevents.pubsub_binding import carries_event, decode_message, encode_message
from triggers.core.event_plans import delivery_of, event_key, plan_event, verdict_on, wanted_by
from triggers.core.event_triggers import (
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.events import AttributeType, CloudEvent, DataKind, Extension, PubsubMessage
from triggers.core.google_events import (
    audit_entry,
    from_audit_entry,
    from_notification,
    is_audit_entry,
    is_notification,
    message_published,
)
from triggers.core.lifecycle_events import (
    DEAD,
    EXECUTION_KINDS,
    MISSED,
    dead_letter_event,
    execution_event,
    missed_event,
)
from triggers.core.message_plans import plan_message
from triggers.core.records import (
    Ack,
    Delivery,
    EventRetry,
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    OidcToken,
    PubsubTarget,
    PushRetry,
    Schedule,
    SourceKind,
)
from triggers.core.service_urls import pending_url, read_pending_url, resolved_url
from triggers.core.states import DeliveryState, OccurrenceState
from triggers.core.subscriptions import AckPolicy, Subscription, Wrapping
from triggers.core.templates import Context, parse_template, render
from triggers.errors import InvalidEvent

NOW = 1_767_225_600.0
EVENT = CloudEvent(
    "e1", "/shop", "com.example.order", "orders/7", "2026-01-01T00:00:00Z", "application/json",
    extensions=(Extension("tenant", "t1"), Extension("n", 5, AttributeType.INTEGER)),
    data=b'{"name":"a b","items":[{"id":7}],"odd key":null}', kind=DataKind.JSON,
)  # fmt: skip
TYPE = EventFilter("type", "com.example.order")
TRIGGER = EventTrigger("u1", "demo", "us-central1", "t1", (TYPE,), ServiceDestination("svc", "/ev"))
MESSAGE = PubsubMessage(
    "77", "2026-01-01T00:00:00.123456Z", NOW + 0.123456, b"hi", (("k", "v"),), "o"
)
SUBSCRIPTION = Subscription(
    "s1", "demo", "us-central1", "orders", HttpTarget("http://127.0.0.1/x"), "projects/p/topics/top"
)


def nowhere(scope: Scope, name: str) -> str | None:
    return None


def made(trigger: EventTrigger, event: CloudEvent = EVENT) -> Delivery:
    return delivery_of(trigger, event, now=NOW, uid="d1", resolve=nowhere)


# ---------------------------------------------------------------- which triggers


def test_each_trigger_that_matches_gets_one_delivery() -> None:
    other = replace(TRIGGER, uid="u2", name="t2", filters=(EventFilter("type", "x"),))
    uids = iter(["d1", "d2"])
    plans = plan_event(
        EVENT, [TRIGGER, other, replace(TRIGGER, uid="u3", name="t3")],
        now=NOW, new_uid=lambda: next(uids), resolve=nowhere,
    )  # fmt: skip
    assert [plan.trigger.name for plan in plans] == ["t1", "t3"]
    assert [plan.delivery and plan.delivery.uid for plan in plans] == ["d1", "d2"]


@pytest.mark.parametrize(
    ("trigger", "event", "channel", "words"),
    [
        (TRIGGER, EVENT, "", None),
        (
            replace(TRIGGER, filters=(TYPE, EventFilter("tenant", "t2"))),
            EVENT,
            "",
            "'t1', not 't2'",
        ),
        (replace(TRIGGER, expression="n > 9"), EVENT, "", "the expression is false"),
        (replace(TRIGGER, expression="n > 4"), EVENT, "", None),
        (replace(TRIGGER, channel="c"), EVENT, "", "by no channel"),
        (TRIGGER, EVENT, "c", "the trigger has no channel"),
        (TRIGGER, EVENT.with_hops(8), "", None),
        (TRIGGER, EVENT.with_hops(9), "", "9 events of our own"),
    ],
)
def test_a_verdict_names_who_said_no(
    trigger: EventTrigger, event: CloudEvent, channel: str, words: str | None
) -> None:
    verdict = verdict_on(trigger, event, channel)
    assert verdict.matches is (words is None)
    assert wanted_by(trigger, event, channel) is verdict.matches
    assert words is None or words in " ".join(verdict.refusals)


def test_an_event_has_one_key_per_trigger_however_often_it_comes() -> None:
    again = replace(EVENT, time=None, data=b"")
    assert made(TRIGGER).key == made(TRIGGER, again).key
    assert made(TRIGGER).key != made(TRIGGER, replace(EVENT, id="e2")).key
    assert made(TRIGGER).key != made(TRIGGER, replace(EVENT, source="/other")).key
    assert made(TRIGGER).key != made(replace(TRIGGER, uid="u9")).key


# ---------------------------------------------------------------- where they go


@pytest.mark.parametrize(
    ("event_type", "differ"),
    [
        ("com.example.made", False),
        ("google.cloud.pubsub.topic.v1.messagePublished", True),
        ("google.cloud.storage.object.v1.finalized", True),
    ],
)
def test_an_id_that_the_emulator_gives_again_is_told_apart_by_its_time(
    event_type: str, differ: bool
) -> None:
    first = replace(EVENT, type=event_type, time="2026-01-01T00:00:00Z")
    second = replace(first, time="2026-01-02T00:00:00Z")
    keys = {event_key(TRIGGER, event) for event in (first, first, second)}
    assert len(keys) == 1 + differ


def test_a_service_gets_the_event_in_binary_mode() -> None:
    trigger = replace(
        TRIGGER, destination=ServiceDestination("http://127.0.0.1:9/base/", "ev?x=1"),
        service_account="sa@demo.example",
    )  # fmt: skip
    delivery = made(trigger)
    assert delivery.source is SourceKind.EVENT_TRIGGER
    target = delivery.target
    assert isinstance(target, HttpTarget)
    assert target.url == "http://127.0.0.1:9/base/ev?x=1"
    assert (target.token, target.follow_redirects) == (OidcToken("sa@demo.example"), False)
    assert delivery.payload is not None
    assert delivery.payload.body == EVENT.data
    assert dict(delivery.payload.headers)["ce-type"] == "com.example.order"


def test_a_service_without_an_address_is_looked_up_when_it_is_called() -> None:
    target = made(TRIGGER).target
    assert isinstance(target, HttpTarget)
    assert target.url == "http://svc.us-central1.demo.service.invalid/ev"
    scope = Scope("demo", "us-central1")
    assert read_pending_url(target.url) == (scope, "svc", "/ev")
    assert resolved_url(target.url, nowhere) is None
    assert resolved_url(target.url, lambda scope, name: "http://h:1/b") == "http://h:1/b/ev"
    assert resolved_url("http://h/x", nowhere) == "http://h/x"
    bare = pending_url(scope, "svc", "?a=1")
    assert resolved_url(bare, lambda scope, name: "http://h:1") == "http://h:1?a=1"
    assert read_pending_url(pending_url(Scope("example.com:p", "r"), "s")) == (
        Scope("example.com:p", "r"), "s", "",
    )  # fmt: skip
    known = delivery_of(TRIGGER, EVENT, now=NOW, uid="d", resolve=lambda scope, name: "http://h:1")
    assert isinstance(known.target, HttpTarget)
    assert known.target.url == "http://h:1/ev"


@pytest.mark.parametrize(
    ("event_type", "mode"),
    [
        (
            "google.cloud.pubsub.topic.v1.messagePublished",
            "CUSTOM_PUBSUB_projects%2FP%2Ftopics%2FT",
        ),
        ("google.cloud.storage.object.v1.deleted", "GCS_NOTIFICATION"),
        ("com.example.order", "CE_PUBSUB_BINDING"),
    ],
)
def test_a_service_gets_the_query_of_production_if_asked(event_type: str, mode: str) -> None:
    event = replace(EVENT, type=event_type, source="//pubsub.googleapis.com/projects/P/topics/T")
    target = delivery_of(
        TRIGGER, event, now=NOW, uid="d", resolve=lambda scope, name: "http://h", with_modes=True
    ).target
    assert isinstance(target, HttpTarget)
    assert target.url == f"http://h/ev?__GCP_CloudEventsMode={mode}"


def test_a_job_gets_the_event_as_variables_file_and_arguments() -> None:
    overrides = Overrides(
        (
            ContainerOverride(
                args=("--name={{ data.name }}", "{{ event.type }}"),
                env=(EnvVar("ITEM", "{{ data.items[0].id }}"), EnvVar("CE_ID", "mine")),
            ),
        ),
        task_count=3,
    )
    destination = JobDestination("work", overrides=overrides, ack=Ack.ON_SUCCESS)
    delivery = made(replace(TRIGGER, destination=destination))
    target = delivery.target
    assert isinstance(target, JobTarget)
    assert (target.job, target.project, target.region) == ("work", "demo", "us-central1")
    assert (target.ack, target.overrides.task_count) == (Ack.ON_SUCCESS, 3)
    (container,) = target.overrides.containers
    assert container.args == ("--name=a b", "com.example.order")
    variables = {variable.name: variable.value for variable in container.env}
    assert variables == {
        "CE_SPECVERSION": "1.0", "CE_ID": "mine", "CE_SOURCE": "/shop",
        "CE_TYPE": "com.example.order", "CE_SUBJECT": "orders/7",
        "CE_TIME": "2026-01-01T00:00:00Z", "CE_DATACONTENTTYPE": "application/json",
        "CE_TENANT": "t1", "CE_N": "5", "ITEM": "7",
    }  # fmt: skip
    assert delivery.payload is not None
    assert json.loads(delivery.payload.body)["data"]["name"] == "a b"
    assert dict(delivery.payload.headers)["content-type"].startswith("application/cloudevents+json")


def test_a_variable_that_no_process_could_take_is_left_to_the_file() -> None:
    long = replace(EVENT, subject="x" * 40_000)
    target = made(replace(TRIGGER, destination=JobDestination("work")), long).target
    assert isinstance(target, JobTarget)
    names = {variable.name for variable in target.overrides.containers[0].env}
    assert "CE_SUBJECT" not in names
    assert "CE_TYPE" in names


def test_a_template_that_asks_for_too_much_is_a_problem_of_that_trigger_alone() -> None:
    job = JobDestination("work", overrides=Overrides((ContainerOverride(args=("{{ data.no }}",)),)))
    plans = plan_event(
        EVENT, [replace(TRIGGER, destination=job), TRIGGER],
        now=NOW, new_uid=lambda: "d", resolve=nowhere,
    )  # fmt: skip
    assert plans[0].delivery is None
    assert plans[0].problem == "args[0]: {{ data.no }}: what stands there has no 'no'"
    assert plans[1].delivery is not None


def test_a_topic_gets_the_event_as_a_message_that_is_read_as_the_same_event() -> None:
    target = made(replace(TRIGGER, destination=TopicDestination("projects/p/topics/out"))).target
    assert isinstance(target, PubsubTarget)
    message = PubsubMessage("1", "", NOW, target.data, target.attributes)
    assert carries_event(message)
    assert decode_message(message) == replace(
        EVENT, extensions=(Extension("tenant", "t1"), Extension("n", "5"))
    )
    assert not carries_event(MESSAGE)


def test_an_endpoint_is_called_as_it_is_written() -> None:
    target = made(replace(TRIGGER, destination=HttpDestination("http://h/x?a=1"))).target
    assert isinstance(target, HttpTarget)
    assert target.url == "http://h/x?a=1"


# ---------------------------------------------------------------- templates


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{event.id}}-{{ event.n }}", "e1-5"),
        ("{{ data.items[0] }}", '{"id":7}'),
        ('{{ data["odd key"] }}', "null"),
        ("{{ path.user }}", "u1"),
        ('{{ "{{" }} }}', "{{ }}"),
        ("{{ event.time }}", "2026-01-01T00:00:00Z"),
    ],
)
def test_templates_put_in_what_the_event_says(template: str, text: str) -> None:
    assert render(parse_template(template), Context(EVENT, {"user": "u1"})) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ event.type", "has no end"),
        ("{{ env.HOME }}", "begins with event, data, path"),
        ("{{ event }}", "event has names"),
        ("{{ event.a.b }}", "event has names"),
        ("{{ data.a + 1 }}", "is no step"),
        ("{{ data[x] }}", "is no step"),
        ("{{ }}", "begins with"),
    ],
)
def test_what_is_no_template_is_refused(template: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_template(template)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("template", "event", "words"),
    [
        ("{{ event.nothing }}", EVENT, "no attribute 'nothing'"),
        ("{{ path.nothing }}", EVENT, "has kept 'nothing'"),
        ("{{ data.items[4] }}", EVENT, "no place 4"),
        ("{{ data.x }}", replace(EVENT, kind=DataKind.TEXT), "text, not JSON"),
        ("{{ data }}", replace(EVENT, data=b"\xff", kind=DataKind.BINARY), "binary, not text"),
        ("{{ data }}", replace(EVENT, data=b'"\\u0000"'), "no argument can have"),
    ],
)
def test_what_an_event_does_not_have_is_named(template: str, event: CloudEvent, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        render(parse_template(template), Context(event))
    assert words in caught.value.message


@given(st.text('{}[]". evntdaph0\\', max_size=30) | st.text(max_size=30))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    try:
        found = render(parse_template(text), Context(EVENT))
    except InvalidSpec:
        return
    assert "{{" in text or found == text


# ---------------------------------------------------------------- messages


def test_a_message_becomes_a_push_of_production_with_a_key_of_its_own() -> None:
    plan = plan_message(SUBSCRIPTION, MESSAGE, now=NOW, uid="d1")
    delivery = plan.delivery
    assert delivery is not None
    assert delivery.key == "s1/77/1767225600123"
    assert (delivery.queued_at, delivery.order_key) == (MESSAGE.published_at, None)
    assert isinstance(delivery.target, HttpTarget)
    assert (delivery.target.deadline, delivery.target.follow_redirects) == (10.0, False)
    assert delivery.payload is not None
    document = json.loads(delivery.payload.body)
    assert document["subscription"] == "projects/demo/subscriptions/orders"
    assert "deliveryAttempt" not in document


def test_order_and_numbers_follow_the_subscription() -> None:
    subscription = replace(
        SUBSCRIPTION, ordered=True, retry=PushRetry(max_delivery_attempts=5), sends=Wrapping.WRAPPED
    )
    delivery = plan_message(
        subscription, replace(MESSAGE, delivery_attempt=4), now=NOW, uid="d"
    ).delivery
    assert delivery is not None
    assert delivery.payload is not None
    assert delivery.order_key == "o"
    assert json.loads(delivery.payload.body)["deliveryAttempt"] == 1


def test_acknowledged_when_finished_it_is_one_attempt_each_time() -> None:
    subscription = replace(SUBSCRIPTION, ack=AckPolicy.FINISHED)
    message = replace(MESSAGE, delivery_attempt=4)
    first = plan_message(subscription, message, now=NOW, uid="d").delivery
    second = plan_message(subscription, message, now=NOW, uid="d", attempt=1).delivery
    assert first is not None
    assert second is not None
    assert first.retry == EventRetry(max_attempts=1, lifetime=7 * 86_400.0)
    assert second.key == f"{first.key}/1"
    assert first.payload is not None
    assert json.loads(first.payload.body)["deliveryAttempt"] == 4


def test_a_filter_that_says_no_leads_to_nothing_and_says_why() -> None:
    plan = plan_message(
        replace(SUBSCRIPTION, filter='attributes.k = "x"'), MESSAGE, now=NOW, uid="d"
    )
    assert plan.delivery is None
    assert plan.reason == """attributes.k = "x" says no: the message has 'v'"""


def test_a_message_for_a_job_is_the_event_of_its_topic() -> None:
    overrides = Overrides((ContainerOverride(args=("{{ data.message.attributes.k }}",)),))
    subscription = replace(SUBSCRIPTION, target=JobTarget("work", overrides=overrides))
    delivery = plan_message(subscription, MESSAGE, now=NOW, uid="d").delivery
    assert delivery is not None
    assert isinstance(delivery.target, JobTarget)
    (container,) = delivery.target.overrides.containers
    assert container.args == ("v",)
    assert {v.name: v.value for v in container.env}["CE_ID"] == "77"
    plan = plan_message(subscription, replace(MESSAGE, attributes=()), now=NOW, uid="d")
    assert plan.delivery is None
    assert "has no 'attributes'" in plan.problem


# ---------------------------------------------------------------- events of Google's types


def test_a_published_message_is_the_event_that_eventarc_makes_of_it() -> None:
    event = message_published(MESSAGE, "projects/P/topics/T", "projects/P/subscriptions/S")
    assert (event.id, event.source) == ("77", "//pubsub.googleapis.com/projects/P/topics/T")
    assert (event.time, event.subject) == ("2026-01-01T00:00:00.123Z", None)
    assert json.loads(event.data) == {
        "message": {
            "attributes": {"k": "v"}, "data": "aGk=", "messageId": "77", "message_id": "77",
            "orderingKey": "o", "publishTime": "2026-01-01T00:00:00.123Z",
            "publish_time": "2026-01-01T00:00:00.123Z",
        },
        "subscription": "projects/P/subscriptions/S",
    }  # fmt: skip


def test_hops_go_through_a_topic() -> None:
    attributes, data = encode_message(EVENT.with_hops(4))
    message = PubsubMessage("1", "", NOW, data, attributes)
    assert message_published(message, "projects/P/topics/T", "s").hops == 4
    assert decode_message(message).hops == 4


def notification(**more: str) -> PubsubMessage:
    attributes = {
        "eventType": "OBJECT_FINALIZE", "bucketId": "receipts", "objectId": "für 1.jpg",
        "objectGeneration": "1732832936756275", "payloadFormat": "JSON_API_V1",
        "eventTime": "2024-11-28T22:28:56.763855Z", **more,
    }  # fmt: skip
    data = b'{"name":"x","size":352,"generation":"5","metageneration":1,"componentCount":2}'
    return PubsubMessage("127", "", NOW, data, tuple(attributes.items()))


def test_a_notification_of_storage_is_its_event_and_large_numbers_are_text() -> None:
    message = notification()
    assert is_notification(message)
    event = from_notification(message)
    assert event.type == "google.cloud.storage.object.v1.finalized"
    assert event.source == "//storage.googleapis.com/projects/_/buckets/receipts"
    assert (event.subject, event.time) == ("objects/für 1.jpg", "2024-11-28T22:28:56.763855Z")
    assert event.extensions == (Extension("bucket", "receipts"),)
    assert json.loads(event.data) == {
        "name": "x", "size": "352", "generation": "5", "metageneration": "1", "componentCount": 2,
    }  # fmt: skip
    bare = json.loads(from_notification(notification(payloadFormat="NONE")).data)
    assert bare["id"] == "receipts/für 1.jpg/1732832936756275"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"eventType": "OBJECT_MADE"}, "eventType"),
        ({"bucketId": ""}, "bucketId"),
        ({"eventTime": "soon"}, "time"),
    ],
)
def test_what_is_no_notification_is_refused(more: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_notification(notification(**more))
    assert caught.value.field == field


def test_the_id_of_an_audit_event_is_delivered_as_eventarc_writes_it() -> None:
    entry = audit_entry(
        project="P", service="run.googleapis.com", method="m", resource="100%", at=NOW,
        insert_id="i1",
    )  # fmt: skip
    event = from_audit_entry(entry)
    trigger = replace(
        TRIGGER, filters=(EventFilter("type", event.type),), destination=HttpDestination("http://x")
    )
    [plan] = plan_event(event, [trigger], now=NOW, new_uid=lambda: "d", resolve=nowhere)
    assert plan.delivery is not None
    assert plan.delivery.payload is not None
    headers = dict(plan.delivery.payload.headers)
    assert headers["ce-id"].startswith("projects/P/logs/cloudaudit.googleapis.com%2Factivityi1")
    assert headers["ce-resourcename"] == "100%25"


def test_an_entry_of_the_audit_log_is_its_event() -> None:
    entry = audit_entry(
        project="P", service="run.googleapis.com", method="google.cloud.run.v2.Jobs.CreateJob",
        resource="projects/P/locations/r/jobs/j", at=NOW, insert_id="i1", principal="me@x",
    )  # fmt: skip
    assert is_audit_entry(entry)
    event = from_audit_entry({**entry, "protoPayload": {**entry["protoPayload"], "@type": "x"}})  # type: ignore[dict-item]
    assert event.type == "google.cloud.audit.log.v1.written"
    assert event.source == "//cloudaudit.googleapis.com/projects/P/logs/activity"
    assert event.subject == "run.googleapis.com/projects/P/locations/r/jobs/j"
    assert {one.name: one.value for one in event.extensions} == {
        "servicename": "run.googleapis.com",
        "methodname": "google.cloud.run.v2.Jobs.CreateJob",
        "resourcename": "projects/P/locations/r/jobs/j",
        "recordedtime": "2026-01-01T00:00:00.000000Z",
    }
    assert event.datacontenttype == "application/json; charset=utf-8"
    assert "@type" not in json.loads(event.data)["protoPayload"]
    for wrong in (
        {},
        [],
        {"logName": "x"},
        {**entry, "protoPayload": 5},
        {**entry, "timestamp": "x"},
    ):
        with pytest.raises(InvalidEvent):
            from_audit_entry(wrong)


# ---------------------------------------------------------------- events of our own


def test_a_change_of_an_execution_is_an_event_with_its_place_in_the_feed() -> None:
    change = ExecutionChange(9, "u7", 3, "failed", NOW, {"reason": "NonZeroExitCode"})
    event = execution_event(change, project="demo", region="r", job="j", name="j-x1", hops=2)
    assert (event.id, event.type) == ("u7-3", "dev.jobrunner.execution.v1.failed")
    assert event.source == "//jobrunner.dev/projects/demo/locations/r/jobs/j"
    assert (event.subject, event.hops) == ("executions/j-x1", 2)
    assert event.attribute("job") == "j"
    assert json.loads(event.data)["reason"] == "NonZeroExitCode"


def test_a_missed_occurrence_is_an_event() -> None:
    schedule = Schedule("s", "demo", "r", "nightly", "0 0 * * *", HttpTarget("http://h"))
    key = OccurrenceKey("s", int(NOW))
    event = missed_event(schedule, Occurrence(key, NOW, OccurrenceState.MISSED, reason="why"), NOW)
    assert event.type == "dev.jobrunner.schedule.v1.missed"
    assert event.subject == "occurrences/2026-01-01T00:00:00Z"
    assert json.loads(event.data)["reason"] == "why"


@pytest.mark.parametrize(
    "destination",
    [HttpDestination("http://h"), JobDestination("j"), TopicDestination("projects/p/topics/ttt")],
)
def test_a_dead_letter_is_an_event_but_not_that_of_a_dead_letter(
    destination: HttpDestination | JobDestination | TopicDestination,
) -> None:
    trigger = replace(TRIGGER, destination=destination)
    dead = replace(made(trigger), state=DeliveryState.DEAD, reason="404", settled_at=NOW, hops=3)
    event = dead_letter_event(dead, "http://h")
    assert event is not None
    assert (event.type, event.hops) == ("dev.jobrunner.delivery.v1.dead", 4)
    assert event.source == "//jobrunner.dev/projects/demo/locations/us-central1/triggers/t1"
    assert json.loads(event.data)["reason"] == "404"
    again = replace(made(trigger, event), state=DeliveryState.EXPIRED)
    assert dead_letter_event(again, "http://h") is None


def test_the_reference_names_every_type_of_ours_and_every_function() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/events.md").read_text()
    for word in (*EXECUTION_KINDS, *FUNCTIONS, MISSED, DEAD):
        assert word in page, word
