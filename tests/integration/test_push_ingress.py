"""The real emulator pushes to a real server, which calls a sink and starts jobs."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import jobrunner
from tests.support.components import require
from tests.support.pubsub import PubsubEmulator, pubsub_emulator
from tests.support.pubsub_push import Topics
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, served
from tests.support.waiting import until

PATH = "/jobrunner/v1/subscriptions"
SHOW = "sleep 0.1; cat $CLOUDEVENT_FILE >> {out}/$CE_ID; echo >> {out}/$CE_ID"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubsubEmulator]:
    require("pubsub")
    with pubsub_emulator(tmp_path_factory.mktemp("pubsub")) as one:
        yield one


@pytest.fixture
def topics(emulator: PubsubEmulator) -> Iterator[Topics]:
    with Topics(emulator) as one:
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, emulator: PubsubEmulator) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("push") / "home"
    env = {"PUBSUB_EMULATOR_HOST": emulator.host}
    with served(home, "--backend", "process", "--access-log", env=env) as one:
        yield one


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def make(server: Served, name: str, **fields: Any) -> str:
    """The URL to push to."""
    made = server.call("POST", PATH, {"name": name, **fields})
    return str(made["pushUrl"])


def described(server: Served, name: str) -> Any:
    return server.call("GET", f"{PATH}/{name}")


def deliveries(server: Served, name: str) -> list[Any]:
    query = f"source=subscription&sourceName={name}"
    found: list[Any] = server.call("GET", f"/jobrunner/v1/deliveries?{query}")["deliveries"]
    return found


def post(url: str, body: Any) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_is_published_is_called_and_run_once_however_often_it_is_pushed(
    server: Served, topics: Topics, receiver: Receiver, tmp_path: Path
) -> None:
    server.create("show", SHOW.format(out=tmp_path))
    called = make(server, "called", httpTarget={"uri": f"{receiver.url}/x"})
    run = make(server, "run", topic="both", jobTarget={"job": "show"})
    topics.create("both")
    for number in range(2):
        # Twice the same to the same endpoint: every message is pushed twice.
        topics.push("both", f"called-{number}", called)
        topics.push("both", f"run-{number}", run)
    sent = [{"data": f"hällo {n}".encode(), "attributes": {"n": str(n)}} for n in range(6)]
    ids = topics.publish("both", *sent)
    # Pub/Sub pushes at least once: on a day on which it is slow there are more of them.
    until(lambda: described(server, "called")["messages"]["again"] >= 6)
    until(lambda: described(server, "run")["messages"]["again"] >= 6)
    until(lambda: len(receiver.received) >= 6)
    bodies = [json.loads(body) for _, body in receiver.received]
    assert sorted(body["message"]["messageId"] for body in bodies) == sorted(ids)
    [first] = [body for body in bodies if body["message"]["messageId"] == ids[0]]
    assert first["subscription"] == "projects/local/subscriptions/called"
    assert first["message"]["attributes"] == {"n": "0"}
    assert first["message"]["data"] == "aMOkbGxvIDA="
    assert "deliveryAttempt" not in first
    assert receiver.headers["/x"]["User-Agent"].startswith("APIs-Google")
    until(lambda: len(server.executions("show")) == 6)
    until(lambda: all("completionTime" in one for one in server.executions("show")))
    for number, message_id in enumerate(ids):
        [line] = (tmp_path / message_id).read_text().splitlines()
        event = json.loads(line)
        assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
        assert event["data"]["message"]["attributes"] == {"n": str(number)}
    assert len(receiver.received) == 6
    assert len(server.executions("show")) == 6


def test_pubsub_retries_what_the_target_has_not_accepted_where_it_is_to_wait_for_it(
    server: Served, topics: Topics, receiver: Receiver
) -> None:
    receiver.answer = lambda path, count: 200 if count > 2 else 500
    where = {"uri": f"{receiver.url}/finished"}
    url = make(server, "finished", httpTarget=where, acknowledge="finished")
    topics.create("finished")
    topics.push("finished", "finished", url)
    topics.publish("finished", {"data": b"x"})
    until(lambda: receiver.done["/finished"] == 3)
    until(
        lambda: (
            [one["state"] for one in deliveries(server, "finished")]
            == ["DELIVERED", "DEAD", "DEAD"]
        ),
        why=lambda: deliveries(server, "finished"),
    )
    assert [one["attempts"] for one in deliveries(server, "finished")] == [1, 1, 1]


def test_a_paused_subscription_gets_its_messages_when_it_goes_on(
    server: Served, topics: Topics, receiver: Receiver
) -> None:
    url = make(server, "paused", httpTarget={"uri": f"{receiver.url}/paused"})
    server.call("POST", f"{PATH}/paused:pause", {})
    topics.create("paused")
    topics.push("paused", "paused", url)
    topics.publish("paused", {"data": b"x"})
    until(lambda: " - POST /push/paused 503 " in server.said())
    assert deliveries(server, "paused") == []
    server.call("POST", f"{PATH}/paused:resume", {})
    until(lambda: receiver.done["/paused"] == 1)


def test_pushes_without_an_envelope_come_in_with_what_belongs_to_them(
    server: Served, topics: Topics, receiver: Receiver
) -> None:
    url = make(
        server, "bare", httpTarget={"uri": f"{receiver.url}/bare"}, accepts="unwrapped-metadata",
        filter='attributes.kind = "a"',
    )  # fmt: skip
    topics.create("bare")
    topics.push("bare", "bare", url, no_wrapper={"write_metadata": True})
    no, yes = ({"data": b"text", "attributes": {"kind": kind}} for kind in "ba")
    [_, message_id] = topics.publish("bare", no, yes)
    until(lambda: receiver.done["/bare"] == 1)
    until(lambda: described(server, "bare")["messages"]["filtered"] == 1)
    message = json.loads(receiver.bodies["/bare"])["message"]
    assert (message["messageId"], message["data"]) == (message_id, "dGV4dA==")
    assert message["attributes"] == {"kind": "a"}


def test_what_is_given_up_is_published_to_the_dead_letter_topic_once(
    server: Served, topics: Topics, emulator: PubsubEmulator, receiver: Receiver
) -> None:
    receiver.answer = lambda path, count: 500
    emulator.topic("dead-letters")
    url = make(
        server, "dying", httpTarget={"uri": f"{receiver.url}/dying"},
        deadLetterPolicy={"deadLetterTopic": "dead-letters", "maxDeliveryAttempts": 5},
    )  # fmt: skip
    topics.create("dying")
    topics.push("dying", "dying", url)
    topics.publish("dying", {"data": b"x", "attributes": {"kind": "a"}})
    [copy] = emulator.pull("dead-letters")
    said = [json.loads(body)["deliveryAttempt"] for _, body in receiver.received]
    assert said == [1, 2, 3, 4, 5]
    attributes = dict(copy.attributes)
    assert copy.data == b"x"
    assert attributes["kind"] == "a"
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "dying"
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] == "local"
    assert emulator.pull("dead-letters", patience=1.0) == []


def test_a_push_token_lets_in_and_is_written_down_nowhere(
    server: Served, topics: Topics, receiver: Receiver
) -> None:
    token = "a-token-that-nobody-guesses"
    url = make(server, "guarded", httpTarget={"uri": f"{receiver.url}/g"}, pushToken=token)
    topics.create("guarded")
    topics.push("guarded", "guarded", f"{url}?token={token}")
    topics.publish("guarded", {"data": b"x"})
    until(lambda: receiver.done["/g"] == 1)
    assert post(f"{url}?token=wrong", {}) == 401
    assert post(url, {}) == 401
    until(lambda: " - POST /push/guarded 204 " in server.said())
    assert token not in server.said()
    home = {**os.environ, "JOBRUNNER_HOME": str(server.home)}
    for words in (("audit", "list"), ("subscriptions", "describe", "guarded", "--format", "json")):
        said: list[str] = []

        def shown(words: tuple[str, ...] = words, said: list[str] = said) -> bool:
            run = jobrunner(*words, env=home)
            assert run.returncode == 0, run.stderr
            said.append(run.stdout)
            return "guarded" in run.stdout

        # The audit log is written once a second.
        until(shown)
        assert token not in "".join(said)
    for file in server.home.glob("jobrunner.db*"):
        assert token.encode() not in file.read_bytes()


def test_a_server_with_tokens_asks_for_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {**os.environ, "JOBRUNNER_HOME": str(home)}
    with served(home) as server:
        url = make(server, "open", httpTarget={"uri": "http://127.0.0.1:9/"})
        body = {"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}}
        assert post(url, body) == 204
        made = jobrunner("tokens", "create", "ci", "--role", "invoker", env=env)
        until(lambda: post(url, body) == 401)
        request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
        request.add_header("Authorization", f"Bearer {made.stdout.split()[-1]}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 204


def test_an_emulator_that_was_restarted_counts_from_one_again_and_nothing_is_lost(
    server: Served, emulator: PubsubEmulator, receiver: Receiver
) -> None:
    url = make(server, "again", httpTarget={"uri": f"{receiver.url}/again"})

    def called(count: int) -> bool:
        return receiver.done["/again"] == count

    ids = []
    for count in (1, 2):
        emulator.stop()
        emulator.start()
        with Topics(emulator) as topics:
            topics.create("again")
            topics.push("again", "again", url)
            ids += topics.publish("again", {"data": b"x"})
            until(partial(called, count))
    assert ids[0] == ids[1]
