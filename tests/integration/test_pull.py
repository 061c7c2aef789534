"""Subscriptions that are pulled: Google's emulator, its client, a real server, a real service."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.components import require
from tests.support.cut_line import a_line
from tests.support.pubsub import PROJECT, PubsubEmulator, pubsub_emulator
from tests.support.pulling import Publisher, Pulls, Sink, a_sink, topic
from tests.support.served import Answered, Served, answering, start
from tests.support.waiting import PATIENCE, until
from triggers.core.records import JobTarget, PushRetry
from triggers.core.subscriptions import AckPolicy, SubscriptionState

QUICK = PushRetry(min_backoff=0.1, max_backoff=0.2)
FINISHED: dict[str, Any] = {"ack": AckPolicy.FINISHED, "ack_deadline": 10.0}


class Stage:
    """One emulator, one server, one service; each test has a topic of its own."""

    def __init__(self, home: Path, emulator: PubsubEmulator, sink: Sink) -> None:
        self.home, self.emulator, self.sink = home, emulator, sink
        self.port: int | None = None
        self.host = emulator.host
        self.server = self.serve()
        self.pulls = Pulls(home, sink)
        self.publisher = Publisher(emulator.host)

    def serve(self) -> Served:
        env = {"PUBSUB_EMULATOR_HOST": self.host}
        self.server = start(self.home, "--backend", "process", port=self.port, env=env)
        self.port = self.server.port
        assert answering(self.server), self.server.said()
        return self.server

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()

    def why(self) -> str:
        return self.server.said()[-3000:]

    def deliveries(self, name: str) -> list[Any]:
        found: list[Any] = self.server.call(
            "GET", f"/jobrunner/v1/deliveries?sourceName={name}&source=subscription"
        )["deliveries"]
        return found

    def call_state(self, uid: str) -> str:
        state: str = self.server.call("GET", f"/jobrunner/v1/deliveries/{uid}")["state"]
        return state


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require("pubsub")
    folder = tmp_path_factory.mktemp("pull")
    home = folder / "home"
    home.mkdir(mode=0o700)
    with pubsub_emulator(folder) as emulator, a_sink() as sink:
        one = Stage(home, emulator, sink)
        try:
            yield one
        finally:
            one.server.stop()
            one.pulls.close()


def names(count: int, prefix: str) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_what_is_published_arrives_as_production_pushes_it(stage: Stage) -> None:
    stage.pulls.subscribe("plain")
    sent = names(50, "plain")
    ids = stage.publisher.send("plain", sent, attributes={"kind": "a"})
    until(lambda: sorted(stage.sink.at("plain")) == sorted(sent), why=stage.why)
    envelope = stage.sink.envelopes["plain-0"]
    message = envelope["message"]
    assert envelope["subscription"] == f"projects/{PROJECT}/subscriptions/plain"
    assert message["messageId"] == message["message_id"] == ids[0]
    assert message["publishTime"] == message["publish_time"]
    assert message["attributes"] == {"kind": "a"}
    assert "deliveryAttempt" not in envelope
    assert "orderingKey" not in message


def test_what_is_published_right_after_a_subscription_was_made_arrives(stage: Stage) -> None:
    """To a topic that was there before: it keeps nothing for a subscription that is still to be
    made."""

    def make(name: str) -> None:
        stage.publisher.client.create_topic(name=topic(name))
        body = {"name": name, "topic": topic(name), "intake": "pull"}
        body["httpTarget"] = {"uri": f"{stage.sink.url}/right-after"}
        stage.server.call("POST", "/jobrunner/v1/subscriptions", body)

    # The first one of a server may cost it more time than anybody is kept waiting.
    make("right-at-first")
    until(lambda: stage.publisher.is_there("right-at-first"), why=stage.why)
    for number in range(8):
        name = f"right-after-{number}"
        make(name)
        stage.publisher.client.publish(topic(name), name.encode()).result(PATIENCE)
    expected = sorted(f"right-after-{number}" for number in range(8))
    until(lambda: sorted(stage.sink.at("right-after")) == expected, why=stage.why)


def test_what_the_filter_does_not_want_is_acknowledged_and_leads_to_nothing(stage: Stage) -> None:
    """The emulator keeps filters and applies none."""
    stage.pulls.subscribe("filtered", filter='attributes.kind = "a"')
    stage.publisher.send("filtered", ["no-1", "no-2"], attributes={"kind": "b"})
    stage.publisher.send("filtered", ["yes"], attributes={"kind": "a"})
    until(lambda: stage.sink.at("filtered") == ["yes"], why=stage.why)
    assert len(stage.deliveries("filtered")) == 1
    assert stage.emulator.pull("filtered", patience=1.0) == []


def test_messages_of_one_key_are_delivered_in_their_order(stage: Stage) -> None:
    stage.pulls.subscribe("ordered", ordered=True, retry=QUICK)
    stage.sink.answers["/ordered"] = lambda data, count: (
        500 if count == 1 and data.endswith("3") else 200
    )
    for key in ("a", "b"):
        stage.publisher.send("ordered", names(12, key), key=key)
    until(lambda: len(stage.sink.at("ordered")) == 24, why=stage.why)
    for key in ("a", "b"):
        assert [one for one in stage.sink.at("ordered") if one[0] == key] == names(12, key)
    assert stage.sink.envelopes["a-0"]["message"]["orderingKey"] == "a"


def test_finished_means_that_pub_sub_sends_what_the_target_refused_again(stage: Stage) -> None:
    stage.pulls.subscribe("finished", **FINISHED, retry=QUICK)
    stage.sink.answers["/finished"] = lambda data, count: 200 if count == 3 else 503
    stage.publisher.send("finished", ["finished-1"])
    until(lambda: stage.sink.at("finished") == ["finished-1"], why=stage.why)

    def states() -> list[str]:
        return sorted(one["state"] for one in stage.deliveries("finished"))

    # The service has heard of the last one before the record has.
    until(lambda: states() == ["DEAD", "DEAD", "DELIVERED"], why=states)
    # Each try is one delivery with one attempt.
    assert [one["attempts"] for one in stage.deliveries("finished")] == [1, 1, 1]
    assert stage.emulator.pull("finished", patience=1.0) == []


def test_a_refusal_without_a_retry_policy_is_not_tried_again_at_once(stage: Stage) -> None:
    stage.pulls.subscribe("slower", **FINISHED)
    answered: list[float] = []

    def refusing(data: str, count: int) -> int:
        answered.append(time.monotonic())
        return 503

    stage.sink.answers["/slower"] = refusing
    stage.publisher.send("slower", ["slower-1"])
    until(lambda: len(answered) >= 4, why=stage.why)
    assert min(after - before for before, after in pairwise(answered)) > 0.1
    stage.pulls.change("uid-of-slower", state=SubscriptionState.PAUSED)


@pytest.mark.parametrize("ack", list(AckPolicy))
def test_a_message_that_is_refused_too_often_goes_to_the_dead_letter_topic(
    stage: Stage, ack: AckPolicy
) -> None:
    name = f"dead-{ack.value}"
    stage.emulator.topic(f"letters-{ack.value}")
    retry = replace(QUICK, max_delivery_attempts=5)
    letters = topic(f"letters-{ack.value}")
    stage.pulls.subscribe(name, ack=ack, retry=retry, dead_letter_topic=letters)
    stage.sink.answers[f"/{name}"] = lambda data, count: 500
    stage.publisher.send(name, [name], attributes={"kind": "x"})
    until(lambda: stage.sink.came[name] == 5, why=stage.why)
    assert stage.sink.envelopes[name]["deliveryAttempt"] == 5
    (letter,) = stage.emulator.pull(f"letters-{ack.value}")
    attributes = dict(letter.attributes)
    assert letter.data == name.encode()
    assert attributes["kind"] == "x"
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == name
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] == PROJECT
    assert "CloudPubSubDeadLetterSourceTopicPublishTime" in attributes
    assert stage.emulator.pull(name, patience=1.0) == []


def test_a_paused_subscription_takes_nothing_and_goes_on_when_it_is_resumed(stage: Stage) -> None:
    made = stage.pulls.subscribe("paused")
    stage.publisher.send("paused", ["before"])
    until(lambda: stage.sink.at("paused") == ["before"], why=stage.why)
    stage.pulls.change(made.uid, state=SubscriptionState.PAUSED)
    sent = ["before"]

    def stays() -> bool:
        """It takes the server a moment to see what was changed behind its back."""
        sent.append(f"meanwhile-{len(sent)}")
        stage.publisher.send("paused", sent[-1:])
        return bool(stage.emulator.pull("paused", patience=1.0, keep=True))

    until(stays, why=stage.why)
    assert sent[-1] not in stage.sink.at("paused")
    stage.pulls.change(made.uid, state=SubscriptionState.ACTIVE)
    until(lambda: sorted(stage.sink.at("paused")) == sorted(sent), why=stage.why)


def test_with_exactly_once_delivery_each_message_comes_once(stage: Stage) -> None:
    stage.pulls.subscribe("exact", exactly_once=True)
    sent = names(30, "exact")
    stage.publisher.send("exact", sent)
    until(lambda: sorted(stage.sink.at("exact")) == sorted(sent), why=stage.why)
    assert stage.emulator.pull("exact", patience=1.0) == []


def test_more_than_the_backlog_waits_in_pub_sub(stage: Stage) -> None:
    stage.pulls.subscribe("full", backlog=20)
    stage.sink.answers["/full"] = lambda data, count: 200 if stage.sink.gate.wait(30) else 500
    sent = names(100, "full")
    stage.publisher.send("full", sent)
    until(lambda: len(stage.deliveries("full")) >= 20, why=stage.why)
    assert len(stage.deliveries("full")) <= 20
    stage.sink.gate.set()
    until(lambda: sorted(stage.sink.at("full")) == sorted(sent), why=stage.why)


def test_nothing_is_lost_or_done_twice_when_the_runner_is_killed_with_messages_in_flight(
    stage: Stage,
) -> None:
    """What it held comes again when the leases have run out, and so does what it had stored but not
    acknowledged: that opens nothing."""
    stage.server.create("killed", "true")
    stage.pulls.subscribe("killed-job", target=JobTarget("killed", PROJECT, "us-central1"))
    for ack in AckPolicy:
        stage.pulls.subscribe(f"killed-{ack.value}", ack=ack)
    sent = names(300, "killed")
    stage.publisher.send("killed-job", names(10, "killed"))
    for ack in AckPolicy:
        stage.publisher.send(f"killed-{ack.value}", [f"{ack.value}-{one}" for one in sent])
    for count in (20, 150):
        until(lambda: len(stage.sink.at("killed-durable")) >= count, why=stage.why)  # noqa: B023
        stage.kill()
        stage.serve()
    for ack in AckPolicy:
        wanted = {f"{ack.value}-{one}" for one in sent}
        until(
            lambda: set(stage.sink.at(f"killed-{ack.value}")) == wanted,  # noqa: B023
            why=stage.why,
        )
    path = "/jobrunner/v1/deliveries:count?sourceName=killed-durable"
    assert stage.server.call("GET", path)["total"] == len(sent)
    until(lambda: len(stage.deliveries("killed-job")) == 10, why=stage.why)
    until(lambda: len(stage.server.executions("killed")) == 10, why=stage.why)


def slowly(data: str, count: int) -> int:
    time.sleep(0.02)
    return 200


def test_nothing_is_lost_and_the_work_goes_on_when_the_network_was_cut(stage: Stage) -> None:
    """Connections are reset with messages on the way, then refused, then let through again."""
    stage.server.stop()
    try:
        with a_line(stage.emulator.port) as line:
            stage.host = line.host
            stage.serve()
            stage.server.create("cut", "true")
            stage.pulls.subscribe("cut-job", target=JobTarget("cut", PROJECT, "us-central1"))
            for ack in AckPolicy:
                stage.pulls.subscribe(f"cut-{ack.value}", ack=ack, ack_deadline=10.0)
                stage.sink.answers[f"/cut-{ack.value}"] = slowly
            sent = names(200, "cut")
            jobs = stage.publisher.send("cut-job", names(10, "cut"))
            for ack in AckPolicy:
                stage.publisher.send(f"cut-{ack.value}", [f"{ack.value}-{one}" for one in sent])
            until(lambda: len(stage.sink.at("cut-durable")) >= 20, why=stage.why)
            before = line.opened
            line.cut()
            accepted = {one["uid"] for one in stage.deliveries("cut-durable")}
            described = f"/jobrunner/v1/subscriptions/cut-durable?project={PROJECT}"
            until(lambda: line.host in stage.server.call("GET", described).get("trouble", ""))
            late = names(20, "late")
            stage.publisher.send("cut-durable", late)
            line.mend()
            wanted = {f"durable-{one}" for one in sent} | set(late)
            until(lambda: set(stage.sink.at("cut-durable")) == wanted, why=stage.why)
            wanted = {f"finished-{one}" for one in sent}
            until(lambda: set(stage.sink.at("cut-finished")) == wanted, why=stage.why)
            until(lambda: len(stage.server.executions("cut")) == len(jobs), why=stage.why)
            assert line.opened > before
            assert "trouble" not in stage.server.call("GET", described)
            # Of each one delivery, however often Pub/Sub has sent it, and what was there went on.
            path = "/jobrunner/v1/deliveries:count?sourceName=cut-durable"
            assert stage.server.call("GET", path)["total"] == len(sent) + len(late)
            until(lambda: all(stage.call_state(uid) == "DELIVERED" for uid in accepted))
            assert len(stage.deliveries("cut-job")) == len(jobs)
            assert "Traceback" not in stage.server.said()
            stage.server.stop()
    finally:
        stage.kill()
        stage.host = stage.emulator.host
        stage.serve()


def test_a_push_subscription_is_there_again_after_the_emulator_was_killed(stage: Stage) -> None:
    """One that somebody has made through the server's proxy, in a project of his own, and one that
    somebody has deleted there."""
    for verb, name, body in (
        ("PUT", "projects/elsewhere/topics/pushed", {"labels": {"kind": "a"}}),
        (
            "PUT",
            "projects/elsewhere/subscriptions/pushed",
            {
                "topic": "projects/elsewhere/topics/pushed",
                "pushConfig": {"pushEndpoint": f"{stage.sink.url}/pushed"},
                "ackDeadlineSeconds": 77,
            },
        ),
        ("PUT", "projects/elsewhere/topics/dropped", {}),
        ("DELETE", "projects/elsewhere/topics/dropped", None),
    ):
        proxied(stage, verb, f"/v1/{name}", body)
    seen = proxied(stage, "GET", "/v1/projects/elsewhere/subscriptions/pushed")
    stage.emulator.stop()
    stage.emulator.start()

    def again() -> Any:
        try:
            return proxied(stage, "GET", "/v1/projects/elsewhere/subscriptions/pushed")
        except (Answered, OSError):
            return None

    until(lambda: again() == seen, why=stage.why)
    data = base64.b64encode(b"pushed-1").decode()
    path = "/v1/projects/elsewhere/topics/pushed:publish"
    proxied(stage, "POST", path, {"messages": [{"data": data}]})
    until(lambda: stage.sink.at("pushed") == ["pushed-1"], why=stage.why)
    topics = proxied(stage, "GET", "/v1/projects/elsewhere/topics")["topics"]
    assert [one["name"].rpartition("/")[2] for one in topics] == ["pushed"]


def proxied(stage: Stage, verb: str, path: str, body: Any = None) -> Any:
    """As the emulator answers through the server."""
    return stage.server.call(verb, path, body, host="pubsub.localhost")


def test_an_emulator_that_was_killed_is_used_again_without_a_restart_of_ours(stage: Stage) -> None:
    """It has forgotten topics and subscriptions, and numbers from 1 again."""
    stage.pulls.subscribe("revived", backlog=10_000)
    before = names(200, "before")
    stage.publisher.send("revived", before)
    until(lambda: len(stage.sink.at("revived")) >= 10, why=stage.why)
    stage.emulator.stop()
    accepted = {one["uid"] for one in stage.deliveries("revived")}
    described = f"/jobrunner/v1/subscriptions/revived?project={PROJECT}"
    until(lambda: stage.emulator.host in stage.server.call("GET", described).get("trouble", ""))
    stage.emulator.start()
    after = names(50, "after")
    stage.publisher.send("revived", after)
    until(lambda: set(after) <= set(stage.sink.at("revived")), why=stage.why)
    assert "trouble" not in stage.server.call("GET", described)
    until(lambda: all(stage.call_state(uid) == "DELIVERED" for uid in accepted), why=stage.why)
