"""What is meant for a neighbour is passed on to it, and to nobody else; our tokens stay here."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jobrunner.api.http import forwarding
from jobrunner.api.http.application import AUTHORITY
from jobrunner.api.http.forwarding import Forwards
from jobrunner.service.parts import Neighbour
from tests.support.fixtures import free_port
from tests.unit.api.http.test_application import Got, an_app, ask


class Seen(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.says = b'{"topics":[]}'

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Seen

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, body))
        self.send_response(200 if "missing" not in self.path else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Theirs", "1")
        self.end_headers()
        self.wfile.write(self.server.says)

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def a_neighbour() -> Iterator[Seen]:
    server = Seen()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def theirs() -> Iterator[Seen]:
    with a_neighbour() as one:
        yield one


def asked(
    at: str,
    verb: str,
    target: str,
    *,
    authority: str | None = None,
    body: bytes = b"",
    loopback: bool = True,
    headers: dict[str, str] | None = None,
) -> Got:
    """Of an application whose neighbour is ``at``."""
    known = Neighbour("pubsub.localhost", at, "Pub/Sub emulator", "Start one.")
    app = an_app(forwards=Forwards([known]), loopback=loopback)
    extra = {AUTHORITY: authority} if authority is not None else {}
    named = {"host": authority} if authority is not None else {}
    return asyncio.run(ask(app, verb, target, body, extra=extra, named=named | (headers or {})))


def test_a_request_in_absolute_form_for_the_neighbour_is_passed_on(theirs: Seen) -> None:
    got = asked(
        theirs.authority, "PUT", "/v1/projects/p/topics/a%2Fb?alt=json&x=1",
        authority=theirs.authority, body=b'{"a": 1}',
        headers={"content-type": "application/json", "cookie": "c", "x-mine": "1"},
    )  # fmt: skip
    assert (got.status, got.body) == (200, b'{"topics":[]}')
    assert got.headers["content-type"] == "application/json"
    assert "x-theirs" not in got.headers
    ((verb, path, headers, body),) = theirs.requests
    assert (verb, path, body) == ("PUT", "/v1/projects/p/topics/a%2Fb?alt=json&x=1", b'{"a": 1}')
    assert headers["content-type"] == "application/json"
    assert headers["host"] == theirs.authority
    assert not {"cookie", "x-mine"} & headers.keys()


def test_the_name_that_we_have_for_it_means_it_in_either_form(theirs: Seen) -> None:
    name = "pubsub.localhost:8686"
    assert asked(theirs.authority, "GET", "/v1/a", authority=name).status == 200
    assert asked(theirs.authority, "GET", "/v1/b", headers={"host": name}).status == 200
    assert [path for _, path, _, _ in theirs.requests] == ["/v1/a", "/v1/b"]


def test_nothing_goes_to_any_other_authority(theirs: Seen) -> None:
    with a_neighbour() as stranger:
        for authority in (
            stranger.authority, f"{theirs.authority}0", "example.com:80", "127.0.0.1:1",
            f"{theirs.authority}@{stranger.authority}", "xpubsub.localhost:1",
        ):  # fmt: skip
            got = asked(theirs.authority, "GET", "/v1/projects/p/topics", authority=authority)
            assert got.status >= 400
        # By its own authority it is asked in absolute form only.
        got = asked(theirs.authority, "GET", "/v1/a", headers={"host": theirs.authority})
        assert got.status == 404
        assert theirs.requests == stranger.requests == []


def test_our_tokens_are_asked_for_and_never_passed_on(theirs: Seen) -> None:
    at = theirs.authority
    name: Any = {"authority": at, "loopback": False}
    assert asked(at, "GET", "/v1/a", **name).status == 401
    reader = {"authorization": "Bearer v"}
    assert asked(at, "GET", "/v1/a", **name, headers=reader).status == 200
    got = asked(at, "POST", "/v1/a:publish", **name, headers=reader, body=b"{}")
    assert got.error == (403, "PERMISSION_DENIED")
    writer = {"authorization": "Bearer a"}
    assert asked(at, "DELETE", "/v1/a", **name, headers=writer).status == 200
    assert [verb for verb, *_ in theirs.requests] == ["GET", "DELETE"]
    assert all("authorization" not in headers for _, _, headers, _ in theirs.requests)


def test_a_foreign_web_page_gets_nothing_passed_on(theirs: Seen) -> None:
    got = asked(
        theirs.authority, "POST", "/v1/a", authority=theirs.authority,
        headers={"origin": "http://evil.example"}, body=b"{}",
    )  # fmt: skip
    assert got.status == 403
    assert theirs.requests == []


def test_without_a_neighbour_the_answer_says_how_to_have_one() -> None:
    got = asked("", "GET", "/v1/a", authority="pubsub.localhost:8686")
    assert got.error == (400, "FAILED_PRECONDITION")
    assert "Start one." in got.body.decode()


def test_a_neighbour_that_is_away_is_an_error_that_may_be_tried_again() -> None:
    away = f"127.0.0.1:{free_port()}"
    got = asked(away, "GET", "/v1/a", authority=away)
    assert got.error == (503, "UNAVAILABLE")
    assert away in got.json["error"]["message"]


def test_an_answer_without_bounds_is_broken_off(
    theirs: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "LARGEST", 1000)
    theirs.says = b"x" * 5000
    assert asked(theirs.authority, "GET", "/v1/a", authority=theirs.authority).status == 503


def test_what_it_says_of_errors_is_passed_back(theirs: Seen) -> None:
    got = asked(theirs.authority, "GET", "/v1/missing", authority=theirs.authority)
    assert (got.status, got.body) == (404, theirs.says)
