"""Connections of the HTTP sender: how they are made, used again and ended, on real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tests.support.certificates import make_certificate
from tests.support.http_targets import OK, Server, read_request, saying, served
from tests.support.waiting import PATIENCE
from triggers.core.verdict import Break
from triggers.senders.failures import Stop
from triggers.senders.reach import Reach
from triggers.senders.urls import read_url
from triggers.senders.wire import addresses, pool
from triggers.senders.wire.addresses import Spot, connect, in_turns
from triggers.senders.wire.connection import AT_ONCE, Late
from triggers.senders.wire.pool import Pool
from triggers.senders.wire.request import head, route
from triggers.senders.wire.response import Gone, Reader
from triggers.senders.wire.trust import Trust

BIG = b"x" * (40 * AT_ONCE)


@asynccontextmanager
async def pooled(ca_file: str | None = None) -> AsyncIterator[Pool]:
    made = Pool(Reach(), Trust(ca_file))
    try:
        yield made
    finally:
        await made.close()


async def call(
    there: Pool, url: str, body: bytes = b"", *, method: str = "POST", proxy: str | None = None,
    dialing: float = PATIENCE, seconds: float = PATIENCE,
) -> Reader:  # fmt: skip
    """``dialing`` and ``seconds`` are how long a connection and the answer may take."""
    loop = asyncio.get_running_loop()
    way = route(read_url(url), read_url(proxy) if proxy else None, False, True)
    connection = there.take(way.place) or await there.dial(way.place, loop.time() + dialing)
    text, until = head(method, way, b"", len(body)), loop.time() + seconds
    answer = await connection.call(text, body, until, cap=100, bodiless=method == "HEAD")
    there.give(connection)
    return answer


# ---------------------------------------------------------------- used again


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 100 Go on\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
    ],
    ids=repr,
)
async def test_a_whole_answer_leaves_the_connection_for_the_next_one(answer: bytes) -> None:
    async with served(answer) as server, pooled() as there:
        for _ in range(3):
            await call(there, server.url, b"{}")
        assert server.connections == 1


async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as server, pooled() as there:
        for _ in range(3):
            assert (await call(there, server.url, method="HEAD")).status == 200
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + OK,
        OK + b"more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 1000,
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_a_connection_of_which_nobody_knows_what_comes_next_is_closed(answer: bytes) -> None:
    async with served(answer) as server, pooled() as there:
        for _ in range(2):
            assert (await call(there, server.url)).status == 200
        assert server.connections == 2
        assert not there._idle


async def test_what_a_server_says_unasked_is_no_answer_to_the_next_request() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(OK)(reader, writer)
        writer.write(b"HTTP/1.1 500 Not asked\r\nContent-Length: 0\r\n\r\n")
        closed.set_result(await reader.read())

    closed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with served(raw=handle) as server, pooled() as there:
        await call(there, server.url)
        assert await asyncio.wait_for(closed, 60) == b""
        assert there.take(route(read_url(server.url), None, False, True).place) is None


async def test_an_unused_connection_is_closed_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    async with served() as server, pooled() as there:
        await call(there, server.url)
        await until(lambda: not there._all)
        assert not there._idle


async def test_no_more_unused_connections_are_kept_than_the_bound_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "MOST_IDLE", 2)
    async with served() as server, pooled() as there:
        await asyncio.gather(*(call(there, server.url) for _ in range(6)))
        await until(lambda: len(there._all) == 2)


async def test_closing_takes_connections_along_that_are_in_use() -> None:
    async with served(raw=saying(b"", then="wait")) as server, pooled() as there:
        calling = asyncio.ensure_future(call(there, server.url))
        await until(lambda: server.connections)
        await there.close()
        with pytest.raises(Stop) as caught:
            await calling
        assert caught.value.broken.why is Break.RESET
        with pytest.raises(Stop, match="goes down"):
            await call(there, server.url)
        assert server.connections == 1


# ---------------------------------------------------------------- how a call ends


async def test_a_connection_that_ends_before_an_answer_is_told_from_one_that_ends_within() -> None:
    async with served(raw=saying(b"")) as server, pooled() as there:
        with pytest.raises(Gone):
            await call(there, server.url)
    async with served(raw=saying(b"HTTP/1.1 100 Go on\r\n\r\n")) as server, pooled() as there:
        with pytest.raises(Stop) as caught:
            await call(there, server.url)
        assert not isinstance(caught.value, Gone), "the server has seen the request"


@pytest.mark.parametrize("how", ["late", "cancelled"])
async def test_a_call_that_is_given_up_closes_its_connection(how: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        heard.set()
        closed.set_result(await reader.read())

    heard = asyncio.Event()
    closed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with served(raw=handle) as server, pooled() as there:
        seconds = 0.1 if how == "late" else PATIENCE
        calling = asyncio.ensure_future(call(there, server.url, seconds=seconds))
        await heard.wait()
        if how == "cancelled":
            calling.cancel()
        with pytest.raises(Late if how == "late" else asyncio.CancelledError):
            await calling
        assert await asyncio.wait_for(closed, 60) == b""
        await until(lambda: not there._all)


# ---------------------------------------------------------------- large requests


async def test_a_large_body_arrives_whole() -> None:
    async with served() as server, pooled() as there:
        for _ in range(2):
            assert (await call(there, server.url, BIG)).status == 200
        assert [request.body for request in server.requests] == [BIG, BIG]
        assert server.connections == 1


async def test_no_more_of_a_large_body_is_held_for_sending_than_one_piece() -> None:
    async with served(raw=_deaf) as server, pooled() as there:
        calling = asyncio.ensure_future(call(there, server.url, b"x" * 64 * 1024 * 1024))
        await until(lambda: there._all and next(iter(there._all))._room is not None)
        (connection,) = there._all
        assert connection.transport.get_write_buffer_size() <= 4 * AT_ONCE
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


async def _deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(PATIENCE)


async def test_an_answer_before_the_end_of_the_request_is_the_answer() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        while await reader.read(65536):
            pass

    async with served(raw=refuse) as server, pooled() as there:
        for _ in range(2):
            assert (await call(there, server.url, b"x" * 256 * 1024 * 1024)).status == 413
        assert server.connections == 2, "the rest of the request was never sent"


# ---------------------------------------------------------------- to whom


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    async with served() as server:
        sock = socket.socket()
        sock.bind(("127.0.0.3", 0))
        closed = Spot(socket.AF_INET, ("127.0.0.3", sock.getsockname()[1]))
        good = Spot(socket.AF_INET, ("127.0.0.1", server.port))
        connected = await connect([closed, closed, good])
        assert connected.getpeername() == good.address
        connected.close()
        with pytest.raises(ConnectionRefusedError):
            await connect([closed, closed])
        sock.close()


async def test_an_address_that_is_silent_does_not_hold_up_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "HEAD_START", 0.01)
    async with served() as server:
        # Nobody accepts here, and the one place in the queue is taken.
        full = socket.socket()
        full.bind(("127.0.0.4", 0))
        full.listen(0)
        guests = [socket.socket() for _ in range(4)]
        for guest in guests:
            guest.setblocking(False)
            guest.connect_ex(full.getsockname())
        silent = Spot(socket.AF_INET, full.getsockname())
        async with asyncio.timeout(60):
            connected = await connect([silent, Spot(socket.AF_INET, ("127.0.0.1", server.port))])
        assert connected.getpeername()[1] == server.port
        for sock in (connected, full, *guests):
            sock.close()


def test_families_take_turns() -> None:
    six = [Spot(socket.AF_INET6, (f"::{number}", 1)) for number in range(3)]
    four = [Spot(socket.AF_INET, ("127.0.0.1", 1))]
    assert in_turns(six + four) == [six[0], four[0], six[1], six[2]]
    assert in_turns([]) == []


async def test_a_name_is_looked_up_once_for_all_who_ask_and_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, *args: object, **more: object) -> object:
        asked.append(host)
        return real("127.0.0.1", *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with served(closing) as server, pooled() as there:
        url = f"http://b\u00fccher.example:{server.port}/"
        await asyncio.gather(*(call(there, url) for _ in range(5)))
        await call(there, url)
        assert server.connections == 6
    assert asked == ["xn--bcher-kva.example"]


# ---------------------------------------------------------------- TLS and proxies


@asynccontextmanager
async def secured(tmp_path: Path) -> AsyncIterator[tuple[Server, Path, list[str | None]]]:
    """And the names that clients asked for in their first words."""
    named: list[str | None] = []
    chain, key = make_certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.sni_callback = lambda _sock, name, _context: named.append(name)
    async with served(tls=context) as server:
        yield server, chain, named


async def test_tls_names_its_server_and_serves_again(tmp_path: Path) -> None:
    async with secured(tmp_path) as (server, chain, named), pooled(str(chain)) as there:
        for _ in range(3):
            answer = await call(there, f"https://localhost:{server.port}/", BIG)
            assert (answer.status, bytes(answer.excerpt)) == (200, b"ok")
        assert server.connections == 1
        assert named == ["localhost"]
        assert server.requests[-1].body == BIG


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that does as CONNECT says."""
    first = (await reader.readuntil(b"\r\n\r\n")).decode()
    SEEN.append(first)
    host, port = first.split()[1].rsplit(":", 1)
    there, back = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    try:
        await asyncio.gather(carry(reader, back), carry(there, writer))
    except OSError:
        pass
    finally:
        back.close()


