"""Events between programs that were written for production: the CloudEvents SDK sends, and the SDK
and functions-framework receive, all of them as they come from their makers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http

from tests.integration.test_events import SERVICES, send, trigger
from tests.support.components import require
from tests.support.fixtures import BUSYBOX_IMAGE, free_port
from tests.support.receiver import receiving
from tests.support.served import Served, served
from tests.support.waiting import until

FUNCTION = """\
import json, os
import functions_framework

@functions_framework.cloud_event
def handle(event):
    from flask import request
    known = {**event.get_attributes(), "data": event.get_data()}
    known["query"] = request.query_string.decode()
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(json.dumps(known) + "\\n")
    if event["id"] == "fails":
        raise RuntimeError("as it was told")
"""
KIND = "com.example.sdk"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("libraries") / "home") as one:
        yield one


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a function that is served, and the file of what it has seen."""
    place = tmp_path_factory.mktemp("function")
    (place / "main.py").write_text(FUNCTION)
    seen, port = place / "seen", free_port()
    seen.touch()
    program = Path(sys.executable).parent / "functions-framework"
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--target", "handle", "--signature-type", "cloudevent", "--source",
             str(place / "main.py"), "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "SEEN": str(seen)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    yield f"http://127.0.0.1:{port}", seen
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def an_event(event_id: str, kind: str = KIND, **attributes: Any) -> CloudEvent:
    core = {"id": event_id, "source": "//example.com/sdk", "type": kind, "subject": "orders/7"}
    core["datacontenttype"] = "application/json"
    return CloudEvent({**core, **attributes}, {"n": 1, "text": "é€😀"})


def sent(server: Served, event: CloudEvent, write: Any = to_binary) -> int:
    headers, body = write(event)
    return send(server, body, headers)[0]


def seen_by(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in place.read_text().splitlines()]


def test_a_function_gets_what_the_sdk_has_sent(server: Served, function: tuple[str, Path]) -> None:
    url, seen = function
    # The function is started meanwhile: what it does not answer yet is tried again.
    quick = {"minBackoff": "0.1s", "maxBackoff": "0.3s"}
    server.call("PUT", f"{SERVICES}/function", {"url": url})
    trigger(server, "function", {"cloudRun": {"service": "function"}}, KIND, retryPolicy=quick)
    assert sent(server, an_event("b1", tenant="a")) == 202
    assert sent(server, an_event("s1", tenant="a"), to_structured) == 202
    until(lambda: len(seen_by(seen)) >= 2, why=lambda: seen.parent.joinpath("log").read_text())
    for one in seen_by(seen):
        assert one["id"] in ("b1", "s1")
        assert one["data"] == {"n": 1, "text": "é€😀"}
        assert (one["source"], one["type"]) == ("//example.com/sdk", KIND)
        assert (one["subject"], one["tenant"], one["specversion"]) == ("orders/7", "a", "1.0")
        assert one["query"] == "__GCP_CloudEventsMode=CE_PUBSUB_BINDING"


def test_a_function_that_fails_gets_the_event_again_under_the_same_id(
    server: Served, function: tuple[str, Path]
) -> None:
    url, seen = function
    quick = {"minBackoff": "0.1s", "maxBackoff": "0.3s"}
    trigger(server, "fails", {"cloudRun": {"service": url}}, f"{KIND}.fails", retryPolicy=quick)
    assert sent(server, an_event("fails", f"{KIND}.fails")) == 202
    until(lambda: sum(1 for one in seen_by(seen) if one["id"] == "fails") >= 3)
    server.call("DELETE", "/jobrunner/v1/event-triggers/fails")


def test_the_sdk_reads_what_an_endpoint_gets(server: Served) -> None:
    with receiving() as receiver:
        uri = f"{receiver.url}/sdk"
        trigger(server, "sdk", {"httpEndpoint": {"uri": uri}}, f"{KIND}.read")
        event = an_event("r1", f"{KIND}.read")
        assert sent(server, event) == 202
        until(lambda: "/sdk" in receiver.bodies)
        found = from_http(receiver.headers["/sdk"], receiver.bodies["/sdk"])
    assert found.get_attributes() == event.get_attributes()
    assert found.get_data() == event.get_data()


def test_a_call_carries_a_token_for_the_origin_of_the_service(server: Served) -> None:
    import jwt

    with receiving() as receiver:
        trigger(
            server, "signed", {"cloudRun": {"service": receiver.url, "path": "/deep/path"}},
            f"{KIND}.signed", serviceAccount="caller@local.iam.gserviceaccount.com",
        )  # fmt: skip
        assert sent(server, an_event("t1", f"{KIND}.signed")) == 202
        path = "/deep/path?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
        until(lambda: path in receiver.headers)
        token = receiver.headers[path]["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["aud"] == receiver.url
        assert claims["email"] == "caller@local.iam.gserviceaccount.com"


def test_a_container_finds_the_event_in_a_file(server: Served, busybox_image: str) -> None:
    require("docker")
    script = 'grep -q box1 "$CLOUDEVENT_FILE" && [ "$CE_ID" = box1 ] && id -u'
    server.create("boxed", script, image=BUSYBOX_IMAGE)
    job = {"job": "boxed", "acknowledge": "success"}
    trigger(server, "boxed", {"cloudRun": job}, f"{KIND}.boxed")
    assert sent(server, an_event("box1", f"{KIND}.boxed")) == 202
    until(lambda: server.executions("boxed"))
    name = server.executions("boxed")[0]["name"].rsplit("/", 1)[-1]
    assert server.ended("boxed", name).get("succeededCount") == 1
