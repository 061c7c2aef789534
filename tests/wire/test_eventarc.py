"""Google's client libraries drive event triggers and channels of a real server, over REST and gRPC.

What they publish arrives at a real sink.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import eventarc_publishing_v1 as publishing
from google.cloud import eventarc_v1 as eventarc
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.oauth2.credentials import Credentials
from google.protobuf import any_pb2, field_mask_pb2
from google.rpc import code_pb2

from tests.wire.running import serving
from tests.wire.test_tasks import Sink, Stage, sinking

PARENT = "projects/local/locations/us-central1"
MADE = "com.example.made"


class Clients(NamedTuple):
    eventarc: Any
    publisher: Any


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("eventarc") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(home))
        patch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        with sinking() as sink, serving(home, grpc=True) as server:
            yield Stage(server, sink)


@pytest.fixture(params=["rest", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def clients(stage: Stage, transport: str) -> Iterator[Clients]:
    kinds = eventarc.EventarcClient, publishing.PublisherClient
    if transport == "grpc":
        with grpc.insecure_channel(f"127.0.0.1:{stage.server.grpc_port}") as channel:
            yield Clients(
                *(
                    kind(transport=kind.get_transport_class("grpc")(channel=channel))
                    for kind in kinds
                )
            )
        return
    yield Clients(
        *(
            kind(
                transport="rest",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": stage.server.url},
            )
            for kind in kinds
        )
    )


@pytest.fixture
def channel(clients: Clients, transport: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of this test alone."""
    id = f"{request.function.__name__[:50].replace('_', '-')}-{transport}"
    made = clients.eventarc.create_channel(
        parent=PARENT, channel=eventarc.Channel(), channel_id=id
    ).result()
    yield made.name
    clients.eventarc.delete_channel(name=made.name).result()


def a_trigger(sink: Sink, path: str, event_type: str = MADE, **more: Any) -> Any:
    return eventarc.Trigger(
        event_filters=[eventarc.EventFilter(attribute="type", value=event_type)],
        destination={"cloud_run": {"service": sink.url, "path": path}},
        **more,
    )


def a_text(id: str, **more: Any) -> str:
    event = {"specversion": "1.0", "id": id, "source": "//shop", "type": MADE, **more}
    return json.dumps({"datacontenttype": "application/json", "data": {"k": 1}, **event})


def test_what_a_client_publishes_reaches_the_destination_of_its_trigger(
    stage: Stage, clients: Clients, channel: str, transport: str
) -> None:
    path = f"/text-{transport}"
    clients.eventarc.create_trigger(
        parent=PARENT,
        trigger_id=f"text-{transport}",
        trigger=a_trigger(stage.sink, path, channel=channel),
    ).result()
    clients.publisher.publish_events(
        publishing.PublishEventsRequest(
            channel=channel, text_events=[a_text("1", colour="red"), a_text("2", type="other")]
        )
    )
    (seen,) = stage.sink.calls(f"{path}?__GCP_CloudEventsMode=CE_PUBSUB_BINDING")
    said = {name.lower(): value for name, value in seen.headers.items()}
    assert (said["ce-id"], said["ce-source"], said["ce-type"]) == ("1", "//shop", MADE)
    assert (said["ce-specversion"], said["ce-colour"]) == ("1.0", "red")
    assert (said["content-type"], json.loads(seen.body)) == ("application/json", {"k": 1})


def test_a_publisher_is_told_that_its_resource_is_exhausted_while_too_many_events_wait(
    stage: Stage, clients: Clients, channel: str, transport: str
) -> None:
    wanted = {
        "name": f"full-{transport}",
        "eventFilters": [{"attribute": "type", "value": MADE}],
        "channel": channel,
        "destination": {"cloudRun": {"service": "without-url"}},
        "backlog": 1,
    }
    urllib.request.urlopen(
        urllib.request.Request(
            f"{stage.server.url}/jobrunner/v1/event-triggers",
            data=json.dumps(wanted).encode(),
            headers={"Content-Type": "application/json"},
        )
    ).close()

    def publish(id: str) -> None:
        request = publishing.PublishEventsRequest(channel=channel, text_events=[a_text(id)])
        clients.publisher.publish_events(request)

    publish("1")
    kind = exceptions.ResourceExhausted if transport == "grpc" else exceptions.TooManyRequests
    with pytest.raises(kind) as caught:
        publish("2")
    assert "has 1 events waiting" in caught.value.message
    clients.eventarc.delete_trigger(name=f"{PARENT}/triggers/full-{transport}").result()


OWN, COMMON = "google.cloud.eventarc.publishing.v1", "io.cloudevents.v1"


