"""The stock gcloud and Google's client library make and drive schedules of a real server."""

from __future__ import annotations

import http.server
import importlib
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.commands import PROGRAM
from tests.support.components import require
from tests.support.waiting import until
from tests.wire.running import Running, serving

PARENT = "projects/local/locations/us-central1"


class Stage(NamedTuple):
    server: Running
    home: Path
    sink: str
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def gcloud(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, "--home", str(self.home), "gcloud", "--quiet", "scheduler", *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def ok(self, *words: str) -> Any:
        run = self.gcloud(*words, "--location", "us-central1", "--format", "json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "null")

    def call_of(self, path: str) -> tuple[str, dict[str, str], bytes]:
        def arrived() -> bool:
            return any(one[1] == path for one in self.seen)

        until(arrived)
        method, _, headers, body = next(one for one in self.seen if one[1] == path)
        return method, headers, body


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    class Sink(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.command, self.path, dict(self.headers), body))
            self.send_response(500 if "fail" in self.path else 200)
            self.end_headers()

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *words: object) -> None: ...

    home = Path(tempfile.mkdtemp(prefix="jr-", dir="/tmp"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with serving(home, grpc=True) as running:
                yield Stage(running, home, f"http://127.0.0.1:{server.server_port}", seen)
        finally:
            server.shutdown()
            thread.join()
            shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(400)
def test_gcloud_makes_changes_runs_pauses_and_removes_a_job(stage: Stage) -> None:
    require("gcloud")
    made = stage.ok(
        "jobs", "create", "http", "j1", "--schedule", "0 0 1 1 *", "--uri", f"{stage.sink}/j1",
        "--message-body", '{"a":1}', "--headers", "Content-Type=application/json",
        "--http-method", "put", "--time-zone", "Europe/Berlin", "--description", "yearly",
    )  # fmt: skip
    assert made["name"] == f"{PARENT}/jobs/j1"
    assert (made["state"], made["status"]) == ("ENABLED", {"code": -1})
    again = stage.gcloud(
        "jobs", "create", "http", "j1", "--schedule", "* * * * *", "--uri", "http://x/",
        "--location", "us-central1",
    )  # fmt: skip
    assert again.returncode == 1
    assert "ALREADY_EXISTS" in again.stderr

    stage.ok("jobs", "run", "j1")
    method, headers, body = stage.call_of("/j1")
    assert (method, body) == ("PUT", b'{"a":1}')
    assert headers["User-Agent"] == "Google-Cloud-Scheduler"
    assert headers["X-CloudScheduler"] == "true"
    assert headers["X-CloudScheduler-JobName"] == "j1"
    assert headers["X-CloudScheduler-ScheduleTime"].endswith(("+01:00", "+02:00"))
    until(lambda: stage.ok("jobs", "describe", "j1").get("status") == {})
    assert "lastAttemptTime" in stage.ok("jobs", "describe", "j1")

    changed = stage.ok(
        "jobs", "update", "http", "j1", "--schedule", "0 0 2 1 *", "--max-retry-attempts", "3"
    )
    # Only what was named: gcloud sends POST and UTC along.
    assert changed["schedule"] == "0 0 2 1 *"
    assert changed["retryConfig"]["retryCount"] == 3
    assert changed["httpTarget"]["httpMethod"] == "PUT"
    assert changed["timeZone"] == "Europe/Berlin"

    stage.ok("jobs", "update", "http", "j1", "--oidc-service-account-email", "a@b.c")
    changed = stage.ok(
        "jobs", "update", "http", "j1", "--update-headers", "X-A=b", "--clear-auth-token"
    )
    assert changed["httpTarget"]["headers"]["Content-Type"] == "application/json"
    assert changed["httpTarget"]["headers"]["X-A"] == "b"
    assert "oidcToken" not in changed["httpTarget"]

    stage.ok("jobs", "pause", "j1")
    assert stage.ok("jobs", "describe", "j1")["state"] == "PAUSED"
    refused = stage.gcloud("jobs", "pause", "j1", "--location", "us-central1")
    assert "FAILED_PRECONDITION" in refused.stderr
    stage.ok("jobs", "resume", "j1")
    assert stage.ok("jobs", "describe", "j1")["state"] == "ENABLED"
    assert [job["name"] for job in stage.ok("jobs", "list")] == [f"{PARENT}/jobs/j1"]
    stage.ok("jobs", "delete", "j1")
    gone = stage.gcloud("jobs", "describe", "j1", "--location", "us-central1")
    assert f"NOT_FOUND: Job {PARENT}/jobs/j1 not found." in gone.stderr


def test_gcloud_lists_locations_and_finds_its_own(stage: Stage) -> None:
    require("gcloud")
    listed = stage.gcloud("locations", "list", "--format", "value(name)")
    assert (listed.returncode, listed.stdout.strip()) == (0, PARENT)
    assert stage.gcloud("jobs", "list").returncode == 0


def test_gcloud_shows_what_is_wrong_with_a_job(stage: Stage) -> None:
    require("gcloud")
    refused = stage.gcloud(
        "jobs", "create", "http", "bad", "--schedule", "0 0 30 2 *", "--uri", "http://x/",
        "--location", "us-central1",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "INVALID_ARGUMENT: schedule: day-of-month '30' never comes" in refused.stderr


def test_a_failure_is_seen_in_the_status(stage: Stage) -> None:
    require("gcloud")
    stage.ok(
        "jobs", "create", "http", "f1", "--schedule", "0 0 1 1 *", "--uri", f"{stage.sink}/fail"
    )
    stage.ok("jobs", "run", "f1")
    until(lambda: stage.ok("jobs", "describe", "f1")["status"].get("code") == 13)
    stage.ok("jobs", "delete", "f1")


@pytest.mark.timeout(400)
def test_the_url_of_a_run_job_starts_an_execution(stage: Stage) -> None:
    require("gcloud")
    made = subprocess.run(
        [*PROGRAM, "--home", str(stage.home), "jobs", "create", "hello", "--command", "true"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    url = (
        "https://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/local"
        "/jobs/hello:run"
    )
    stage.ok(
        "jobs", "create", "http", "start", "--schedule", "0 0 1 1 *", "--uri", url,
        "--oauth-service-account-email", "sa@local.iam.gserviceaccount.com",
    )  # fmt: skip
    stage.ok("jobs", "run", "start")

    def ended() -> bool:
        listed = subprocess.run(
            [*PROGRAM, "--home", str(stage.home), "executions", "list", "--format", "json"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return [(one["job"], one["state"]) for one in json.loads(listed.stdout)] == [
            ("hello", "SUCCEEDED")
        ]

    until(ended)
    until(lambda: stage.ok("jobs", "describe", "start").get("status") == {})
    stage.ok("jobs", "delete", "start")


@pytest.fixture(params=["rest", "grpc"])
def client(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The library, over either transport."""
    scheduler = importlib.import_module("google.cloud.scheduler_v1")
    if request.param == "grpc":
        grpc = importlib.import_module("grpc")
        transport = scheduler.CloudSchedulerClient.get_transport_class("grpc")
        with grpc.insecure_channel(f"127.0.0.1:{stage.server.grpc_port}") as channel:
            yield scheduler.CloudSchedulerClient(transport=transport(channel=channel))
        return
    anonymous = importlib.import_module("google.auth.credentials").AnonymousCredentials()
    yield scheduler.CloudSchedulerClient(
        transport="rest",
        credentials=anonymous,
        client_options={"api_endpoint": stage.server.url},
    )


def test_the_client_library_makes_changes_runs_and_removes_a_job(stage: Stage, client: Any) -> None:
    from google.api_core import exceptions
    from google.cloud import scheduler_v1 as scheduler
    from google.protobuf import duration_pb2, field_mask_pb2

    name = f"{PARENT}/jobs/lib"
    job = scheduler.Job(
        name=name,
        schedule="0 0 1 1 *",
        time_zone="Etc/UTC",
        attempt_deadline=duration_pb2.Duration(seconds=30),
        http_target=scheduler.HttpTarget(
            uri=f"{stage.sink}/lib", http_method=scheduler.HttpMethod.PUT, body=b"\xfb\xff"
        ),
    )
    made = client.create_job(parent=PARENT, job=job)
    assert (made.name, made.state) == (name, scheduler.Job.State.ENABLED)
    assert made.http_target.body == b"\xfb\xff"
    assert made.attempt_deadline.seconds == 30
    with pytest.raises(exceptions.Conflict):
        client.create_job(parent=PARENT, job=job)
    job.schedule = "0 0 2 1 *"
    job.description = "not masked"
    changed = client.update_job(job=job, update_mask=field_mask_pb2.FieldMask(paths=["schedule"]))
    assert (changed.schedule, changed.description) == ("0 0 2 1 *", "")
    stage.seen.clear()
    client.run_job(name=name)
    assert stage.call_of("/lib")[2] == b"\xfb\xff"
    assert client.pause_job(name=name).state == scheduler.Job.State.PAUSED
    assert client.resume_job(name=name).state == scheduler.Job.State.ENABLED
    assert name in [one.name for one in client.list_jobs(parent=PARENT)]
    client.delete_job(name=name)
    with pytest.raises(exceptions.NotFound):
        client.get_job(name=name)
    with pytest.raises(exceptions.BadRequest):
        client.create_job(parent=PARENT, job=scheduler.Job(name=name, schedule="x"))
    listed = client.list_locations({"name": "projects/local"})
    assert [one.location_id for one in listed.locations] == ["us-central1"]
    assert client.get_location({"name": PARENT}).name == PARENT


def test_gcloud_makes_and_changes_a_job_that_publishes(stage: Stage) -> None:
    require("gcloud")
    made = stage.ok(
        "jobs", "create", "pubsub", "p1", "--schedule", "0 0 1 1 *", "--topic", "t-1",
        "--message-body", "hi", "--attributes", "a=b",
    )  # fmt: skip
    target = {"topicName": "projects/local/topics/t-1", "data": "aGk=", "attributes": {"a": "b"}}
    assert made["pubsubTarget"] == target
    changed = stage.ok("jobs", "update", "pubsub", "p1", "--update-attributes", "c=d")
    assert changed["pubsubTarget"] == {**target, "attributes": {"a": "b", "c": "d"}}
    stage.ok("jobs", "delete", "p1")
