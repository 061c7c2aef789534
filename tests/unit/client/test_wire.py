"""The connection itself: kept, lost, silent, elsewhere; over real sockets of this machine."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from jobrunner.api.errors import PermissionDenied, envelope
from jobrunner.client import wire as wire_module
from jobrunner.client.finding import Endpoint, find_server, parse_endpoint
from jobrunner.client.wire import Wire, refusal
from jobrunner.core.records import Scope
from jobrunner.errors import NotFound, Refused, RunnerFault, UsageError
from jobrunner.lib import serverfile
from jobrunner.lib.identity import runner_name
from jobrunner.lib.serverfile import ServerFile
from jobrunner.service.calls import Desk
from jobrunner.service.codec import fault_of

SCOPE = Scope()


class Peer(HTTPServer):
    """Answers every call with ``body``, if it bears the token ``known`` where there is one; notes
    who asked over which connection."""

    def __init__(self, body: bytes = b"[]", status: int = 200) -> None:
        self.body = body
        self.status = status
        self.known: str | None = None
        self.tokens: list[str | None] = []
        self.clients: list[int] = []
        super().__init__(("127.0.0.1", 0), Answering)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("http", "127.0.0.1", self.server_port, "key", 1)


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Peer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.append(self.headers["Authorization"])
        self.server.clients.append(self.client_address[1])
        status, body = self.server.status, self.server.body
        if self.server.known not in (None, (self.headers["Authorization"] or "")[7:]):
            status, body = 401, b'{"error": {"message": "who are you"}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listing(wire: Wire) -> object:
    return wire.call(Desk.list_jobs, SCOPE)


def closed(wire: Wire) -> None:
    """The peer has one thread: it is free when our connection is gone."""
    wire._forget()


def test_calls_share_a_connection_and_show_the_key(peer: Peer) -> None:
    wire = Wire(lambda: peer.endpoint)
    assert [listing(wire), listing(wire)] == [[], []]
    assert peer.tokens == ["Bearer key"] * 2
    assert len(set(peer.clients)) == 1
    closed(wire)


def test_a_connection_that_was_idle_is_opened_anew(peer: Peer) -> None:
    now = 0.0
    wire = Wire(lambda: peer.endpoint, monotonic=lambda: now)
    listing(wire)
    now = 10.0
    listing(wire)
    assert len(set(peer.clients)) == 2
    closed(wire)


def test_a_server_that_was_started_again_is_found_where_it_is_now(peer: Peer) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = Endpoint("http", "127.0.0.1", nobody.getsockname()[1], "old", 1)
        places = [gone, gone]
        wire = Wire(lambda: places.pop() if places else peer.endpoint, sleep=lambda seconds: None)
        assert listing(wire) == []
    assert peer.tokens == ["Bearer key"]
    closed(wire)


def test_a_server_that_took_the_place_of_another_is_asked_with_its_own_key(peer: Peer) -> None:
    before = replace(peer.endpoint, token="old", pid=2)
    peer.known = "key"
    found = [before]
    wire = Wire(lambda: found[0])
    with pytest.raises(Refused, match="who are you"):
        listing(wire)
    closed(wire)
    assert len(peer.tokens) == 1
    found[0] = peer.endpoint
    assert wire.endpoint == before
    assert listing(wire) == []
    assert peer.tokens[1:] == ["Bearer old", "Bearer key"]
    closed(wire)


def test_a_server_that_stays_silent_is_named_and_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire_module, "ANSWER_SECONDS", 0.1)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        endpoint = Endpoint("http", "127.0.0.1", mute.getsockname()[1], "", 4711)
        with pytest.raises(RunnerFault, match=r"\(pid 4711\) does not answer: nothing came within"):
            listing(Wire(lambda: endpoint))


def test_patience_with_a_server_that_went_away_has_an_end() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = Endpoint("http", "127.0.0.1", nobody.getsockname()[1], "", 1)
        wire = Wire(lambda: endpoint, sleep=sleep, monotonic=lambda: now)
        with wire.patient(30.0), pytest.raises(RunnerFault, match="did not come back in 30 sec"):
            listing(wire)


def test_who_waits_long_for_a_server_is_told_so_once() -> None:
    now = 0.0
    heard: list[tuple[float, str]] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = Endpoint("http", "127.0.0.1", nobody.getsockname()[1], pid=7)
        wire = Wire(lambda: endpoint, sleep=sleep, monotonic=lambda: now)
        with (
            wire.patient(30.0, notice=lambda said: heard.append((now, said))),
            wire.patient(30.0),
            pytest.raises(RunnerFault),
        ):
            listing(wire)
    said = f"The server at {endpoint.url} (pid 7) went away. Tasks go on; waiting up to 30 seconds"
    assert heard == [(2.0, f"{said} for it to come back.")]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1}', b"[1]"])
def test_an_answer_that_is_none_is_a_fault(peer: Peer, body: bytes) -> None:
    peer.body = body
    wire = Wire(lambda: peer.endpoint)
    with pytest.raises(RunnerFault, match="cannot be read"):
        listing(wire)
    closed(wire)


def test_refusals_of_a_gate_before_the_call_are_told_in_its_words() -> None:
    said = b'{"error": {"code": 403, "message": "needs admin."}}'
    error = refusal(403, said)
    assert isinstance(error, Refused)
    assert error.message == "The server refuses the call: needs admin."
    assert error.hint is None
    assert "JOBRUNNER_TOKEN" in str(refusal(401, said).hint)
    assert isinstance(refusal(500, b"oops"), RunnerFault)
    fault = b'{"error": {}, "fault": {"classes": ["NotFound"], "message": "m", "hint": "h"}}'
    assert isinstance(refusal(404, fault), NotFound)


def test_a_role_that_is_not_enough_is_told_with_what_would_be() -> None:
    denied = envelope(PermissionDenied("Permission 'jobrunner.run' denied on resource '/v1/run'"))
    error = refusal(403, json.dumps(denied).encode())
    assert error.message == "The server refuses the call: the role of the token is not enough."
    said = envelope(PermissionDenied("no", hint="invoker is needed"))
    for body in (said, {**said, "fault": fault_of(PermissionDenied("no"))}):
        error = refusal(403, json.dumps(body).encode())
        assert isinstance(error, Refused)
        assert (error.message, error.hint) == (
            "The server refuses the call: no.", "invoker is needed"
        )  # fmt: skip


# ---------------------------------------------------------------- which server


def write(home: Path, **more: str) -> ServerFile:
    entry = ServerFile(
        "http://127.0.0.1:1", 1, more.pop("started", runner_name("x")), "1", "key", **more
    )
    serverfile.write(str(home), entry)
    return entry


def test_the_variable_wins_over_the_file_and_the_file_over_nothing(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert find_server({}, home) is None
    write(tmp_path)
    found = find_server({"JOBRUNNER_TOKEN": "mine"}, home)
    assert found == Endpoint("http", "127.0.0.1", 1, "key", 1)
    env = {"JOBRUNNER_ENDPOINT": "https://[::1]:99/", "JOBRUNNER_TOKEN": "mine"}
    named = find_server(env, home)
    assert named == Endpoint("https", "::1", 99, "mine", None)
    assert (named.url, "mine" in repr(named)) == ("https://[::1]:99", False)


def test_a_dead_servers_file_and_another_database_are_no_server(tmp_path: Path) -> None:
    write(tmp_path, started="pid 4194301 on x (00000000.1.1.abc)")
    assert find_server({}, str(tmp_path)) is None
    url = "postgresql://u:secret@h/d"
    write(tmp_path, database=serverfile.fingerprint(url))
    assert find_server({"JOBRUNNER_DATABASE_URL": url}, str(tmp_path)) is not None
    assert find_server({"JOBRUNNER_DATABASE_URL": url + "2"}, str(tmp_path)) is None
    assert find_server({}, str(tmp_path)) is not None


def test_a_token_that_is_none_is_a_mistake_of_usage() -> None:
    with pytest.raises(UsageError, match="JOBRUNNER_TOKEN"):
        parse_endpoint("http://h:1", "a\nb", "JOBRUNNER_ENDPOINT")
