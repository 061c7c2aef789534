"""The HTTP sender against small real servers, well-behaved and not."""

import asyncio
import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobrunner.errors import RunnerFault
from jobrunner.lib.clock import SystemClock
from tests.support.certificates import make_certificate
from tests.support.http_targets import OK, Request, Server, read_request, saying, served
from tests.support.waiting import PATIENCE
from triggers.core.records import (
    Delivery,
    HttpTarget,
    JobTarget,
    OAuthToken,
    OidcToken,
    Payload,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Sent
from triggers.senders.http import EXCERPT, MOST_REDIRECTS, HttpSender
from triggers.senders.options import SenderOptions
from triggers.senders.reach import Reach, parse_rules


class Tokens:
    """Says what it was asked for."""

    async def bearer(self, token: OidcToken | OAuthToken, audience: str) -> str:
        if token.service_account == "nobody":
            raise RunnerFault("there is no key")
        return f"{token.service_account}~{audience}"


def delivery(target: HttpTarget, source: SourceKind = SourceKind.SCHEDULE) -> Delivery:
    return Delivery(
        uid="d1",
        project="local",
        region="us-central1",
        source=source,
        source_name="nightly",
        key="s1/2026-04-13T12:00:00Z",
        target=target,
        retry=ScheduleRetry(),
    )


async def send(
    target: HttpTarget,
    source: SourceKind = SourceKind.SCHEDULE,
    options: SenderOptions | None = None,
) -> Sent:
    sender = HttpSender(options or SenderOptions(), Tokens(), SystemClock())
    try:
        return await sender.send(delivery(target, source), 1)
    finally:
        await sender.close()


async def broken(target: HttpTarget, options: SenderOptions | None = None) -> Broken:
    sent = await send(target, options=options)
    assert isinstance(sent.outcome, Broken), sent
    assert sent.outcome.message
    assert "\n" not in sent.outcome.message
    return sent.outcome


def reach(*, allow: str = "", deny: str = "") -> SenderOptions:
    rules = parse_rules(allow, "allow") if allow else None
    return SenderOptions(reach=Reach(rules, parse_rules(deny, "deny")))


# ---------------------------------------------------------------- the request


async def test_a_schedule_calls_as_cloud_scheduler_does() -> None:
    async with served() as server:
        target = HttpTarget(
            f"{server.url}/run?a=b%2Fc",
            body=b"{}",
            headers=(("X-Mine", "1"), ("User-Agent", "me"), ("X-Google-Trace", "no")),
        )
        sent = await send(target)
    assert sent == Sent(Answer(200), b"ok")
    (request,) = server.requests
    assert request.line == "POST /run?a=b%2Fc HTTP/1.1"
    assert request.body == b"{}"
    assert request.headers == {
        "Host": f"127.0.0.1:{server.port}",
        "X-Mine": "1",
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": "nightly",
        "X-CloudScheduler-ScheduleTime": "2026-04-13T12:00:00Z",
        "Content-Type": "application/octet-stream",
        "Content-Length": "2",
    }


async def test_a_message_brings_its_own_body_and_headers() -> None:
    async with served(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
        payload = Payload(b'{"message":{}}', (("Content-Type", "application/json"),))
        pushed = replace(
            delivery(HttpTarget(server.url, body=b"unused"), SourceKind.SUBSCRIPTION),
            payload=payload,
        )
        sent = await sender.send(pushed, 1)
        await sender.close()
    assert sent == Sent(Answer(204), b"")
    (request,) = server.requests
    assert request.body == payload.body
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["From"] == "noreply@google.com"
    assert request.headers["Accept-Encoding"] == "gzip, deflate, br"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_every_method_of_the_contract_is_sent(method: str) -> None:
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with served(empty) as server:
        sent = await send(HttpTarget(server.url, method=method))
    assert sent.outcome == Answer(200)
    assert server.requests[0].line == f"{method} / HTTP/1.1"


async def test_a_token_is_made_for_the_target_and_wins_over_a_header_of_the_user() -> None:
    async with served() as server:
        token = OidcToken("sa@x")
        target = HttpTarget(f"{server.url}/p", headers=(("authorization", "me"),), token=token)
        await send(target)
        await send(replace(target, token=OidcToken("sa@x", "mine")))
        await send(target, SourceKind.EVENT_TRIGGER)
    assert [request.headers["Authorization"] for request in server.requests] == [
        f"Bearer sa@x~{server.url}/p",
        "Bearer sa@x~mine",
        f"Bearer sa@x~{server.url}",
    ]


async def test_a_user_in_the_url_is_told_to_the_target_unless_there_is_a_token() -> None:
    async with served() as server:
        target = HttpTarget(f"http://ada:secret@127.0.0.1:{server.port}/")
        await send(target)
        await send(replace(target, token=OidcToken("sa@x", "aud")))
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Basic YWRhOnNlY3JldA==",
        "Bearer sa@x~aud",
    ]


async def test_look_ups_that_hang_keep_nobody_from_looking_up_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free, look_up = threading.Event(), socket.getaddrinfo

    def slow(host: str, *args: Any, **more: Any) -> Any:
        if host.startswith("slow"):
            free.wait(PATIENCE)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    async with served() as server:
        sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
        hanging = [
            asyncio.ensure_future(sender.send(delivery(HttpTarget(f"http://slow{n}.example/")), 1))
            for n in range(12)
        ]
        await asyncio.sleep(0)
        good = await sender.send(delivery(HttpTarget(f"http://localhost:{server.port}/")), 1)
        assert good.outcome == Answer(200)
        free.set()
        ends = {one.outcome.why for one in await asyncio.gather(*hanging)}  # type: ignore[union-attr]
        assert ends == {Break.CONNECT}
        await sender.close()


async def test_without_a_token_nothing_is_sent() -> None:
    async with served() as server:
        outcome = await broken(HttpTarget(server.url, token=OidcToken("nobody")))
    assert outcome == Broken(Break.CONNECT, "no token: there is no key")
    assert not server.requests


async def test_connections_serve_again_and_at_once() -> None:
    async with served() as server:
        sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
        for _ in range(5):
            await sender.send(delivery(HttpTarget(server.url)), 1)
        await sender.close()
    assert server.connections == 1
    assert len(server.requests) == 5


async def test_a_server_that_closes_without_saying_so_costs_no_delivery() -> None:
    """The next request is on its way while the end of the connection comes."""
    async with served(raw=saying(OK)) as server:
        sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
        sent = [await sender.send(delivery(HttpTarget(server.url)), 1) for _ in range(50)]
        await sender.close()
    assert [one.outcome for one in sent] == [Answer(200)] * 50


async def test_names_below_localhost_are_this_machine() -> None:
    async with served() as server:
        sent = await send(HttpTarget(f"http://billing.localhost:{server.port}/"))
    assert sent.outcome == Answer(200)
    assert server.requests[0].headers["Host"] == f"billing.localhost:{server.port}"


async def test_ipv6_is_called_like_any_other() -> None:
    try:
        sock = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(OK)(reader, writer)
        writer.close()

    server = await asyncio.start_server(answer, sock=sock)
    port = sock.getsockname()[1]
    sent = await send(HttpTarget(f"http://[::1]:{port}/"))
    server.close()
    assert sent.outcome == Answer(200)


@pytest.mark.parametrize(
    "target",
    [
        HttpTarget("ftp://x/"),
        HttpTarget("http:///x"),
        HttpTarget("http://h:99999/"),
        HttpTarget("nonsense"),
        HttpTarget("http://127.0.0.1:1/", method="GET /x HTTP/1.1\r\n"),
        HttpTarget("http://127.0.0.1:1/", headers=(("a b", "c"),)),
        HttpTarget("http://127.0.0.1:1/", headers=(("a", "b\r\nc: d"),)),
        HttpTarget("http://127.0.0.1:1/", proxy="socks://x:1"),
    ],
    ids=str,
)
async def test_what_is_no_request_is_unusable(target: HttpTarget) -> None:
    assert (await broken(target)).why is Break.UNUSABLE


async def test_a_target_of_another_kind_is_unusable() -> None:
    sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
    other = replace(delivery(HttpTarget("http://x/")), target=JobTarget("j"))
    sent = await sender.send(other, 1)
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.UNUSABLE


# ---------------------------------------------------------------- the answer


@pytest.mark.parametrize("status", [200, 299, 302, 404, 429, 500, 503])
async def test_the_status_is_the_answer(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nhello".encode()
    async with served(answer) as server:
        sent = await send(HttpTarget(server.url))
    assert sent == Sent(Answer(status, 7.0), b"hello")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("120", 120, 120),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("Sat, 01 Jan 2101 00:00:00 GMT", 1e8, 1e11),
    ],
)
async def test_retry_after_is_seconds_or_a_date(text: str, least: float, most: float) -> None:
    async with served(
        f"HTTP/1.1 503 X\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n".encode()
    ) as s:
        sent = await send(HttpTarget(s.url))
    assert isinstance(sent.outcome, Answer)
    assert sent.outcome.retry_after is not None
    assert least <= sent.outcome.retry_after <= most


