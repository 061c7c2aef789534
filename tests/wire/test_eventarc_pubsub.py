"""Triggers whose events come by Pub/Sub: Google's emulator, a real server, a real sink."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import eventarc_v1 as eventarc
from google.rpc import code_pb2

from tests.support.components import require
from tests.support.pubsub import PubsubEmulator, pubsub_emulator
from tests.support.waiting import until
from tests.wire.running import serving
from tests.wire.test_tasks import Sink, sinking

PARENT = "projects/local/locations/us-central1"
MESSAGES = "google.cloud.pubsub.topic.v1.messagePublished"
FINALIZED = "google.cloud.storage.object.v1.finalized"


class Stage(NamedTuple):
    emulator: PubsubEmulator
    sink: Sink
    client: Any

    def make(self, id: str, filters: dict[str, str], **more: Any) -> Any:
        trigger = eventarc.Trigger(
            event_filters=[{"attribute": key, "value": value} for key, value in filters.items()],
            destination={"cloud_run": {"service": self.sink.url, "path": f"/{id}"}},
            **more,
        )
        return self.client.create_trigger(parent=PARENT, trigger_id=id, trigger=trigger).result()

    def conditions(self, id: str) -> list[str]:
        return list(self.client.get_trigger(name=f"{PARENT}/triggers/{id}").conditions)

    def ask(self, verb: str, path: str, body: object = None) -> Any:
        """The emulator, over HTTP; ``None`` for what it does not have."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.emulator.host}/v1/{path}",
            data,
            {"Content-Type": "application/json"},
            method=verb,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def publish(self, topic: str, data: str, **attributes: str) -> str:
        message = {"data": base64.b64encode(data.encode()).decode(), "attributes": attributes}
        sent = self.ask("POST", f"{topic}:publish", {"messages": [message]})
        id: str = sent["messageIds"][0]
        return id

    def got(self, id: str, count: int = 1) -> list[tuple[str, dict[str, str], Any]]:
        """Path, headers and document of each call of that trigger."""

        def of_it() -> list[Any]:
            return [one for one in self.sink.seen if one.path.startswith(f"/{id}?")]

        until(lambda: len(of_it()) >= count)
        return [
            (
                one.path,
                {key.lower(): value for key, value in one.headers.items()},
                json.loads(one.body),
            )
            for one in of_it()
        ]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require("pubsub")
    folder = tmp_path_factory.mktemp("eventarc-pubsub")
    with pubsub_emulator(folder) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(folder / "home"))
        patch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
        with sinking() as sink, serving(folder / "home") as server:
            client = eventarc.EventarcClient(
                transport="rest",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": server.url},
            )
            yield Stage(emulator, sink, client)


def test_a_message_of_the_topic_reaches_the_service_as_eventarc_delivers_it(stage: Stage) -> None:
    made = stage.make("orders", {"type": MESSAGES})
    assert list(made.conditions) == []
    pubsub = made.transport.pubsub
    subscription = stage.ask("GET", pubsub.subscription)
    assert (subscription["topic"], subscription["ackDeadlineSeconds"]) == (pubsub.topic, 600)
    id = stage.publish(pubsub.topic, "hello", colour="red")
    ((path, headers, document),) = stage.got("orders")
    mode = pubsub.topic.replace("/", "%2F")
    assert path == f"/orders?__GCP_CloudEventsMode=CUSTOM_PUBSUB_{mode}"
    assert (headers["ce-type"], headers["ce-id"]) == (MESSAGES, id)
    assert headers["ce-source"] == f"//pubsub.googleapis.com/{pubsub.topic}"
    assert document["subscription"] == pubsub.subscription
    message = document["message"]
    assert (message["data"], message["attributes"]) == ("aGVsbG8=", {"colour": "red"})
    assert message["messageId"] == message["message_id"] == id
    assert "deliveryAttempt" not in document


def test_each_trigger_of_a_topic_gets_its_messages_by_a_subscription_of_its_own(
    stage: Stage,
) -> None:
    own = "projects/local/topics/shared"
    stage.ask("PUT", own, {})
    made = [
        stage.make(id, {"type": MESSAGES}, transport={"pubsub": {"topic": own}})
        for id in ("one", "two")
    ]
    other = stage.make("other", {"type": MESSAGES})
    stage.publish(own, "x")
    for trigger in made:
        ((_, _, document),) = stage.got(trigger.name.rpartition("/")[2])
        assert document["subscription"] == trigger.transport.pubsub.subscription
    stage.publish(other.transport.pubsub.topic, "y")
    assert len(stage.got("other")) == 1
    for trigger in made:
        stage.client.delete_trigger(name=trigger.name).result()
        assert stage.ask("GET", trigger.transport.pubsub.subscription) is None
    assert stage.ask("GET", own) is not None
    stage.client.delete_trigger(name=other.name).result()
    assert stage.ask("GET", other.transport.pubsub.topic) is None


def test_what_storage_notifies_a_topic_of_becomes_an_event_of_storage(stage: Stage) -> None:
    made = stage.make("photos", {"type": FINALIZED, "bucket": "photos"})
    topic = made.transport.pubsub.topic
    said = {"objectId": "a/b.png", "objectGeneration": "7", "payloadFormat": "JSON_API_V1"}
    stage.publish(topic, "no event at all")
    for bucket in ("others", "photos"):
        document = {"name": "a/b.png", "bucket": bucket, "size": 12}
        stage.publish(
            topic, json.dumps(document), eventType="OBJECT_FINALIZE", bucketId=bucket, **said
        )
    ((path, headers, document),) = stage.got("photos")
    assert path == "/photos?__GCP_CloudEventsMode=GCS_NOTIFICATION"
    assert (headers["ce-type"], headers["ce-bucket"]) == (FINALIZED, "photos")
    assert headers["ce-subject"] == "objects/a/b.png"
    assert document["size"] == "12"


def test_a_trigger_made_while_pub_sub_is_away_works_once_it_is_back(stage: Stage) -> None:
    before = stage.make("before", {"type": MESSAGES})
    stage.emulator.stop()
    made = stage.make("away", {"type": MESSAGES})
    assert made.conditions["transport"].code == code_pb2.UNAVAILABLE
    assert stage.conditions("away") == ["transport"]
    stage.emulator.start()
    until(lambda: stage.conditions("away") == [])
    for trigger in (made, before):
        pubsub = trigger.transport.pubsub
        until(lambda name=pubsub.subscription: stage.ask("GET", name) is not None)
        stage.publish(pubsub.topic, "late")
        assert stage.got(trigger.name.rpartition("/")[2])
