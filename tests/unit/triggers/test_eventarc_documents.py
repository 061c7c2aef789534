"""Triggers and channels of the Eventarc API: read, masked, written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, Overrides
from jobrunner.errors import InvalidSpec
from triggers.api.eventarc.channels import channel_document, new_channel
from triggers.api.eventarc.channels import patched as patched_channel
from triggers.api.eventarc.names import check_name
from triggers.api.eventarc.trigger_reading import new_trigger, patched
from triggers.api.eventarc.trigger_writing import public, trigger_document, written
from triggers.core.event_triggers import (
    MATCH_PATH_PATTERN,
    Channel,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceDestination,
    TopicDestination,
    Transport,
    TriggerCondition,
)
from triggers.core.records import Ack, EventRetry

SCOPE = Scope("p", "us-central1")
BASE = EventTrigger("", *SCOPE, "t", (), ServiceDestination(""))
MADE = (EventFilter("type", "com.example.made"),)

words = st.text("abcxyz019", min_size=1, max_size=6)
destinations = st.one_of(
    st.builds(ServiceDestination, words, st.sampled_from(["", "/a", "a/b"]), words),
    st.builds(lambda job, region: JobDestination(job, region=region), words, words),
    st.builds(HttpDestination, words.map(lambda word: f"https://{word}.example.com/")),
)
filters = st.lists(
    st.builds(EventFilter, words, words, st.sampled_from(["", MATCH_PATH_PATTERN])), max_size=3
).map(lambda more: (*MADE, *more))
triggers = st.builds(
    lambda filters, destination, account, labels, attempts, kind: replace(
        BASE,
        filters=filters,
        destination=destination,
        service_account=account,
        labels=labels,
        retry=EventRetry(max_attempts=attempts),
        content_type=kind,
    ),
    filters,
    destinations,
    st.sampled_from(["", "me@example.com"]),
    st.dictionaries(words, words, max_size=2),
    st.sampled_from([None, 1]),
    st.just("application/json"),
)


def said(**more: Any) -> dict[str, Any]:
    return {
        "eventFilters": [{"attribute": "type", "value": "com.example.made"}],
        "destination": {"cloudRun": {"service": "shop", "path": "/a", "region": "us-central1"}},
    } | more


@given(triggers)
def test_a_trigger_that_is_written_reads_as_the_same(trigger: EventTrigger) -> None:
    assert new_trigger(BASE, trigger_document(trigger)) == replace(trigger, transport=Transport())


@given(triggers, triggers, st.sampled_from(["serviceAccount", "service_account", "labels"]))
def test_a_mask_changes_what_it_names_and_nothing_else(
    old: EventTrigger, new: EventTrigger, mask: str
) -> None:
    field = "labels" if mask == "labels" else "service_account"
    expected = replace(old, **{field: getattr(new, field)})
    assert patched(old, trigger_document(new), mask) == expected


@given(triggers, triggers)
def test_a_mask_of_a_star_changes_everything(old: EventTrigger, new: EventTrigger) -> None:
    assert patched(old, trigger_document(new), "*") == new


def test_without_a_mask_what_the_body_has_is_changed() -> None:
    old = new_trigger(BASE, said(labels={"a": "b"}))
    changed = patched(old, {"serviceAccount": "me@example.com"}, "")
    assert changed == replace(old, service_account="me@example.com")


def test_a_leaf_of_a_destination_is_changed_by_itself() -> None:
    old = new_trigger(BASE, said())
    body = {"destination": {"cloudRun": {"path": "/b", "service": "not-named"}}}
    changed = patched(old, body, "destination.cloudRun.path")
    assert changed.destination == ServiceDestination("shop", "/b", "us-central1")


def test_kinds_of_destinations_put_one_another_out() -> None:
    service = new_trigger(BASE, said())
    body = {"destination": {"cloudRun": {"job": "ship"}}}
    job = patched(service, body, "destination.cloudRun.job")
    assert job.destination == JobDestination("ship", region="us-central1")
    body = {"destination": {"httpEndpoint": {"uri": "https://x.example.com"}}}
    endpoint = patched(job, body, "destination.httpEndpoint.uri")
    assert endpoint.destination == HttpDestination("https://x.example.com")
    body = {"destination": {"cloudRun": {"service": "shop"}}}
    again = patched(endpoint, body, "destination.cloudRun.service")
    assert again.destination == ServiceDestination("shop")


def test_what_the_api_cannot_say_stays_where_the_mask_does_not_touch_it() -> None:
    overrides = Overrides(containers=(ContainerOverride(args=("$type",)),))
    ours = JobDestination("ship", "", "us-central1", overrides, Ack.ON_SUCCESS)
    old = replace(BASE, filters=MADE, destination=ours, expression="id = '1'", deadline=60.0)
    changed = patched(old, {"labels": {"a": "b"}}, "labels")
    assert changed == replace(old, labels={"a": "b"})
    other = patched(old, {"destination": {"cloudRun": {"job": "send"}}}, "destination.cloudRun.job")
    assert other.destination == replace(ours, job="send")
    topic = replace(old, destination=TopicDestination("projects/p/topics/abc"))
    assert patched(topic, {"labels": {"a": "b"}}, "labels").destination == topic.destination


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"destination": {}}, "one of cloudRun, httpEndpoint"),
        ({"destination": {"gke": {"cluster": "c"}}}, r"destination\.gke"),
        ({"destination": {"workflow": "w"}}, r"destination\.workflow"),
        (
            {"destination": {"cloudRun": {"service": "s"}, "httpEndpoint": {"uri": "u"}}},
            "both are there",
        ),
        ({"destination": {"cloudRun": {"job": "j", "path": "/x"}}}, "beside a service or a path"),
        ({"retryPolicy": {"maxAttempts": 5}}, r"5 is not allowed; allowed: 1"),
        (
            {"eventDataContentType": "application/protobuf"},
            "eventDataContentType: 'application/protobuf' is not supported yet",
        ),
        ({"transport": {"pubsub": {"topic": "projects/p/topics/abc"}}}, "messagePublished only"),
        ({"eventFilter": []}, "Did you mean 'eventFilters'"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        new_trigger(BASE, said(**change))


def test_transport_and_channel_last() -> None:
    old = replace(
        new_trigger(BASE, said()), channel="c", transport=Transport("projects/p/topics/abc")
    )
    with pytest.raises(InvalidSpec, match="channel"):
        patched(old, {"channel": "d"}, "channel")
    body = {"transport": {"pubsub": {"topic": "projects/p/topics/other"}}}
    with pytest.raises(InvalidSpec, match="topic"):
        patched(old, body, "transport.pubsub.topic")
    # A client that sends all that it was shown changes nothing.
    assert patched(old, trigger_document(old), "*") == old
    assert patched(old, trigger_document(old), "") == old
    with pytest.raises(InvalidSpec, match="updateMask"):
        patched(old, {}, "colour")


def test_the_job_of_a_destination_is_left_out_for_whom_it_would_break() -> None:
    job = replace(BASE, filters=MADE, destination=JobDestination("ship"))
    document = trigger_document(job, [TriggerCondition("destination", "NOT_FOUND", "gone")])
    assert document["destination"] == {"cloudRun": {"job": "ship", "region": "us-central1"}}
    assert document["conditions"] == {"destination": {"code": "NOT_FOUND", "message": "gone"}}
    assert public(document)["destination"] == {"cloudRun": {"region": "us-central1"}}
    service = trigger_document(replace(job, destination=ServiceDestination("shop")))
    assert public(service) == service
    assert "job" in str(written(job))


def test_a_name_in_a_body_is_that_of_the_call() -> None:
    def project(text: str) -> str:
        return {"123": "p"}.get(text, text)

    for name in (None, "", "projects/p/locations/us-central1/triggers/t"):
        check_name(name, SCOPE, "triggers", "t", project)
    check_name("projects/123/locations/us-central1/triggers/t", SCOPE, "triggers", "t", project)
    for wrong in (
        "t",
        5,
        "projects/q/locations/us-central1/triggers/t",
        "projects/p/\n/triggers/t",
    ):
        with pytest.raises(InvalidSpec, match="name"):
            check_name(wrong, SCOPE, "triggers", "t", project)


def test_a_channel_is_read_masked_and_written() -> None:
    base = Channel("", *SCOPE, "c")
    channel = new_channel(base, {"labels": {"a": "b"}, "cryptoKeyName": "k", "state": "PENDING"})
    assert new_channel(base, channel_document(channel)) == channel
    assert channel_document(channel)["state"] == "ACTIVE"
    assert patched_channel(channel, {}, "crypto_key_name") == replace(channel, crypto_key="")
    with pytest.raises(InvalidSpec, match="provider"):
        new_channel(base, {"provider": "projects/p/locations/l/providers/datadog"})
    with pytest.raises(InvalidSpec, match="updateMask"):
        patched_channel(channel, {}, "colour")