@pytest.mark.parametrize("text", ["soon", "-1", "", "9" * 400, "Mon, 99 Foo 2020"])
async def test_a_retry_after_that_is_none_is_none(text: str) -> None:
    async with served(
        f"HTTP/1.1 503 X\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n".encode()
    ) as s:
        assert (await send(HttpTarget(s.url))).outcome == Answer(503)


async def test_an_answer_is_read_to_its_cap_and_the_beginning_kept() -> None:
    body = b"x" * 1_000_000
    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body) as server:
        sent = await send(HttpTarget(server.url))
        small = await send(HttpTarget(server.url, response_cap=10))
        none = await send(HttpTarget(server.url, response_cap=0))
    assert sent == Sent(Answer(200), b"x" * EXCERPT)
    assert small == Sent(Answer(200), b"x" * 10)
    assert none == Sent(Answer(200), b"")


async def test_an_endless_answer_ends_at_the_cap() -> None:
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            written += 0x10000
            await writer.drain()

    async with served(raw=pour) as server:
        sent = await send(HttpTarget(server.url, response_cap=100_000))
    assert sent == Sent(Answer(200), b"x" * EXCERPT)
    assert written < 20_000_000, "the rest stays with the server"


async def test_the_beginning_of_a_compressed_answer_is_plain() -> None:
    body = gzip.compress(b"why " * 1000)
    head = f"HTTP/1.1 500 X\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    async with served(head.encode() + body) as server:
        sent = await send(HttpTarget(server.url), SourceKind.SUBSCRIPTION)
    assert sent.excerpt == b"why " * 1000