@pytest.mark.parametrize(
    ("transport", "package"),
    # Over REST a client can write only a type that it knows itself.
    [("rest", OWN), ("grpc", OWN), ("grpc", COMMON)],
)
def test_events_are_packed_as_either_of_two_types(
    stage: Stage, clients: Clients, channel: str, transport: str, package: str
) -> None:
    name = f"packed-{transport}-{package.partition('.')[0]}"
    clients.eventarc.create_trigger(
        parent=PARENT,
        trigger_id=name,
        trigger=a_trigger(stage.sink, f"/{name}", channel=channel),
    ).result()
    value = publishing.CloudEvent.CloudEventAttributeValue
    event = publishing.CloudEvent(
        id="7",
        source="//shop",
        spec_version="1.0",
        type_=MADE,
        text_data="hello",
        attributes={"datacontenttype": value(ce_string="text/plain"), "n": value(ce_integer=4)},
    )
    packed = any_pb2.Any(
        type_url=f"type.googleapis.com/{package}.CloudEvent",
        value=publishing.CloudEvent.serialize(event),
    )
    clients.publisher.publish_events(
        publishing.PublishEventsRequest(channel=channel, events=[packed])
    )
    (seen,) = stage.sink.calls(f"/{name}?__GCP_CloudEventsMode=CE_PUBSUB_BINDING")
    said = {key.lower(): value for key, value in seen.headers.items()}
    assert (said["ce-n"], said["content-type"], seen.body) == ("4", "text/plain", b"hello")


def test_an_event_that_breaks_a_rule_takes_all_of_its_request_with_it(
    stage: Stage, clients: Clients, channel: str, transport: str
) -> None:
    path = f"/rules-{transport}"
    clients.eventarc.create_trigger(
        parent=PARENT,
        trigger_id=f"rules-{transport}",
        trigger=a_trigger(stage.sink, path, channel=channel),
    ).result()
    with pytest.raises(exceptions.BadRequest, match="source"):
        clients.publisher.publish_events(
            publishing.PublishEventsRequest(
                channel=channel, text_events=[a_text("1"), a_text("2", source="")]
            )
        )
    clients.publisher.publish_events(
        publishing.PublishEventsRequest(channel=channel, text_events=[a_text("3")])
    )
    (seen,) = stage.sink.calls(f"{path}?__GCP_CloudEventsMode=CE_PUBSUB_BINDING")
    assert seen.headers["ce-id"] == "3"
    unknown = any_pb2.Any(type_url="type.googleapis.com/no.such.Type", value=b"x")
    with pytest.raises((exceptions.BadRequest, TypeError)):
        clients.publisher.publish_events(
            publishing.PublishEventsRequest(channel=channel, events=[unknown])
        )
    with pytest.raises(exceptions.NotFound, match="no channel 'never'"):
        clients.publisher.publish_events(
            publishing.PublishEventsRequest(
                channel=f"{PARENT}/channels/never", text_events=[a_text("1")]
            )
        )


def test_a_trigger_is_made_changed_listed_and_removed(
    stage: Stage, clients: Clients, transport: str
) -> None:
    client, id = clients.eventarc, f"made-{transport}"
    name = f"{PARENT}/triggers/{id}"
    wanted = a_trigger(stage.sink, "/a", labels={"team": "shop"})
    looked = client.create_trigger(
        request={"parent": PARENT, "trigger_id": id, "trigger": wanted, "validate_only": True}
    ).result()
    assert looked.name == name
    with pytest.raises(exceptions.NotFound, match=id):
        client.get_trigger(name=name)
    operation = client.create_trigger(parent=PARENT, trigger_id=id, trigger=wanted)
    made = operation.result()
    assert (made.name, dict(made.labels)) == (name, {"team": "shop"})
    assert (operation.metadata.target, operation.metadata.verb) == (name, "create")
    assert made.transport.pubsub.topic.startswith(
        f"projects/local/topics/eventarc-us-central1-{id}-"
    )
    assert made == client.get_trigger(name=name)
    with pytest.raises(exceptions.Conflict):
        client.create_trigger(parent=PARENT, trigger_id=id, trigger=wanted)
    changed = client.update_trigger(
        trigger=eventarc.Trigger(
            name=name,
            destination={"cloud_run": {"path": "/b", "service": "never-looked-at"}},
            service_account="me@example.com",
        ),
        update_mask=field_mask_pb2.FieldMask(
            paths=["destination.cloud_run.path", "labels", "service_account"]
        ),
        allow_missing=False,
    ).result()
    run = changed.destination.cloud_run
    assert (run.path, run.service, dict(changed.labels)) == ("/b", stage.sink.url, {})
    assert changed.service_account == "me@example.com"
    assert changed.etag != made.etag
    assert name in [one.name for one in client.list_triggers(parent=PARENT)]
    everywhere = client.list_triggers(
        request={"parent": "projects/local/locations/-", "filter": "destination:cloud_run"}
    )
    assert name in [one.name for one in everywhere]
    with pytest.raises((exceptions.Conflict, exceptions.Aborted), match="etag"):
        client.delete_trigger(request={"name": name, "etag": made.etag})
    gone = client.delete_trigger(request={"name": name, "etag": changed.etag}).result()
    assert gone.name == name
    with pytest.raises(exceptions.NotFound):
        client.delete_trigger(name=name)
    assert client.delete_trigger(name=name, allow_missing=True).result().name == name


