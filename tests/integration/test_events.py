"""Events over HTTP into a real server, and out of it to services and jobs."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import jobrunner
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, served
from tests.support.waiting import until

TRIGGERS, SERVICES = "/jobrunner/v1/event-triggers", "/jobrunner/v1/services"
TYPE = "com.example.made"
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "//example.com/shop",
    "ce-type": TYPE,
    "ce-subject": "Euro%20%E2%82%AC",
    "content-type": "application/json",
}
JOB = "https://example.com/unused"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("events") / "home", "--backend", "process") as one:
        yield one


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def send(
    server: Served, body: bytes, headers: dict[str, str], path: str = "/events", verb: str = "POST"
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", method=verb, data=body, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.loads(error.read() or b"null")


def trigger(server: Served, name: str, destination: Any, kind: str = TYPE, **fields: Any) -> Any:
    body = {
        "name": name,
        "eventFilters": [{"attribute": "type", "value": kind}],
        "destination": destination,
        **fields,
    }
    return server.call("POST", TRIGGERS, body)


def test_a_service_gets_the_event_as_eventarc_delivers_it(
    server: Served, receiver: Receiver
) -> None:
    server.call("PUT", f"{SERVICES}/shop", {"url": receiver.url})
    trigger(server, "shop", {"cloudRun": {"service": "shop", "path": "/ev"}}, "com.example.exact")
    headers = {**BINARY, "ce-type": "com.example.exact", "CE-MethodName": "m"}
    assert send(server, b'{"a": 1}', headers)[0] == 202
    path = "/ev?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
    until(lambda: receiver.done[path] or receiver.began[path])
    got = receiver.headers[path]
    assert receiver.bodies[path] == b'{"a": 1}'
    wanted = {
        "ce-specversion": "1.0", "ce-id": "1", "ce-source": "//example.com/shop",
        "ce-type": "com.example.exact", "ce-subject": "Euro%20%E2%82%AC", "ce-methodname": "m",
        "content-type": "application/json", "From": "noreply@google.com",
    }  # fmt: skip
    assert {name: got.get(name) for name in wanted} == wanted
    assert got["User-Agent"].startswith("APIs-Google;")


def test_a_service_that_has_no_url_yet_is_a_condition_and_gets_the_event_later(
    server: Served, receiver: Receiver
) -> None:
    retry = {"minBackoff": "10s"}
    made = trigger(
        server, "late", {"cloudRun": {"service": "later"}}, "com.example.late", retryPolicy=retry
    )
    assert made["conditions"]["destination"]["code"] == "NOT_FOUND"
    assert "services set later" in made["conditions"]["destination"]["message"]
    headers = {**BINARY, "ce-type": "com.example.late"}
    assert send(server, b"{}", headers)[0] == 202

    def waiting() -> Any:
        found = server.call("GET", "/jobrunner/v1/deliveries?sourceName=late")["deliveries"]
        return found and found[0]["attempts"] and found[0]

    until(waiting)
    said = server.call("GET", f"/jobrunner/v1/deliveries/{waiting()['uid']}")
    assert "jobrunner services set later URL" in json.dumps(said)
    server.call("PUT", f"{SERVICES}/later", {"url": receiver.url})
    assert server.call("GET", f"{TRIGGERS}/late")["conditions"] == {}


def test_a_structured_event_and_a_batch_are_taken_whole(server: Served, receiver: Receiver) -> None:
    kind = "com.example.modes"
    trigger(server, "modes", {"httpEndpoint": {"uri": f"{receiver.url}/modes"}}, kind)

    def event(number: int) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": str(number),
            "source": "/s",
            "type": kind,
            "data": number,
        }

    structured = {"content-type": "application/cloudevents+json"}
    batched = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    assert send(server, json.dumps(event(1)).encode(), structured)[0] == 202
    assert send(server, json.dumps([event(2), event(3)]).encode(), batched)[0] == 202
    until(lambda: receiver.began["/modes"] == 3)
    broken = [event(4), {**event(5), "id": ""}]
    code, _, said = send(server, json.dumps(broken).encode(), batched)
    assert code == 400
    assert "events[1].id" in said["error"]["message"]
    assert send(server, json.dumps([event(4)]).encode(), batched)[0] == 202
    until(lambda: receiver.began["/modes"] == 4)
    assert send(server, b"[]", batched)[0] == 204


@pytest.mark.parametrize(
    ("change", "body", "code", "field"),
    [
        ({"ce-id": None}, b"{}", 400, "id"),
        ({"ce-specversion": "2.0"}, b"{}", 400, "specversion"),
        ({"ce-time": "yesterday"}, b"{}", 400, "time"),
        ({"ce-subject": "%FF"}, b"{}", 400, "ce-subject"),
        ({"ce-datacontenttype": "text/plain"}, b"{}", 400, "ce-datacontenttype"),
        ({"content-type": "application/cloudevents+xml"}, b"<a/>", 415, ""),
        ({"content-type": "application/cloudevents+json"}, b"{", 400, ""),
        ({}, b"a" * (512 * 1024), 413, ""),
    ],
)  # fmt: skip
def test_each_kind_of_broken_event_is_refused_by_its_name(
    server: Served, change: dict[str, str | None], body: bytes, code: int, field: str
) -> None:
    headers = {name: value for name, value in {**BINARY, **change}.items() if value is not None}
    status, _, said = send(server, body, headers)
    assert (status, said["error"]["code"]) == (code, code), said
    assert said["error"]["status"] == "INVALID_ARGUMENT"
    assert said["error"]["details"][0]["fieldViolations"][0]["field"] == field


def test_a_sender_may_ask_whether_it_may_send(server: Served) -> None:
    asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    status, headers, _ = send(server, b"", asked, verb="OPTIONS")
    assert status == 200
    assert headers["webhook-allowed-origin"] == "events.example.com"
    assert headers["webhook-allowed-rate"] == "120"
    assert "webhook-allowed-origin" not in send(server, b"", {}, verb="OPTIONS")[1]


def test_what_nobody_wants_is_taken_and_kept_in_the_log(server: Served) -> None:
    headers = {**BINARY, "ce-type": "com.example.nobody"}
    assert send(server, b"{}", headers)[0] == 204
    [entry] = server.call("GET", "/jobrunner/v1/events?type=com.example.nobody")["events"]
    assert (entry["event"]["id"], entry["triggers"]) == ("1", [])


def test_half_of_a_surrogate_pair_in_the_data_reaches_the_receiver_as_it_was(
    server: Served, receiver: Receiver
) -> None:
    kind = "com.example.half"
    trigger(server, "half", {"httpEndpoint": {"uri": f"{receiver.url}/half"}}, kind)
    headers = {**BINARY, "ce-type": kind}
    assert send(server, b'{"a": "\\ud800"}', headers)[0] == 202
    until(lambda: "/half" in receiver.bodies)
    assert receiver.bodies["/half"] == b'{"a": "\\ud800"}'
    [entry] = server.call("GET", f"/jobrunner/v1/events?type={kind}")["events"]
    assert entry["event"]["data"] == {"a": "?"}


def test_events_of_a_channel_that_nobody_knows_are_refused(
    server: Served, receiver: Receiver
) -> None:
    code, _, said = send(server, b"{}", BINARY, "/events/nowhere")
    assert (code, said["error"]["status"]) == (404, "NOT_FOUND")
    uri = f"{receiver.url}/channel"
    made = trigger(server, "own", {"httpEndpoint": {"uri": uri}}, channel="own")
    assert made["channel"] == "projects/local/locations/us-central1/channels/own"
    assert send(server, b"{}", BINARY, "/events/own")[0] == 202
    until(lambda: receiver.began["/channel"])


def test_a_job_finds_the_event_in_a_file_and_in_its_environment(server: Served) -> None:
    # The first attempt fails, so that the second one shows that it finds the same.
    script = (
        'grep -q com.example.job "$CLOUDEVENT_FILE" && [ "$CE_TYPE/$CE_ID/$MODE"'
        ' = "com.example.job/1/é" ] && [ "$CLOUD_RUN_TASK_ATTEMPT" = 1 ]'
    )
    server.create("report", script, maxRetries=1)
    destination = {"job": "report", "env": {"MODE": "{{ data.a }}"}, "acknowledge": "success"}
    trigger(server, "report", {"cloudRun": destination}, "com.example.job")
    headers = {**BINARY, "ce-type": "com.example.job"}
    assert send(server, '{"a": "é"}'.encode(), headers)[0] == 202
    until(lambda: server.executions("report"))
    [execution] = server.executions("report")
    name = execution["name"].rsplit("/", 1)[-1]
    assert server.ended("report", name)["succeededCount"] == 1
    uid = execution["uid"]
    kept = server.home / "logs" / uid / "cloudevent.json"
    event = json.loads(kept.read_bytes())
    assert (event["type"], event["data"]) == ("com.example.job", {"a": "é"})
    assert kept.stat().st_mode & 0o777 == 0o400
    until(
        lambda: (
            server.call("GET", "/jobrunner/v1/deliveries?sourceName=report")["deliveries"][0][
                "state"
            ]
            == "DELIVERED"
        )
    )


def test_a_trigger_says_which_of_its_filters_says_no(server: Served) -> None:
    trigger(server, "tested", {"topic": "projects/p/topics/dead"}, "com.example.tested")
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "com.example.other"}
    said = server.call("POST", f"{TRIGGERS}/tested:test", {"event": event})
    assert said["matches"] is False
    assert said["refusals"] == ["type is 'com.example.other', not 'com.example.tested'"]
    event["type"] = "com.example.tested"
    assert server.call("POST", f"{TRIGGERS}/tested:test", {"event": event})["matches"] is True


def test_beyond_this_machine_a_sender_shows_a_token_in_a_header_or_in_the_query(
    home: Path,
) -> None:
    made = jobrunner("tokens", "create", "shop", "--role", "invoker")
    token = made.stdout.strip()
    low = jobrunner("tokens", "create", "eye", "--role", "viewer").stdout.strip()
    with served(home, "--host", "0.0.0.0", "--access-log") as server:
        assert send(server, b"{}", BINARY)[0] == 401
        assert send(server, b"{}", {**BINARY, "authorization": f"Bearer {token}"})[0] == 204
        assert send(server, b"{}", BINARY, f"/events?access_token={token}")[0] == 204
        assert send(server, b"{}", BINARY, f"/events?access_token={low}")[0] == 403
        assert send(server, b"{}", BINARY, "/events?access_token=wrong")[0] == 401
        assert send(server, b"", {"WebHook-Request-Origin": "a.example"}, verb="OPTIONS")[0] == 200
        code = send(server, b"{}", BINARY, f"/events?access_token={token}&access_token={token}")[0]
        assert code == 400
    assert "/events" in server.said()
    assert token not in server.said()


def test_a_sender_waits_while_a_trigger_has_as_many_events_as_may_wait(server: Served) -> None:
    kind = "com.example.full"
    trigger(server, "full", {"cloudRun": {"service": "without-url"}}, kind, backlog=2)
    for id in "12":
        assert send(server, b"{}", {**BINARY, "ce-type": kind, "ce-id": id})[0] == 202
    status, headers, said = send(server, b"{}", {**BINARY, "ce-type": kind, "ce-id": "3"})
    assert (status, headers["retry-after"]) == (429, "1")
    assert said["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert "'full' has 2 events waiting" in said["error"]["message"]
    refused = jobrunner("--home", str(server.home), "events", "send", "--type", kind)
    assert (refused.returncode, "2 events waiting" in refused.stderr) == (4, True)