async def test_a_small_answer_that_unfolds_to_a_big_one_is_cut() -> None:
    body = gzip.compress(b"\0" * 4_000_000)[:4000]
    head = f"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    async with served(head.encode() + body) as server:
        sent = await send(HttpTarget(server.url), SourceKind.SUBSCRIPTION)
    assert len(sent.excerpt) == EXCERPT


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with served(interim + OK) as server:
        assert (await send(HttpTarget(server.url))).outcome == Answer(200)


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async with served(raw=saying(b"HTTP/1.0 200 OK\r\n\r\nall of it")) as server:
        assert await send(HttpTarget(server.url)) == Sent(Answer(200), b"all of it")


# ---------------------------------------------------------------- what goes wrong


async def test_a_closed_port_is_no_connection() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    outcome = await broken(HttpTarget(f"http://127.0.0.1:{port}/"))
    sock.close()
    assert outcome.why is Break.CONNECT
    assert f"127.0.0.1:{port}" in outcome.message


async def test_a_name_that_nobody_knows_is_no_connection() -> None:
    outcome = await broken(HttpTarget("http://nobody.invalid/"))
    assert outcome.why is Break.CONNECT
    assert "nobody.invalid" in outcome.message


@pytest.mark.parametrize(
    ("text", "then", "why"),
    [
        (b"", "close", Break.RESET),
        (b"", "reset", Break.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-", "close", Break.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close", Break.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "reset", Break.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", "close", Break.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx", "close", Break.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "close", Break.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", "close", Break.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "close", Break.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "close", Break.PROTOCOL),
        (b"HTTP/1.1 abc OK\r\n\r\n", "close", Break.PROTOCOL),
        (b"", "wait", Break.DEADLINE),
        (b"HTTP/1.1 200 OK\r\nContent-", "wait", Break.DEADLINE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "wait", Break.DEADLINE),
        (b"HTTP/1.1 102 Processing\r\n\r\n", "wait", Break.DEADLINE),
    ],
    ids=str,
)  # fmt: skip
async def test_an_answer_that_is_none_says_why(text: bytes, then: str, why: Break) -> None:
    async with served(raw=saying(text, then=then)) as server:
        assert (
            await broken(HttpTarget(server.url, deadline=0.3 if then == "wait" else PATIENCE))
        ).why is why


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
async def test_an_answer_that_trickles_ends_at_the_deadline(head: bytes) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head or b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with served(raw=trickle) as server:
        async with asyncio.timeout(PATIENCE):
            assert (await broken(HttpTarget(server.url, deadline=0.3))).why is Break.DEADLINE


async def test_a_head_without_end_is_not_collected() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Line: more\r\n" * 100)
            await writer.drain()

    async with served(raw=pour) as server:
        assert (await broken(HttpTarget(server.url, deadline=PATIENCE))).why is Break.PROTOCOL


async def test_interim_answers_without_end_end_at_the_deadline() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with served(raw=pour) as server:
        assert (await broken(HttpTarget(server.url, deadline=0.5))).why is Break.DEADLINE


async def test_a_cancelled_call_leaves_at_once_and_the_next_one_works() -> None:
    called = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if called.is_set():
            writer.write(OK)
            return
        called.set()
        await reader.read()

    async with served(raw=hang) as server:
        sender = HttpSender(SenderOptions(), Tokens(), SystemClock())
        first = asyncio.ensure_future(sender.send(delivery(HttpTarget(server.url)), 1))
        await called.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await sender.send(delivery(HttpTarget(server.url)), 2)).outcome == Answer(200)
        await sender.close()


