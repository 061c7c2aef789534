"""Events that were given up, as messages of a dead-letter topic."""

from dataclasses import replace

import pytest

from tests.support.events import a_trigger, an_event
from triggers.core.dead_letters import COUNT, PROJECT, SUBSCRIPTION
from triggers.core.event_dead_letters import dead_letter, is_given_up
from triggers.core.event_plans import delivery_of
from triggers.core.event_triggers import (
    Destination,
    HttpDestination,
    JobDestination,
    TopicDestination,
)
from triggers.core.events import PubsubMessage
from triggers.core.google_events import message_published
from triggers.core.records import Delivery, PubsubTarget
from triggers.core.states import DeliveryState

TOPIC = "projects/local/topics/letters"


def given_up(destination: Destination, event: object = None) -> Delivery:
    trigger = a_trigger(destination=destination, dead_letter_topic=TOPIC)
    made = delivery_of(
        trigger, event or an_event(subject="Euro €"),  # type: ignore[arg-type]
        now=1.0, uid="d-1", resolve=lambda scope, name: None,
    )  # fmt: skip
    return replace(made, state=DeliveryState.DEAD, attempts=5)


@pytest.mark.parametrize(
    "destination",
    [
        HttpDestination("http://x/"),
        JobDestination("j"),
        TopicDestination("projects/local/topics/t-1"),
    ],
)
def test_an_event_is_a_message_again_whatever_it_was_for(destination: Destination) -> None:
    letter = given_up(destination)
    assert is_given_up(letter)
    copy = dead_letter(letter, a_trigger(dead_letter_topic=TOPIC), uid="d-2", now=2.0)
    assert isinstance(copy.target, PubsubTarget)
    said = dict(copy.target.attributes)
    assert (copy.target.topic, copy.target.data) == (TOPIC, b'{"a":1}')
    assert (said["ce-type"], said["ce-subject"]) == ("com.example.made", "Euro €")
    assert (said[COUNT], said[SUBSCRIPTION], said[PROJECT]) == ("5", "made", "local")


def test_a_message_goes_as_the_message_that_it_was() -> None:
    message = PubsubMessage("7", "2026-01-01T00:00:00Z", 1.0, b"hello", (("k", "v"),))
    event = message_published(message, "projects/local/topics/t-1", "projects/local/subs/s")
    copy = dead_letter(
        given_up(HttpDestination("http://x/"), event), a_trigger(), uid="d-2", now=2.0
    )
    assert isinstance(copy.target, PubsubTarget)
    assert copy.target.data == b"hello"
    assert dict(copy.target.attributes)["k"] == "v"


def test_a_dead_letter_that_cannot_be_published_makes_no_other() -> None:
    letter = given_up(HttpDestination("http://x/"))
    copy = dead_letter(letter, a_trigger(dead_letter_topic=TOPIC), uid="d-2", now=2.0)
    assert not is_given_up(replace(copy, state=DeliveryState.DEAD))
    assert not is_given_up(replace(letter, state=DeliveryState.DELIVERED))
    assert is_given_up(replace(letter, state=DeliveryState.EXPIRED))
