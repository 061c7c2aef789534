"""A real server, the whole way: schedule, delivery, call with a token, or a job started here."""

import base64
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from requests import Session

from tests.support.served import Served, served, start
from tests.support.waiting import until

BASE = "/v1/projects/local/locations/us-central1/jobs"
RUN = (
    "https://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/local/jobs/{}:run"
)


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: bytes


class Service(http.server.ThreadingHTTPServer):
    """Accepts everything and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(Seen(self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def fire(server: Served, name: str, target: dict[str, Any]) -> None:
    job = {"name": f"{BASE[4:]}/{name}", "schedule": "0 0 1 1 *", "httpTarget": target}
    server.call("POST", BASE, job)
    server.call("POST", f"{BASE}/{name}:run", {})


@pytest.fixture
def server(home: Path) -> Iterator[Served]:
    with served(home, "--backend", "process") as one:
        yield one


def test_a_service_is_called_with_a_token_that_it_can_check(
    server: Served, service: Service
) -> None:
    token = {"serviceAccountEmail": "sa@p.iam.gserviceaccount.com"}
    target = {
        "uri": f"{service.url}/run?x=1",
        "body": base64.b64encode(b"{}").decode(),
        "oidcToken": token,
    }
    fire(server, "nightly", target)
    until(lambda: service.seen)
    (seen,) = service.seen
    assert (seen.path, seen.body) == ("/run?x=1", b"{}")
    assert seen.headers["X-CloudScheduler-JobName"] == "nightly"
    found = server.call("GET", "/.well-known/openid-configuration")
    with Session() as session:
        claims = id_token.verify_token(
            seen.headers["Authorization"].removeprefix("Bearer "),
            Request(session),
            audience=target["uri"],
            certs_url=found["jwks_uri"],
        )
    assert claims["email"] == token["serviceAccountEmail"]
    assert claims["iss"] == found["issuer"]


def test_a_url_of_cloud_run_starts_the_job_here(server: Served) -> None:
    server.create("hello", "exit 0")
    target = {"uri": RUN.format("hello"), "oauthToken": {"serviceAccountEmail": "sa@x"}}
    fire(server, "start-hello", target)
    until(lambda: server.executions("hello"))
    (execution,) = server.executions("hello")
    assert execution["creator"] == "schedule/start-hello"
    server.ended("hello", execution["name"].rsplit("/", 1)[-1])


def test_a_url_of_a_job_that_is_not_here_is_a_404(server: Served) -> None:
    fire(server, "start-nobody", {"uri": RUN.format("nobody")})
    until(lambda: server.call("GET", f"{BASE}/start-nobody")["status"].get("code") == 5)


def test_a_denied_target_is_never_called(home: Path, service: Service) -> None:
    with served(home, env={"JOBRUNNER_TARGETS_DENY": "private"}) as server:
        fire(server, "inside", {"uri": service.url})
        until(lambda: "lastAttemptTime" in server.call("GET", f"{BASE}/inside"))
        until(lambda: "denied" in server.call("GET", f"{BASE}/inside")["status"].get("message", ""))
    assert not service.seen


def test_a_server_with_a_wrong_setting_says_so_and_does_not_start(home: Path) -> None:
    server = start(home, env={"JOBRUNNER_TARGETS_DENY": "http://x"})
    assert server.process.wait(60) == 2
    said = server.said()
    assert "JOBRUNNER_TARGETS_DENY: 'http://x' is not" in said
    assert "Traceback" not in said