# ---------------------------------------------------------------- redirects


def redirect(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("status", "line", "body"),
    [
        (301, "GET /there HTTP/1.1", b""),
        (302, "GET /there HTTP/1.1", b""),
        (303, "GET /there HTTP/1.1", b""),
        (307, "POST /there HTTP/1.1", b"{}"),
        (308, "POST /there HTTP/1.1", b"{}"),
    ],
)
async def test_a_redirect_is_followed_and_the_last_answer_decides(
    status: int, line: str, body: bytes
) -> None:
    def answer(request: Request) -> bytes:
        return redirect(status, "/there") if request.line.startswith("POST / ") else OK

    async with served(answer) as server:
        sent = await send(HttpTarget(server.url, body=b"{}"))
    assert sent.outcome == Answer(200)
    assert server.requests[1].line == line
    assert server.requests[1].body == body
    assert ("Content-Type" in server.requests[1].headers) == bool(body)
    assert server.requests[1].headers["X-CloudScheduler-JobName"] == "nightly"


@pytest.mark.parametrize("source", [SourceKind.SUBSCRIPTION, SourceKind.EVENT_TRIGGER])
async def test_where_the_contract_follows_none_a_redirect_is_the_answer(source: SourceKind) -> None:
    async with served(redirect(307, "/there")) as server:
        assert (await send(HttpTarget(server.url), source)).outcome == Answer(307)
    assert len(server.requests) == 1


async def test_a_target_may_say_that_none_is_followed() -> None:
    async with served(redirect(302, "/there")) as server:
        target = HttpTarget(server.url, follow_redirects=False)
        assert (await send(target)).outcome == Answer(302)


async def test_redirects_in_a_circle_end() -> None:
    async with served(redirect(307, "/")) as server:
        assert (await broken(HttpTarget(server.url))).why is Break.REDIRECTS
    assert len(server.requests) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("location", ["ftp://x/", "http://h:99999/", "mailto:x@y"])
async def test_a_redirect_that_leads_nowhere_says_so(location: str) -> None:
    async with served(redirect(302, location)) as server:
        outcome = await broken(HttpTarget(server.url))
    assert outcome.why is Break.REDIRECTS
    assert location in outcome.message


async def test_all_redirects_share_one_deadline() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.15)
        writer.write(redirect(307, "/"))

    async with served(raw=slow) as server:
        assert (await broken(HttpTarget(server.url, deadline=0.4))).why is Break.DEADLINE


async def test_a_token_does_not_go_to_another_origin() -> None:
    async with served() as other, served(redirect(307, f"{other.url}/x")) as server:
        target = HttpTarget(server.url, token=OidcToken("sa@x"), headers=(("Cookie", "a=b"),))
        assert (await send(target)).outcome == Answer(200)
    assert "Authorization" in server.requests[0].headers
    assert "Authorization" not in other.requests[0].headers
    assert "Cookie" not in other.requests[0].headers


# ---------------------------------------------------------------- TLS and proxies


@asynccontextmanager
async def secured(tmp_path: Path, name: str) -> AsyncIterator[tuple[Server, Path]]:
    chain, key = make_certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with served(tls=context) as server:
        yield server, chain


async def test_a_certificate_must_be_trusted_unless_the_target_says_otherwise(
    tmp_path: Path,
) -> None:
    async with secured(tmp_path, "localhost") as (server, chain):
        target = HttpTarget(f"https://localhost:{server.port}/")
        assert (await broken(target)).why is Break.TLS
        assert (await send(replace(target, verify_tls=False))).outcome == Answer(200)
        trusting = SenderOptions(ca_file=str(chain))
        assert (await send(target, options=trusting)).outcome == Answer(200)


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    async with secured(tmp_path, "elsewhere.example") as (server, chain):
        target = HttpTarget(f"https://localhost:{server.port}/")
        outcome = await broken(target, SenderOptions(ca_file=str(chain)))
    assert outcome.why is Break.TLS


async def test_a_server_that_does_not_speak_tls_says_so() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with served(raw=refuse) as server:
        target = HttpTarget(f"https://127.0.0.1:{server.port}/", deadline=PATIENCE)
        assert (await broken(target)).why in {Break.TLS, Break.CONNECT}