SEEN: list[str] = []


async def test_a_proxy_carries_tls_that_it_cannot_read(tmp_path: Path) -> None:
    SEEN.clear()
    async with (
        secured(tmp_path) as (server, chain, named),
        served(raw=relay) as proxy,
        pooled(str(chain)) as there,
    ):
        through = proxy.url.replace("//", "//ada:secret@")
        for _ in range(2):
            url = f"https://localhost:{server.port}/x"
            assert (await call(there, url, b"{}", proxy=through)).status == 200
        assert (server.connections, proxy.connections) == (1, 1)
        assert named == ["localhost"]
        assert server.requests[0].line == "POST /x HTTP/1.1"
        assert "Proxy-Authorization" not in server.requests[0].headers
        assert SEEN[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in SEEN[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\nwho is it", Break.CONNECT),
        (b"HTTP/1.1 200 OK\r\n\r\nand more", Break.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n\r\n", Break.CONNECT),
        (b"", Break.RESET),
        (b"what?\r\n\r\n", Break.PROTOCOL),
    ],
)
async def test_a_proxy_that_does_not_connect_says_so(
    answer: bytes, why: Break, tmp_path: Path
) -> None:
    async with served(raw=saying(answer)) as proxy, pooled() as there:
        with pytest.raises(Stop) as caught:
            await call(there, "https://service.example/", proxy=proxy.url)
        assert caught.value.broken.why is why
        assert not there._all


async def test_a_handshake_that_hangs_ends_at_the_deadline() -> None:
    async with served(raw=saying(b"", then="wait")) as server, pooled() as there:
        with pytest.raises(Late):
            await call(there, f"https://127.0.0.1:{server.port}/", dialing=0.2)
