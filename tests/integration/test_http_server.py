"""A listening server and raw sockets: whatever is sent, an answer or an end, and never a hang."""

import asyncio
import contextlib
import json
import random
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobrunner.api.http.application import Application, House
from jobrunner.api.http.guard import own_names
from jobrunner.api.http.limits import DEFAULTS, Limits
from jobrunner.api.http.listen import Listening, TlsFiles, listen, within_open_files
from jobrunner.calls import Answer, Call, Method, Principal, Role
from jobrunner.errors import UsageError
from jobrunner.lib.clock import SystemClock
from tests.support.awaiting import until
from tests.support.waiting import PATIENCE

SHORT = Limits(head_seconds=0.3, body_seconds=0.3, idle_seconds=1, send_seconds=1)
HOST = b"Host: localhost:8686\r\n"


@dataclass
class Stage:
    """A server with methods that echo, wait, stream and tell of their end."""

    server: Listening
    port: int
    seen: list[Any] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list["Client"] = field(default_factory=list)

    async def connect(self) -> "Client":
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def send(self, raw: bytes) -> "Reply":
        client = await self.connect()
        client.writer.write(raw)
        return await client.reply()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        assert self.json["error"]["code"] == self.status
        return self.status, self.json["error"]["status"]


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self, *, head: bool = False) -> Reply:
        async with asyncio.timeout(PATIENCE):
            start = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = start.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
            assert re.fullmatch(r"HTTP/1\.1 [1-5][0-9][0-9] [A-Za-z -]*", line), line
            body = b""
            if "content-length" in headers and not head:
                body = await self.reader.readexactly(int(headers["content-length"]))
            return Reply(int(line.split()[1]), headers, body)

    async def get(self, target: str = "/echo/x") -> Reply:
        self.writer.write(b"GET " + target.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        return await self.reply()

    async def ended(self) -> bytes:
        """What still comes until the server has closed or reset the connection."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while piece := await self.reader.read(65536):
                    rest += piece
        return rest

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def a_server(limits: Limits = DEFAULTS, tls: TlsFiles | None = None) -> AsyncIterator[Stage]:
    async def echo(call: Call) -> Answer:
        stage.seen.append(call)
        return Answer({"x": call.params["x"], "body": call.body, "region": call.region})

    async def wait(call: Call) -> Answer:
        stage.seen.append(call)
        try:
            await stage.go_on.wait()
        except asyncio.CancelledError:
            stage.cancelled.set()
            raise
        stage.done.set()
        return Answer({"waited": True})

    async def stream(call: Call) -> Answer:
        async def lines() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
                    await asyncio.sleep(0)
            finally:
                stage.cancelled.set()

        return Answer(stream=lines(), content_type="text/plain")

    methods = [
        Method("t.get", "GET", "/echo/{x}", echo, Role.VIEWER),
        Method("t.post", "POST", "/echo/{x}", echo, Role.VIEWER, changes=True),
        Method("t.wait", "GET", "/wait", wait, Role.VIEWER),
        Method("t.change", "POST", "/wait", wait, Role.VIEWER, changes=True),
        Method("t.stream", "GET", "/stream", stream, Role.VIEWER),
    ]

    def anybody(token: str | None, loopback: bool) -> Principal:
        return Principal("me")

    house = House(own_names("127.0.0.1"), anybody, True, SystemClock(), limits=limits)
    bound = socket.create_server(("127.0.0.1", 0))
    server = await listen(Application(methods, house), [bound], limits=limits, tls=tls)
    stage = Stage(server, bound.getsockname()[1])
    try:
        yield stage
    finally:
        await server.stop(0)
        for client in stage.clients:
            client.close()
        await asyncio.sleep(0)
        assert server.connections == 0


def post(target: str, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + target.encode() + b" HTTP/1.1\r\n", HOST, *(h + b"\r\n" for h in headers)]
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"".join([*lines, b"Content-Type: application/json\r\n", length, body])


# ------------------------------------------------------------------------------- well-formed


async def test_a_connection_serves_one_request_after_another() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        for name in ("a", "b", "c"):
            assert (await client.get(f"/echo/{name}")).json["x"] == name
        client.writer.write(post("/echo/d", b'{"k": 1}'))
        reply = await client.reply()
        assert reply.json["body"] == {"k": 1}
        assert "date" in reply.headers
        assert "server" not in reply.headers
        client.close()


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        requests = [post(f"/echo/{n}", b'{"n": %d}' % n) for n in range(200)]
        client.writer.write(b"".join(requests))
        for n in range(200):
            assert (await client.reply()).json["x"] == str(n)
        client.close()


async def test_a_request_may_come_byte_by_byte() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        for byte in post("/echo/x", b'{"a": "b"}'):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert (await client.reply()).json["body"] == {"a": "b"}
        client.close()


async def test_a_body_may_come_in_chunks() -> None:
    async with a_server() as stage:
        reply = await stage.send(
            b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            b'4\r\n{"a"\r\n3;ext=1\r\n: 1\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n'
        )
        assert reply.json["body"] == {"a": 1}


async def test_who_asks_first_is_told_to_go_on() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        request = post("/echo/x", b'{"a": 1}', b"Expect: 100-continue")
        client.writer.write(request.removesuffix(b'{"a": 1}'))
        assert (await client.reply()).status == 100
        client.writer.write(b'{"a": 1}')
        assert (await client.reply()).json["body"] == {"a": 1}
        client.close()


async def test_head_is_get_without_the_body() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        client.writer.write(b"HEAD /echo/x HTTP/1.1\r\n" + HOST + b"\r\n")
        reply = await client.reply(head=True)
        assert (reply.status, reply.headers["content-length"]) == (200, "35")
        assert (await client.get()).status == 200
        client.close()


async def test_an_old_program_is_answered_and_the_connection_closed() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        client.writer.write(b"GET /echo/x HTTP/1.0\r\n\r\n")
        assert (await client.reply()).status == 200
        assert await client.ended() == b""


UPGRADES = [
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQA"),
    (b"Connection: Upgrade", b"Upgrade: websocket"),
]


@pytest.mark.parametrize("headers", UPGRADES, ids=["h2c", "websocket"])
async def test_an_upgrade_is_not_taken_and_the_request_is_answered_with_its_body(
    headers: tuple[bytes, ...],
) -> None:
    async with a_server() as stage:
        client = await stage.connect()
        wishing = post("/echo/x", b'{"a": 1}', *headers)
        client.writer.write(wishing * 2)
        for _ in range(2):
            assert (await client.reply()).json["body"] == {"a": 1}
        for byte in wishing:
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert (await client.reply()).json["body"] == {"a": 1}
        absolute = wishing.replace(b" /echo", b" http://us-central1-run.test/echo")
        client.writer.write(absolute)
        assert (await client.reply()).json["region"] == "us-central1"
        assert (await client.get("/echo/after")).json["x"] == "after"


# ---------------------------------------------------------------------------- absolute form


@pytest.mark.parametrize(
    ("target", "region"),
    [
        ("http://localhost:8686/echo/x", None),
        ("http://us-central1-run.localhost:8686/echo/x?alt=json", "us-central1"),
        ("HTTP://Europe-West1-Run.Test/echo/x", "europe-west1"),
        ("http://127.0.0.1:8686/echo/x", None),
        ("http://[::1]:8686/echo/x", None),
    ],
)
async def test_a_target_in_absolute_form_is_answered_for_own_names(
    target: str, region: str | None
) -> None:
    async with a_server() as stage:
        reply = await stage.send(b"GET " + target.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert reply.json == {"x": "x", "body": None, "region": region}


async def test_a_target_without_a_path_is_the_root() -> None:
    async with a_server() as stage:
        reply = await stage.send(b"GET http://localhost?a=1 HTTP/1.1\r\n" + HOST + b"\r\n")
        root = await stage.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (reply.status, reply.body) == (200, root.body)


@pytest.mark.parametrize(
    ("line", "host", "status"),
    [
        ("GET http://example.com/echo/x", "localhost", 403),
        ("GET http://example.com/echo/x", "example.com", 403),
        ("GET http://localhost/echo/x", "example.com", 403),
        ("GET http://localhost@example.com/echo/x", "localhost", 400),
        ("GET http://example.com@localhost/echo/x", "localhost", 400),
        ("GET http:///echo/x", "localhost", 400),
        ("GET http://169.254.169.254/computeMetadata/v1/", "localhost", 403),
        ("GET ftp://localhost/echo/x", "localhost", 400),
        ("GET echo/x", "localhost", 400),
        ("OPTIONS *", "localhost", 400),
        ("GET /echo/x", "evil.example", 403),
        ("GET /echo/x", "localhost.evil.example", 403),
        ("GET /echo/x", "", 400),
        ("GET //evil.example/echo/x", "localhost", 404),
    ],
)
async def test_nothing_is_forwarded_and_no_other_name_is_answered_to(
    line: str, host: str, status: int
) -> None:
    async with a_server() as stage:
        reply = await stage.send(f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert reply.status == status
        assert reply.error[0] == status
        assert stage.seen == []


async def test_a_second_host_header_is_refused() -> None:
    async with a_server() as stage:
        reply = await stage.send(b"GET /echo/x HTTP/1.1\r\n" + HOST + HOST + b"\r\n")
        assert reply.error == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("after", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_connect_is_refused_at_once_and_cleanly(after: bytes) -> None:
    async with a_server() as stage:
        client = await stage.connect()
        head = b"CONNECT run.googleapis.com:443 HTTP/1.1\r\nHost: run.googleapis.com:443\r\n\r\n"
        client.writer.write(head + after)
        assert (await client.reply()).error == (405, "UNIMPLEMENTED")
        client.writer.write(b"more")
        assert await client.ended() == b""


# --------------------------------------------------------------------------------- malformed


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\nGARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /echo/x\r\n\r\n",
        b"GET /echo/x HTTP/9.9\r\n\r\n",
        b"get /echo/x HTTP/1.1\r\n\r\n",
        b"BREW /echo/x HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"GET /echo/\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /echo/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /echo/x y HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /echo/x HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /echo/x HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
        b"GET /echo/x HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n",
        b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"POST /echo/x HTTP/1.1\r\n" + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\nxx",
    ],
    ids=lambda raw: repr(raw[:60]),
)  # fmt: skip
async def test_what_is_no_http_is_refused_in_the_envelope_and_the_connection_closed(
    raw: bytes,
) -> None:
    async with a_server(SHORT) as stage:
        client = await stage.connect()
        client.writer.write(raw)
        reply = await client.reply()
        assert reply.error[0] in (400, 408)
        assert reply.headers["connection"] == "close"
        await client.ended()
        assert stage.seen == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/echo/%ff", 400), ("/echo/%00", 400), ("/echo/%zz", 400), ("/echo/..", 404),
        ("/echo/%2e%2e", 404), ("/echo//x", 404), ("/echo/x/", 404), ("/../etc/passwd", 404),
        ("/echo/" + "x" * 60_000, 200), ("/echo/x?a=%ff", 400), ("/echo/x?a=1&a=2", 400),
        ("/echo/a%2fb", 200), ("/echo/x#fragment", 200), ("/echo/x:run", 404),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_tricks_with_paths_are_answered_and_the_connection_goes_on(
    path: str, status: int
) -> None:
    async with a_server() as stage:
        client = await stage.connect()
        assert (await client.get(path)).status == status
        assert (await client.get()).status == 200
        client.close()


async def test_an_error_follows_the_answers_that_are_due_before_it() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        client.writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        client.writer.write(b"GET /echo/2 HTTP/1.1\r\n" + HOST + b"\r\n" + b"GARBAGE\r\n\r\n")
        await until(lambda: bool(stage.seen))
        stage.go_on.set()
        assert (await client.reply()).json == {"waited": True}
        assert (await client.reply()).json["x"] == "2"
        assert (await client.reply()).error == (400, "INVALID_ARGUMENT")
        assert await client.ended() == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"PUT /echo/x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nxxxxx", 405),
        (post("/echo/x", b"{nonsense"), 400),
        (post("/echo/x", b'{"a": "\xff"}'), 400),
        (post("/echo/x", b"[" * 100_000), 400),
        (post("/echo/x", b"{}").replace(b"application/json", b"text/plain"), 415),
        (post("/echo/x", b"{}", b"Origin: http://evil.example"), 403),
        (b"GET /echo/x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\n\r\nGET", 403),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_after_a_refusal_the_connection_goes_on(request_: bytes, status: int) -> None:
    async with a_server() as stage:
        client = await stage.connect()
        for _ in range(3):
            client.writer.write(request_)
            assert (await client.reply()).error[0] == status
        assert (await client.get("/echo/after")).json["x"] == "after"
        client.close()


MUTABLE = [
    post("/echo/x?alt=json", b'{"a": [1, "b"]}', b"Authorization: Bearer abc", b"Origin: null"),
    b"GET http://us-central1-run.test:80/echo/%41 HTTP/1.1\r\n" + HOST + b"Expect: x\r\n\r\n",
    b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n",
]
ODD = [
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"/",
    b"%",
    b"?",
    b"\xff",
    b"{",
    b'"',
    b"HTTP/1.1",
    b"\r\n\r\n",
]


def mutated(chance: random.Random) -> bytes:
    raw = b"".join(chance.choices(MUTABLE, k=chance.randint(1, 3)))
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(raw))
        length = chance.choice([0, 0, 1, 1, 2, 10])
        raw = raw[:place] + chance.choice([b"", *ODD]) + raw[place + length :]
    return raw


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_sent_gets_an_answer_or_an_end_and_never_a_fault(seed: int) -> None:
    chance = random.Random(seed)
    async with a_server(SHORT) as stage:

        async def one(raw: bytes) -> None:
            client = await stage.connect()
            client.writer.write(raw)
            said = await client.ended()
            assert not re.search(rb"^HTTP/1.1 5", said, re.MULTILINE), raw
            client.close()

        await asyncio.gather(*(one(mutated(chance)) for _ in range(200)))
        assert (await stage.send(post("/echo/x", b"{}"))).status == 200


# ------------------------------------------------------------------------------ large and slow


async def test_a_huge_body_is_refused_before_it_is_read_and_the_connection_goes_on() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        size = 100 * 1024 * 1024
        client.writer.write(post("/echo/x", b"").replace(b"Length: 0", b"Length: %d" % size))
        assert (await client.reply()).error == (413, "INVALID_ARGUMENT")
        for _ in range(100):
            client.writer.write(b"x" * (size // 100))
            await client.writer.drain()
        assert (await client.get("/echo/after")).json["x"] == "after"
        client.close()


async def test_a_huge_chunked_body_is_refused_at_the_bound() -> None:
    async with a_server(Limits(body=100_000)) as stage:
        client = await stage.connect()
        client.writer.write(
            b"POST /echo/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        for _ in range(10):
            client.writer.write(chunk)
            await client.writer.drain()
        assert (await client.reply()).error == (413, "INVALID_ARGUMENT")
        client.writer.write(b"0\r\n\r\n")
        assert (await client.get("/echo/after")).json["x"] == "after"
        client.close()


@pytest.mark.parametrize("size", [70_000, 5_000_000])
@pytest.mark.parametrize("kind", ["url", "value", "name", "many"])
async def test_a_huge_head_is_refused(size: int, kind: str) -> None:
    async with a_server() as stage:
        client = await stage.connect()
        parts = {
            "url": b"GET /echo/" + b"x" * size + b" HTTP/1.1\r\n" + HOST + b"\r\n",
            "value": b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * size + b"\r\n\r\n",
            "name": b"GET / HTTP/1.1\r\n" + HOST + b"x" * size + b": a\r\n\r\n",
            "many": b"GET / HTTP/1.1\r\n" + HOST + b"a: bcdef\r\n" * (size // 10) + b"\r\n",
        }
        client.writer.write(parts[kind])
        assert (await client.reply()).error == (431, "INVALID_ARGUMENT")
        await client.ended()


async def test_a_head_that_does_not_end_is_not_waited_for_for_ever() -> None:
    async with a_server(SHORT) as stage:
        client = await stage.connect()
        client.writer.write(b"GET /echo/x HTTP/1.1\r\n")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    client.writer.write(b"A: b\r\n")
                    await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        assert (await client.reply()).error == (408, "DEADLINE_EXCEEDED")
        dripping.cancel()
        await client.ended()


async def test_a_silent_connection_is_closed() -> None:
    async with a_server(SHORT) as stage:
        client = await stage.connect()
        assert await client.ended() == b""


async def test_a_slow_body_is_not_waited_for_for_ever() -> None:
    async with a_server(SHORT) as stage:
        client = await stage.connect()
        client.writer.write(post("/echo/x", b'{"a": 1}')[:-4])
        reply = await client.reply()
        assert reply.error == (408, "DEADLINE_EXCEEDED")
        assert reply.headers["connection"] == "close"
        await client.ended()
        assert stage.seen == []


async def test_a_refused_body_that_never_ends_is_not_taken_for_ever() -> None:
    async with a_server(SHORT) as stage:
        client = await stage.connect()
        client.writer.write(post("/nowhere", b"").replace(b"Length: 0", b"Length: 99999"))
        assert (await client.reply()).status == 404

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    client.writer.write(b"x")
                    await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        await client.ended()
        dripping.cancel()


async def test_a_client_that_breaks_off_harms_nobody() -> None:
    async with a_server() as stage:
        whole = post("/echo/x", b'{"a": 1}')
        for end in range(0, len(whole), 7):
            client = await stage.connect()
            client.writer.write(whole[:end])
            client.writer.write_eof()
            await client.ended()
            client.close()
        assert (await stage.send(whole)).status == 200
        assert len(stage.seen) == 1


async def test_a_client_that_does_not_read_is_given_up() -> None:
    async with a_server(SHORT) as stage:
        with socket.create_connection(("127.0.0.1", stage.port)) as client:
            client.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
            async with asyncio.timeout(PATIENCE):
                await stage.cancelled.wait()


async def test_too_many_connections_are_told_so() -> None:
    async with a_server(Limits(connections=2)) as stage:
        held = [await stage.connect() for _ in range(2)]
        for client in held:
            assert (await client.get()).status == 200
        client = await stage.connect()
        assert (await client.reply()).error == (503, "UNAVAILABLE")
        held[0].close()
        await client.ended()
        client.close()
        await until(lambda: stage.server.connections == 1)
        assert (await (await stage.connect()).get()).status == 200


def test_connections_leave_files_for_others() -> None:
    assert within_open_files(Limits(connections=10**9)).connections < 10**9


# ---------------------------------------------------------------------------- leaving, stopping


async def test_a_wait_ends_with_its_client() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        client.writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.writer.drain()
        async with asyncio.timeout(PATIENCE):
            await until(lambda: bool(stage.seen))
            client.close()
            await stage.cancelled.wait()


async def test_a_change_is_carried_through_when_its_client_leaves() -> None:
    async with a_server() as stage:
        client = await stage.connect()
        client.writer.write(post("/wait", b"{}"))
        await client.writer.drain()
        async with asyncio.timeout(PATIENCE):
            await until(lambda: bool(stage.seen))
            client.close()
            await until(lambda: not stage.server.connections)
            stage.go_on.set()
            await stage.done.wait()
        assert not stage.cancelled.is_set()


async def test_stopping_lets_calls_in_flight_finish() -> None:
    async with a_server() as stage:
        idle = await stage.connect()
        client = await stage.connect()
        client.writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: bool(stage.seen))
        stopping = asyncio.ensure_future(stage.server.stop(PATIENCE))
        assert await idle.ended() == b""
        with pytest.raises(ConnectionError):
            await stage.connect()
        stage.go_on.set()
        reply = await client.reply()
        assert (reply.json, reply.headers["connection"]) == ({"waited": True}, "close")
        await stopping


async def test_stopping_does_not_wait_for_ever() -> None:
    async with a_server() as stage:
        waits, streams, silent = [await stage.connect() for _ in range(3)]
        waits.writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        streams.writer.write(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
        silent.writer.write(post("/echo/x", b"{}")[:-1])
        await streams.reader.readexactly(1000)
        await until(lambda: bool(stage.seen))
        async with asyncio.timeout(PATIENCE):
            await stage.server.stop(0.2)
        assert (await waits.reply()).error == (503, "UNAVAILABLE")
        for client in (waits, streams, silent):
            await client.ended()
            client.close()


# --------------------------------------------------------------------------------------- TLS


def _no_app() -> Application:
    def nobody(token: str | None, loopback: bool) -> Principal | None:
        return None

    return Application([], House(own_names("127.0.0.1"), nobody, True, SystemClock()))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    directory = tmp_path_factory.mktemp("tls")
    files = TlsFiles(str(directory / "cert.pem"), str(directory / "key.pem"))
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost", "-out", files.certificate, "-keyout", files.key,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


async def test_the_server_speaks_tls_with_the_files_it_is_given(certificate: TlsFiles) -> None:
    trusting = ssl.create_default_context(cafile=certificate.certificate)
    async with a_server(tls=certificate) as stage:
        port = stage.port
        client = Client(
            *await asyncio.open_connection("localhost", port, ssl=trusting, family=socket.AF_INET)
        )
        assert (await client.get()).status == 200
        client.writer.write(b"GARBAGE\r\n\r\n")
        assert (await client.reply()).status == 400
        await client.ended()
        client.close()
        plain = await stage.connect()
        plain.writer.write(b"GET /echo/x HTTP/1.1\r\n" + HOST + b"\r\n")
        await plain.ended()
        plain.close()


def test_files_of_tls_that_cannot_be_used_are_named(certificate: TlsFiles, tmp_path: Path) -> None:
    missing = TlsFiles(certificate.certificate, str(tmp_path / "none.pem"))
    swapped = TlsFiles(certificate.key, certificate.certificate)
    for files in (missing, swapped):
        with pytest.raises(UsageError, match=re.escape(files.key)):
            asyncio.run(_listen_once(files))


async def _listen_once(files: TlsFiles) -> None:
    await listen(_no_app(), [], tls=files)
