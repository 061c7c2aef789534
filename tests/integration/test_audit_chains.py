"""A write to our own API, and an entry that somebody posts, reach a trigger of a real server."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.served import PLACE, Served, served
from tests.support.waiting import until
from triggers.core.google_events import AUDIT, audit_entry


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_calls_and_posted_entries_are_filtered_by_service_method_and_resource(
    tmp_path: Path, receiver: Receiver
) -> None:
    with served(tmp_path / "home", "--backend", "process") as server:
        server.create("report", "true")
        for name, method in (("own", "google.cloud.run.v2.Jobs.RunJob"), ("posted", "m.Create")):
            listen(server, name, method, f"{receiver.url}/{name}")
        server.run("report")
        until(lambda: receiver.done["/own"] == 1)
        said = receiver.headers["/own"]
        assert said["ce-resourcename"] == f"{PLACE[4:]}/jobs/report"
        assert said["ce-servicename"] == "run.googleapis.com"
        payload = json.loads(receiver.bodies["/own"])["protoPayload"]
        assert payload["methodName"] == "google.cloud.run.v2.Jobs.RunJob"
        entry = audit_entry(
            project="p", service="run.googleapis.com", method="m.Create", at=1_750_000_000.0,
            resource=f"{PLACE[4:]}/jobs/other", insert_id="i",
        )  # fmt: skip
        for _ in range(2):
            assert post(server, {"entries": [entry]}) == 202
        until(lambda: receiver.done["/posted"] == 1)
        server.call("GET", f"{PLACE}/jobs")
        assert receiver.began == {"/own": 1, "/posted": 1}


def listen(server: Served, name: str, method: str, uri: str) -> None:
    filters = [
        {"attribute": "type", "value": AUDIT},
        {"attribute": "serviceName", "value": "run.googleapis.com"},
        {"attribute": "methodName", "value": method},
        {
            "attribute": "resourceName",
            "value": "projects/local/locations/*/jobs/*",
            "operator": "match-path-pattern",
        },
    ]
    body = {
        "name": name,
        "eventFilters": filters,
        "destination": {"httpEndpoint": {"uri": uri}},
    }
    server.call("POST", "/jobrunner/v1/event-triggers", body)


def post(server: Served, body: object) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/events",
        method="POST",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        status: int = answer.status
        return status
