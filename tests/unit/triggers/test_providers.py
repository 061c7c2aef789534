"""The catalogue of providers is whole, and triggers are held to it."""

from __future__ import annotations

import pytest

from jobrunner.errors import InvalidSpec
from triggers.core.event_triggers import EventFilter, EventTrigger, HttpDestination
from triggers.core.event_validation import check_event_trigger
from triggers.core.lifecycle_events import EXECUTION, EXECUTION_KINDS
from triggers.core.providers import PROVIDERS, event_type, provider

AUDIT = "google.cloud.audit.log.v1.written"
FINALIZED = "google.cloud.storage.object.v1.finalized"


def trigger(*filters: EventFilter, channel: str = "") -> EventTrigger:
    return EventTrigger(
        "u", "demo", "us-central1", "t1", filters, HttpDestination("http://h"), channel=channel
    )


def test_every_type_is_filtered_by_type_and_found_by_name() -> None:
    for one in PROVIDERS:
        assert provider(one.id) is one
        for kind in one.types:
            assert event_type(kind.type) is kind
            assert next(a.name for a in kind.attributes if a.required) == "type"
    assert provider("x") is None
    assert event_type("com.example.x") is None
    names = [kind.type for one in PROVIDERS for kind in one.types]
    assert len(names) == len(set(names))
    assert {f"{EXECUTION}{kind}" for kind in EXECUTION_KINDS} <= set(names)


def test_a_full_name_says_where() -> None:
    found = provider("pubsub.googleapis.com")
    assert found is not None
    name = found.full_name("demo", "us-central1")
    assert name == "projects/demo/locations/us-central1/providers/pubsub.googleapis.com"


def test_triggers_that_filter_what_their_type_offers_are_fine() -> None:
    check_event_trigger(trigger(EventFilter("type", FINALIZED), EventFilter("bucket", "b")))
    check_event_trigger(
        trigger(
            EventFilter("type", AUDIT),
            EventFilter("serviceName", "s"),
            EventFilter("methodName", "m"),
            EventFilter("resourceName", "/projects/**", "match-path-pattern"),
        )
    )
    check_event_trigger(trigger(EventFilter("type", "com.example"), EventFilter("anything", "x")))
    channel = "projects/p/locations/r/channels/c"
    check_event_trigger(trigger(EventFilter("type", FINALIZED), channel=channel))
    check_event_trigger(
        trigger(
            EventFilter("type", "dev.jobrunner.execution.v1.failed"),
            EventFilter("job", "nightly-*", "match-path-pattern"),
        )
    )


@pytest.mark.parametrize(
    ("filters", "field", "words"),
    [
        ([EventFilter("type", FINALIZED)], "eventFilters", "'bucket', which"),
        (
            [EventFilter("type", FINALIZED), EventFilter("bukket", "b")],
            "eventFilters[1].attribute",
            "did you mean 'bucket'?",
        ),
        (
            [EventFilter("type", FINALIZED), EventFilter("bucket", "b*", "match-path-pattern")],
            "eventFilters[1].operator",
            "compared exactly",
        ),
    ],
)
def test_what_a_type_does_not_offer_is_refused(
    filters: list[EventFilter], field: str, words: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        check_event_trigger(trigger(*filters))
    assert caught.value.violations[0].field == field
    assert words in caught.value.violations[0].message