def test_what_is_wrong_with_a_trigger_is_named_by_its_path(
    stage: Stage, clients: Clients, transport: str
) -> None:
    def make(trigger: Any) -> None:
        clients.eventarc.create_trigger(parent=PARENT, trigger_id="wrong", trigger=trigger)

    with pytest.raises(exceptions.BadRequest, match="'type', which is required"):
        make(eventarc.Trigger(destination={"cloud_run": {"service": "s"}}))
    with pytest.raises(exceptions.BadRequest, match=r"destination\.workflow"):
        make(eventarc.Trigger(destination={"workflow": "projects/p/locations/l/workflows/w"}))
    trigger = a_trigger(stage.sink, "/a", "google.cloud.storage.object.v1.finalized")
    with pytest.raises(exceptions.BadRequest, match="'bucket'"):
        make(trigger)
    trigger = a_trigger(stage.sink, "/a", transport={"pubsub": {"topic": "projects/p/topics/tt"}})
    with pytest.raises(exceptions.BadRequest, match=r"transport\.pubsub\.topic"):
        make(trigger)
    with pytest.raises(exceptions.NotFound, match="no channel"):
        make(a_trigger(stage.sink, "/a", channel=f"{PARENT}/channels/never"))


def test_a_service_without_a_url_and_a_transport_without_an_emulator_are_conditions(
    stage: Stage, clients: Clients, transport: str
) -> None:
    made = clients.eventarc.create_trigger(
        parent=PARENT,
        trigger_id=f"conditions-{transport}",
        trigger=eventarc.Trigger(
            event_filters=[
                {"attribute": "type", "value": "google.cloud.pubsub.topic.v1.messagePublished"}
            ],
            destination={"cloud_run": {"service": "orders", "region": "us-central1"}},
            transport={"pubsub": {"topic": "projects/local/topics/orders"}},
        ),
    ).result()
    assert made.transport.pubsub.topic == "projects/local/topics/orders"
    assert made.conditions["destination"].code == code_pb2.NOT_FOUND
    assert "jobrunner services set orders" in made.conditions["destination"].message
    assert "PUBSUB_EMULATOR_HOST" in made.conditions["transport"].message


def test_callers_whose_messages_have_no_job_are_not_told_of_it(
    stage: Stage, clients: Clients, transport: str
) -> None:
    id = f"job-{transport}"
    url = f"{stage.server.url}/v1/{PARENT}/triggers"
    body = {
        "eventFilters": [{"attribute": "type", "value": MADE}],
        "destination": {"cloudRun": {"job": "nightly", "region": "us-central1"}},
    }
    request = urllib.request.Request(
        f"{url}?triggerId={id}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        operation = json.load(answer)["name"]
    with urllib.request.urlopen(f"{url}/{id}", timeout=60) as answer:
        assert json.load(answer)["destination"] == body["destination"]
    assert clients.eventarc.get_operation({"name": operation}).done
    shown = clients.eventarc.get_trigger(name=f"{PARENT}/triggers/{id}")
    assert shown.destination.cloud_run.region == "us-central1"
    assert shown.conditions["destination"].code == code_pb2.NOT_FOUND
    assert id in [
        one.name.rpartition("/")[2] for one in clients.eventarc.list_triggers(parent=PARENT)
    ]
    changed = clients.eventarc.update_trigger(
        trigger=eventarc.Trigger(name=shown.name, labels={"a": "b"}),
        update_mask=field_mask_pb2.FieldMask(paths=["labels"]),
        allow_missing=False,
    ).result()
    assert dict(changed.labels) == {"a": "b"}
    with urllib.request.urlopen(f"{url}/{id}", timeout=60) as answer:
        assert json.load(answer)["destination"] == body["destination"]


def test_a_channel_is_changed_and_listed(clients: Clients, channel: str) -> None:
    client = clients.eventarc
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    changed = client.update_channel(
        channel=eventarc.Channel(name=channel, crypto_key_name=key),
        update_mask=field_mask_pb2.FieldMask(paths=["crypto_key_name"]),
    ).result()
    assert (changed.crypto_key_name, changed.state.name) == (key, "ACTIVE")
    assert client.get_channel(name=channel) == changed
    assert channel in [one.name for one in client.list_channels(parent=PARENT)]


def test_a_client_lists_the_operations_of_this_api(stage: Stage, channel: str) -> None:
    client = eventarc.EventarcClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stage.server.url},
    )
    listed = client.list_operations({"name": PARENT, "page_size": 1})
    made = eventarc.OperationMetadata()
    assert listed.operations[0].metadata.Unpack(eventarc.OperationMetadata.pb(made))
    assert (made.target, made.verb) == (channel, "create")