async def test_a_file_of_authorities_that_holds_none_says_so(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    outcome = await broken(HttpTarget("https://127.0.0.1:1/"), SenderOptions(ca_file=str(file)))
    assert outcome.why is Break.TLS
    assert str(file) in outcome.message


async def test_a_proxy_carries_the_call() -> None:
    async with served() as proxy:
        target = HttpTarget("http://service.example/x")
        named = await send(replace(target, proxy=proxy.url))
        owners = await send(target, options=SenderOptions(proxy=proxy.url))
    assert named.outcome == owners.outcome == Answer(200)
    assert proxy.requests[0].line == "POST http://service.example/x HTTP/1.1"
    assert proxy.requests[1].headers["Host"] == "service.example"


async def test_a_proxy_that_will_not_connect_is_no_connection() -> None:
    async with served(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        outcome = await broken(HttpTarget("https://service.example/", proxy=proxy.url))
    assert outcome.why is Break.CONNECT
    assert "407" in outcome.message


# ---------------------------------------------------------------- forbidden hosts


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "x.localhost"])
async def test_a_denied_address_is_never_connected_to(host: str) -> None:
    async with served() as server:
        target = HttpTarget(f"http://{host}:{server.port}/")
        outcome = await broken(target, reach(deny="private"))
        assert outcome.why is Break.FORBIDDEN
        assert "denied" in outcome.message
        assert server.connections == 0


async def test_of_the_addresses_of_a_name_only_allowed_ones_are_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    addresses = ["127.0.0.1", "127.0.0.2"]

    def both(host: str, port: int, *args: Any, **more: Any) -> Any:
        asked.append(host)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in addresses]

    async with served() as denied:
        other = await asyncio.start_server(_ok, "127.0.0.2", denied.port)
        monkeypatch.setattr(socket, "getaddrinfo", both)
        target = HttpTarget(f"http://two.example:{denied.port}/")
        assert (await send(target, options=reach(deny="127.0.0.1"))).outcome == Answer(200)
        # Asked again, the name leads elsewhere, and only there.
        addresses.pop()
        assert (await broken(target, reach(deny="127.0.0.1"))).why is Break.FORBIDDEN
        other.close()
    assert asked == ["two.example", "two.example"], "nobody looks it up once more to connect"
    assert denied.connections == 0


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await saying(OK)(reader, writer)
    writer.close()


async def test_a_mapped_address_is_the_one_that_it_stands_for() -> None:
    async with served() as server:
        target = HttpTarget(f"http://[::ffff:127.0.0.1]:{server.port}/")
        assert (await broken(target, reach(deny="127.0.0.0/8"))).why is Break.FORBIDDEN
    assert server.connections == 0


async def test_what_is_not_on_the_list_of_allowed_ones_is_refused() -> None:
    async with served() as server:
        target = HttpTarget(f"http://localhost:{server.port}/")
        assert (await broken(target, reach(allow="example.com 10.0.0.0/8"))).why is Break.FORBIDDEN
        assert (await send(target, options=reach(allow="localhost"))).outcome == Answer(200)
        assert (await send(target, options=reach(allow="127.0.0.0/8 ::1"))).outcome == Answer(200)


async def test_a_redirect_does_not_lead_around_the_lists() -> None:
    async with served() as inner:
        there = f"http://localhost:{inner.port}/secret"
        async with served(redirect(302, there)) as server:
            outcome = await broken(HttpTarget(server.url), reach(deny="localhost"))
    assert outcome.why is Break.FORBIDDEN
    assert inner.connections == 0


async def test_a_proxy_that_a_target_names_is_judged_like_a_target() -> None:
    async with served() as proxy:
        target = HttpTarget("http://service.example/", proxy=proxy.url)
        assert (await broken(target, reach(deny="private"))).why is Break.FORBIDDEN
        by_name = HttpTarget("http://service.example/", proxy=f"http://localhost:{proxy.port}")
        assert (await broken(by_name, reach(deny="private"))).why is Break.FORBIDDEN
    assert proxy.connections == 0


async def test_the_owners_proxy_may_be_anywhere_and_names_are_still_judged() -> None:
    async with served() as proxy:
        options = replace(reach(deny="private .internal"), proxy=f"http://localhost:{proxy.port}")
        assert (await send(HttpTarget("http://a.example/"), options=options)).outcome == Answer(200)
        for url in ("http://metadata.internal/", "http://169.254.169.254/"):
            assert (await broken(HttpTarget(url), options)).why is Break.FORBIDDEN
    assert len(proxy.requests) == 1
