"""Deliveries through a real server to a real receiver: sent, tried again, followed, replayed."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.served import PLACE, Answered, Served, served
from tests.support.waiting import until

PATH = "/jobrunner/v1/deliveries"


def send(server: Served, url: str, body: bytes = b"", **fields: Any) -> str:
    http = {"url": url, "body": b64encode(body).decode(), **fields.pop("http", {})}
    answer = server.call("POST", PATH, {"http": http, **fields})
    uid: str = answer["uid"]
    return uid


def seen(server: Served, uid: str) -> Any:
    return server.call("GET", f"{PATH}/{uid}")


def until_state(server: Served, uid: str, state: str) -> Any:
    until(lambda: seen(server, uid)["state"] == state, why=lambda: seen(server, uid))
    return seen(server, uid)


@pytest.fixture(scope="module")
def receiver() -> Any:
    with receiving() as one:
        yield one


def test_a_delivery_is_sent_at_once_with_its_body_and_is_described_with_its_attempt(
    home: Path, receiver: Receiver
) -> None:
    with served(home) as server:
        uid = send(server, f"{receiver.url}/a", b"hello", http={"headers": {"X-Mine": "secret"}})
        found = until_state(server, uid, "DELIVERED")
        assert receiver.bodies["/a"] == b"hello"
        assert receiver.headers["/a"]["X-Mine"] == "secret"
        (attempt,) = found["attemptLog"]
        assert (attempt["status"], attempt["ruling"], attempt["answer"]) == (200, "accept", "said")
        assert "secret" not in str(found)
        page = server.call("GET", f"{PATH}?state=delivered")
        assert [one["uid"] for one in page["deliveries"]] == [uid]
        assert server.call("GET", f"{PATH}:count") == {"counts": {"DELIVERED": 1}, "total": 1}


def test_a_letter_is_replayed_once_and_a_key_is_sent_once(home: Path, receiver: Receiver) -> None:
    receiver.answer = lambda path, count: 500 if count <= 2 else 200
    retry = {"retryCount": 1, "minBackoff": "0.1s"}
    with served(home) as server:
        uid = send(server, f"{receiver.url}/letter", retry=retry, key="k")
        assert send(server, f"{receiver.url}/letter", retry=retry, key="k") == uid
        dead = until_state(server, uid, "DEAD")
        assert dead["reason"] == "HTTP 500; retryCount 1 is used up"
        assert [one["status"] for one in dead["attemptLog"]] == [500, 500]
        plan = server.call("POST", f"{PATH}:replay", {"dryRun": True})
        assert [one["parent"] for one in plan["replayed"]] == [uid]
        assert receiver.began["/letter"] == 2
        done = server.call("POST", f"{PATH}:replay", {"rate": "100/s"})
        (again,) = done["replayed"]
        until_state(server, again["uid"], "DELIVERED")
        assert seen(server, uid)["replayedBy"] == again["uid"]
        once = server.call("POST", f"{PATH}:replay", {})
        assert (once["replayed"], once["replayedBefore"]) == ([], 1)
        with pytest.raises(Answered, match="replayed already"):
            server.call("POST", f"{PATH}:replay", {"uid": uid})
        assert server.call("POST", f"{PATH}:purge", {"dryRun": True})["deleted"] == 1
        assert server.call("POST", f"{PATH}:purge", {})["deleted"] == 1
        with pytest.raises(Answered) as gone:
            seen(server, uid)
        assert gone.value.code == 404
    receiver.answer = lambda path, count: 200


def test_a_delivery_that_waits_can_be_withdrawn(home: Path, receiver: Receiver) -> None:
    with served(home) as server:
        uid = send(server, f"{receiver.url}/never", delay="1h")
        assert server.call("POST", f"{PATH}/{uid}:cancel", {})["state"] == "CANCELLED"
        with pytest.raises(Answered, match="has settled already"):
            server.call("POST", f"{PATH}/{uid}:cancel", {})
    assert receiver.began["/never"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "one target"),
        ({"http": {"url": "ftp://x"}}, "httpTarget.uri"),
        ({"http": {"url": "http://x", "body": "?"}}, "http.body"),
        ({"http": {"url": "http://x", "colour": 1}}, "http.colour"),
        ({"job": {"name": "x", "acknowledgedOn": "never"}}, "job.acknowledgedOn"),
        ({"job": {"name": "x"}, "retry": {"retryCount": -1}}, "retry.retryCount"),
        ({"job": {"name": "x"}, "retry": {"minBackoff": "soon"}}, "retry.minBackoff"),
        ({"job": {"name": "x"}, "delay": 5}, "delay"),
        ([], "not an object"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_field(
    body: Any, field: str, running: Served
) -> None:
    with pytest.raises(Answered) as refused:
        running.call("POST", PATH, body)
    assert refused.value.code == 400
    assert field in str(refused.value)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with served(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.mark.parametrize("query", ["state=LOST", "olderThan=x", "colour=red", "pageSize=-1"])
def test_a_list_with_a_bad_filter_is_refused(running: Served, query: str) -> None:
    with pytest.raises(Answered) as refused:
        running.call("GET", f"{PATH}?{query}")
    assert refused.value.code == 400


def test_a_job_acknowledged_on_success_is_run_again_until_it_succeeds(
    home: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "second"
    with served(home, "--backend", "process") as server:
        server.create("flaky", f"test -e {marker} || {{ touch {marker}; exit 3; }}")
        job = {"name": "flaky", "acknowledgedOn": "success"}
        retry = {"retryCount": 2, "minBackoff": "0.1s"}
        answer = server.call("POST", PATH, {"job": job, "retry": retry})
        found = until_state(server, answer["uid"], "DELIVERED")
        assert (found["runTry"], found["attempts"]) == (1, 2)
        first, second = found["attemptLog"]
        assert first["execution"] != second["execution"]
        assert len(server.executions("flaky")) == 2


def test_a_job_that_has_gone_makes_a_dead_letter_that_says_so(home: Path) -> None:
    with served(home, "--clock", "virtual", "--backend", "scripted") as server:
        server.create("gone", "exit 0")
        body = {"job": {"name": "gone"}, "retry": {"retryCount": 0}, "delay": "60s"}
        answer = server.call("POST", PATH, body)
        server.call("DELETE", f"{PLACE}/jobs/gone")
        moved = server.call("POST", "/jobrunner/v1/clock:advance", {"by": "60s"}, timeout=60)
        assert moved["arrived"], moved
        found = until_state(server, answer["uid"], "DEAD")
        assert "404" in found["reason"]


def test_a_job_that_is_not_there_is_refused(running: Served) -> None:
    before = running.call("GET", f"{PATH}:count")
    with pytest.raises(Answered) as refused:
        running.call("POST", PATH, {"job": {"name": "nowhere"}})
    assert refused.value.code == 404
    assert "nowhere" in str(refused.value)
    assert running.call("GET", f"{PATH}:count") == before