def test_the_providers_say_what_can_be_filtered(clients: Clients) -> None:
    client = clients.eventarc
    names = [one.name.rpartition("/")[2] for one in client.list_providers(parent=PARENT)]
    assert {"pubsub.googleapis.com", "storage.googleapis.com"} <= set(names)
    found = client.get_provider(name=f"{PARENT}/providers/storage.googleapis.com")
    first = found.event_types[0]
    assert first.type_ == "google.cloud.storage.object.v1.finalized"
    assert [one.attribute for one in first.filtering_attributes] == ["type", "bucket"]
    with pytest.raises(exceptions.NotFound, match="no provider"):
        client.get_provider(name=f"{PARENT}/providers/pubsub.googleapis.co")


def test_the_policy_of_a_channel_is_kept_with_its_etag(clients: Clients, channel: str) -> None:
    client = clients.eventarc
    assert client.get_iam_policy(request={"resource": channel}).etag
    binding = policy_pb2.Binding(role="roles/eventarc.publisher", members=["user:a@b.c"])
    put = iam_policy_pb2.SetIamPolicyRequest(
        resource=channel, policy=policy_pb2.Policy(bindings=[binding])
    )
    stored = client.set_iam_policy(request=put)
    assert client.get_iam_policy(request={"resource": channel}) == stored
    asked = ["eventarc.channels.publish", "eventarc.channels.eat"]
    held = client.test_iam_permissions(request={"resource": channel, "permissions": asked})
    assert list(held.permissions) == asked[:1]
    with pytest.raises(exceptions.NotFound):
        client.get_iam_policy(request={"resource": f"{PARENT}/triggers/never"})


def test_a_list_comes_in_pages_that_belong_to_its_place(
    stage: Stage, clients: Clients, transport: str
) -> None:
    where = f"projects/pages-{transport}/locations"
    for region in ("europe-west1", "us-central1"):
        for number in range(2):
            clients.eventarc.create_trigger(
                parent=f"{where}/{region}",
                trigger_id=f"t{number}",
                trigger=a_trigger(stage.sink, "/"),
            ).result()
    client = clients.eventarc
    pages = client.list_triggers(request={"parent": f"{where}/-", "page_size": 3}).pages
    found = [[one.name.split("/")[3:] for one in page.triggers] for page in pages]
    assert found == [
        [
            ["europe-west1", "triggers", "t0"],
            ["europe-west1", "triggers", "t1"],
            ["us-central1", "triggers", "t0"],
        ],
        [["us-central1", "triggers", "t1"]],
    ]
    first = next(iter(client.list_triggers(request={"parent": f"{where}/-", "page_size": 3}).pages))
    with pytest.raises(exceptions.BadRequest, match="pageToken"):
        client.list_triggers(
            request={"parent": f"{where}/us-central1", "page_token": first.next_page_token}
        )
    with pytest.raises(exceptions.BadRequest, match="orderBy"):
        client.list_triggers(request={"parent": f"{where}/-", "order_by": "uid desc"})


def test_an_invoker_publishes_and_changes_nothing(
    stage: Stage, clients: Clients, channel: str
) -> None:
    command = [
        sys.executable,
        "-m",
        "jobrunner.cli.main",
        "tokens",
        "create",
        f"t{os.urandom(4).hex()}",
    ]
    made = subprocess.run(
        [*command, "--role", "invoker"], capture_output=True, text=True, check=True
    )
    credentials = Credentials(token=made.stdout.strip())
    settings = {
        "transport": "rest",
        "credentials": credentials,
        "client_options": {"api_endpoint": stage.server.url},
    }
    publisher = publishing.PublisherClient(**settings)
    publisher.publish_events(
        publishing.PublishEventsRequest(channel=channel, text_events=[a_text("1")])
    )
    client = eventarc.EventarcClient(**settings)
    assert client.get_channel(name=channel).name == channel
    with pytest.raises(exceptions.Forbidden):
        client.delete_channel(name=channel)
