"""Events to topics of Google's emulator: as a destination, and when they are given up."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_events import BINARY, send, trigger
from tests.support.components import require
from tests.support.pubsub import PubsubEmulator, pubsub_emulator
from tests.support.receiver import receiving
from tests.support.served import Served, served
from tests.support.waiting import until


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubsubEmulator]:
    require("pubsub")
    with pubsub_emulator(tmp_path_factory.mktemp("pubsub")) as one:
        yield one


@pytest.fixture
def server(home: Path, emulator: PubsubEmulator) -> Iterator[Served]:
    with served(home, env={"PUBSUB_EMULATOR_HOST": emulator.host}) as one:
        yield one


def publish(emulator: PubsubEmulator, topic: str) -> None:
    """One message over the REST face of the emulator."""
    message = {"data": "aGVsbG8=", "attributes": {"colour": "red"}}
    url = f"http://{emulator.host}/v1/projects/local/topics/{topic}:publish"
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"messages": [message]}).encode()
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_a_topic_gets_the_event_as_a_message(server: Served, emulator: PubsubEmulator) -> None:
    emulator.topic("copies")
    trigger(server, "copies", {"topic": "projects/local/topics/copies"})
    assert send(server, b'{"a": 1}', BINARY)[0] == 202
    (message,) = emulator.pull("copies")
    assert message.data == b'{"a": 1}'
    attributes = dict(message.attributes)
    assert attributes["ce-id"] == "1"
    assert attributes["ce-subject"] == "Euro €"
    assert attributes["content-type"] == "application/json"


def test_an_event_that_is_given_up_goes_to_the_dead_letter_topic_once(
    server: Served, emulator: PubsubEmulator
) -> None:
    emulator.topic("letters")
    with receiving() as receiver:
        receiver.answer = lambda path, count: 500
        trigger(
            server, "once", {"httpEndpoint": {"uri": f"{receiver.url}/once"}}, "com.example.once",
            retryPolicy={"maxAttempts": 1},
            deadLetterPolicy={"deadLetterTopic": "projects/local/topics/letters"},
        )  # fmt: skip
        headers = {**BINARY, "ce-type": "com.example.once", "ce-id": "given-up"}
        assert send(server, b'{"a": 2}', headers)[0] == 202
        (message,) = emulator.pull("letters")
        assert receiver.began["/once"] == 1
    assert message.data == b'{"a": 2}'
    attributes = dict(message.attributes)
    assert (attributes["ce-id"], attributes["ce-type"]) == ("given-up", "com.example.once")
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "1"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "once"

    def states() -> list[str]:
        found = server.call("GET", "/jobrunner/v1/deliveries?sourceName=once")["deliveries"]
        return sorted(one["state"] for one in found)

    until(lambda: states() == ["DEAD", "DELIVERED"], why=states)


def test_a_message_of_a_topic_calls_a_service_as_eventarc_does(
    server: Served, emulator: PubsubEmulator
) -> None:
    emulator.topic("orders")
    with receiving() as receiver:
        server.call("PUT", "/jobrunner/v1/services/orders", {"url": receiver.url})
        made = trigger(
            server, "orders", {"cloudRun": {"service": "orders", "path": "/e"}},
            "google.cloud.pubsub.topic.v1.messagePublished",
            transportTopic="projects/local/topics/orders",
        )  # fmt: skip
        assert made["conditions"] == {}
        publish(emulator, "orders")
        path = "/e?__GCP_CloudEventsMode=CUSTOM_PUBSUB_projects%2Flocal%2Ftopics%2Forders"
        until(lambda: path in receiver.bodies, why=lambda: dict(receiver.began))
        headers, body = receiver.headers[path], json.loads(receiver.bodies[path])
    assert headers["ce-source"] == "//pubsub.googleapis.com/projects/local/topics/orders"
    assert headers["ce-id"] == body["message"]["messageId"] == body["message"]["message_id"]
    assert headers["ce-time"] == body["message"]["publishTime"]
    assert body["message"]["attributes"] == {"colour": "red"}
    assert body["message"]["data"] == "aGVsbG8="
    assert body["subscription"] == made["transport"]["subscription"]
