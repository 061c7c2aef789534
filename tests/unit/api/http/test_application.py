"""The application: each request is answered once, by its method or by a clean refusal."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobrunner.api.http.application import ABORT, AUTHORITY, Application, House
from jobrunner.api.http.guard import own_names
from jobrunner.api.http.limits import Limits
from jobrunner.calls import Answer, Call, Handler, Method, Principal, Raw, Role
from jobrunner.errors import AlreadyExists, InvalidSpec, Refused, StoreFault, Violation
from tests.support.awaiting import until


class FakeClock:
    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 0.0


def house_rule(token: str | None, loopback: bool) -> Principal | None:
    if token is None:
        return Principal("owner") if loopback else None
    return {"v": Principal("vera", Role.VIEWER), "a": Principal("ada")}.get(token)


@dataclass
class Records:
    audit: list[tuple[float, str, str, str, int]] = field(default_factory=list)
    access: list[tuple[object, ...]] = field(default_factory=list)

    details: list[str] = field(default_factory=list)

    def on_audit(
        self, at: float, principal: str, method: str, resource: str, code: int, detail: str = ""
    ) -> None:
        self.audit.append((at, principal, method, resource, code))
        self.details.append(detail)

    def on_access(self, *line: object) -> None:
        self.access.append(line)


async def echo(call: Call) -> Answer:
    return Answer(
        {
            "params": dict(call.params),
            "body": call.body,
            "region": call.region,
            "who": call.principal.name,
            "key": call.idempotency_key,
        }
    )


def raising(error: Exception) -> Handler:
    async def handler(call: Call) -> Answer:
        raise error

    return handler


def an_app(
    *handlers: tuple[str, Handler],
    records: Records | None = None,
    raw: Handler = echo,
    **house: Any,
) -> Application:
    """``/echo/{x}`` by GET, POST and DELETE, each of ``handlers`` by GET and POST, and ``/raw``."""
    methods = [
        Method("test.echo.get", "GET", "/echo/{x}", echo, Role.VIEWER),
        Method("test.echo.post", "POST", "/echo/{x}", echo, Role.INVOKER, changes=True),
        Method("test.echo.delete", "DELETE", "/echo/{x}", echo, Role.ADMIN, changes=True),
        Method("test.open", "GET", "/open/{x}", echo, Role.VIEWER, open=True),
        Method("test.raw.post", "POST", "/raw", raw, Role.VIEWER, raw=True),
        Method("test.raw.options", "OPTIONS", "/raw", raw, Role.VIEWER, raw=True),
    ]
    for path, handler in handlers:
        methods.append(Method(f"test{path}", "GET", path, handler, Role.VIEWER))
        methods.append(Method(f"test{path}", "POST", path, handler, Role.VIEWER, changes=True))
    records = records or Records()
    values: dict[str, Any] = {
        "names": own_names("127.0.0.1"),
        "authenticate": house_rule,
        "loopback": True,
        "clock": FakeClock(),
        "audit": records.on_audit,
        "access_log": records.on_access,
    }
    return Application(methods, House(**(values | house)))


@dataclass
class Got:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Code and status of Google's envelope, which agree with the status line."""
        assert self.json["error"]["code"] == self.status
        return self.status, self.json["error"]["status"]


async def ask(
    app: Application,
    verb: str,
    target: str,
    body: bytes = b"",
    *,
    extra: dict[str, Any] | None = None,
    drop: tuple[str, ...] = (),
    named: Mapping[str, str] | None = None,
    **headers: str,
) -> Got:
    got = Got()
    path, _, query = target.partition("?")
    given = {"host": "localhost:8686", **headers, **(named or {})}
    if body:
        given.setdefault("content-length", str(len(body)))
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": verb, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "client": ("127.0.0.1", 5), "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in given.items() if name not in drop
        ],
    }  # fmt: skip
    scope.update(extra or {})

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not got.status
            got.status = message["status"]
            got.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert not got.complete
            got.body += message["body"]
            got.complete = not message.get("more_body")

    await app(scope, receive, send)
    return got


async def test_a_request_becomes_a_call_and_its_answer_json() -> None:
    got = await ask(
        an_app(), "POST", "/echo/a%20b?validateOnly=False&alt=json", b'{"a": [1]}',
        host="us-central1-run.localhost:8686", authorization="Bearer a",
        content_type="application/json", idempotency_key="k-1",
    )  # fmt: skip
    assert got.status == 200
    assert got.json == {
        "params": {"x": "a b", "validateOnly": "False"},
        "body": {"a": [1]},
        "region": "us-central1",
        "who": "ada",
        "key": "k-1",
    }
    assert got.headers["content-type"] == "application/json; charset=UTF-8"
    assert got.headers["content-length"] == str(len(got.body))
    assert got.headers["cache-control"] == "no-store"
    assert "server" not in got.headers


async def test_a_get_has_no_body_even_if_one_is_sent() -> None:
    got = await ask(an_app(), "GET", "/echo/x", b"junk", content_type="text/plain")
    assert got.json["body"] is None
    assert got.json["region"] is None


async def test_an_answer_without_a_body_is_the_empty_message() -> None:
    async def nothing(call: Call) -> Answer:
        return Answer()

    assert (await ask(an_app(("/none", nothing)), "GET", "/none")).body == b"{}"


async def test_an_answer_may_be_bytes_of_its_own_type() -> None:
    async def plain(call: Call) -> Answer:
        return Answer(b"a,b\n", status=203, content_type="text/csv")

    got = await ask(an_app(("/csv", plain)), "GET", "/csv")
    assert (got.status, got.body, got.headers["content-type"]) == (203, b"a,b\n", "text/csv")


async def test_pretty_print_is_for_people() -> None:
    got = await ask(an_app(), "GET", "/echo/x?prettyPrint=true")
    assert b"\n  " in got.body


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidSpec([Violation("a", "b")]), 400, "INVALID_ARGUMENT"),
        (AlreadyExists("x"), 409, "ALREADY_EXISTS"),
        (Refused("x"), 400, "FAILED_PRECONDITION"),
        (StoreFault("x"), 503, "UNAVAILABLE"),
    ],
)
async def test_what_a_method_raises_is_answered_by_the_table(
    error: Exception, code: int, status: str
) -> None:
    got = await ask(an_app(("/x", raising(error))), "GET", "/x")
    assert got.error == (code, status)


async def test_a_bug_is_logged_under_a_number_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = an_app(("/x", raising(KeyError("the secret of the house"))))
    with caplog.at_level(logging.ERROR):
        got = await ask(app, "GET", "/x?key=s3cret")
    assert got.error == (500, "INTERNAL")
    assert b"secret" not in got.body
    assert b"Traceback" not in got.body
    number = got.json["error"]["message"].split()[-1]
    assert number in caplog.text
    assert "the secret of the house" in caplog.text
    assert "s3cret" not in caplog.text


async def test_an_answer_that_is_no_json_is_a_bug() -> None:
    async def odd(call: Call) -> Answer:
        return Answer({"a": object()})

    assert (await ask(an_app(("/x", odd)), "GET", "/x")).error == (500, "INTERNAL")


@pytest.mark.parametrize(
    ("verb", "target", "headers", "error"),
    [
        ("GET", "/nowhere", {}, (404, "NOT_FOUND")),
        ("GET", "/echo/x/", {}, (404, "NOT_FOUND")),
        ("PUT", "/echo/x", {}, (405, "UNIMPLEMENTED")),
        ("OPTIONS", "/echo/x", {}, (405, "UNIMPLEMENTED")),
        ("GET", "/echo/%ff", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "/echo/x?a=1&a=2", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "/echo/x?x=1", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "/echo/x?callback=f", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "/echo/x", {"host": "evil.example"}, (403, "PERMISSION_DENIED")),
        ("GET", "/echo/x", {"host": ""}, (400, "INVALID_ARGUMENT")),
        ("POST", "/echo/x", {"origin": "http://evil.example"}, (403, "PERMISSION_DENIED")),
        ("POST", "/echo/x", {"sec_fetch_site": "cross-site"}, (403, "PERMISSION_DENIED")),
        ("POST", "/echo/x", {"content_type": "text/plain"}, (415, "INVALID_ARGUMENT")),
        ("POST", "/echo/x", {"idempotency_key": "a b"}, (400, "INVALID_ARGUMENT")),
        ("GET", "/echo/x", {"authorization": "Basic eA=="}, (401, "UNAUTHENTICATED")),
        ("GET", "/echo/x", {"authorization": "Bearer wrong"}, (401, "UNAUTHENTICATED")),
        ("DELETE", "/echo/x", {"authorization": "Bearer v"}, (403, "PERMISSION_DENIED")),
        ("GET", "/echo/x", {"expect": "100-continue"}, (400, "INVALID_ARGUMENT")),
        ("POST", "/docs", {}, (405, "UNIMPLEMENTED")),
        ("GET", "/docs", {"host": "evil.example"}, (403, "PERMISSION_DENIED")),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_in_the_envelope(
    verb: str, target: str, headers: dict[str, str], error: tuple[int, str]
) -> None:
    got = await ask(an_app(), verb, target, named=headers)
    assert got.error == error
    assert got.headers["content-type"].startswith("application/json")
    assert ("allow" in got.headers) is (got.status == 405)
    assert ("www-authenticate" in got.headers) is (got.status == 401)


async def test_a_request_without_host_is_for_old_programs_only() -> None:
    app = an_app()
    assert (await ask(app, "GET", "/echo/x", drop=("host",))).status == 400
    old = {"http_version": "1.0"}
    assert (await ask(app, "GET", "/echo/x", drop=("host",), extra=old)).status == 200


async def test_both_the_authority_and_the_host_must_be_ours() -> None:
    app = an_app()
    ours = {AUTHORITY: "europe-west1-run.test:8686"}
    got = await ask(app, "GET", "/echo/x", extra=ours)
    assert got.json["region"] == "europe-west1"
    assert (await ask(app, "GET", "/echo/x", extra=ours, host="evil.example")).status == 403
    theirs = {AUTHORITY: "evil.example"}
    assert (await ask(app, "GET", "/echo/x", extra=theirs)).status == 403
    assert (await ask(app, "GET", "/echo/x", extra={AUTHORITY: "user@localhost"})).status == 400


async def test_off_loopback_everyone_needs_a_token() -> None:
    app = an_app(loopback=False)
    assert (await ask(app, "GET", "/echo/x")).error == (401, "UNAUTHENTICATED")
    got = await ask(app, "GET", "/echo/x", authorization="Bearer v")
    assert got.json["who"] == "vera"


@pytest.mark.parametrize("token", [None, "Bearer v", "Bearer wrong", "nonsense"])
async def test_an_open_method_is_for_everyone_who_reaches_the_server(token: str | None) -> None:
    app = an_app(loopback=False)
    named = {} if token is None else {"authorization": token}
    got = await ask(app, "GET", "/open/x", named=named)
    assert (got.status, got.json["who"]) == (200, "")
    assert (await ask(app, "GET", "/open/x", host="evil.example")).status == 403
    assert (await ask(app, "GET", "/open/x", origin="https://evil.example")).status == 403


async def test_a_raw_method_reads_its_request_itself() -> None:
    seen: list[Raw | None] = []

    async def keep(call: Call) -> Answer:
        seen.append(call.raw)
        return Answer(b"x", 204, "text/plain", headers=(("WebHook-Allowed-Rate", "*"),))

    app = an_app(raw=keep)
    named = {"content-type": "text/plain", "ce-id": "1"}
    got = await ask(app, "POST", "/raw", b"\xff{a", named=named)
    assert (got.status, got.body, got.headers["webhook-allowed-rate"]) == (204, b"", "*")
    assert not got.headers.keys() & {"content-length", "content-type"}
    assert seen[0] is not None
    assert (seen[0].body, seen[0].header(b"ce-id")) == (b"\xff{a", b"1")
    assert (await ask(app, "OPTIONS", "/raw")).status == 204
    assert seen[1] is not None
    assert seen[1].body == b""
    large = {"content-length": str(Limits().body + 1)}
    assert (await ask(app, "POST", "/raw", b"x", named=large)).error == (413, "INVALID_ARGUMENT")
    assert (await ask(app, "POST", "/raw", b"x", origin="https://evil.example")).status == 403
    assert len(seen) == 2


async def test_changes_are_recorded_with_their_end_and_refusals_but_not_strangers() -> None:
    records = Records()
    app = an_app(("/full", raising(StoreFault("full"))), records=records)
    await ask(app, "GET", "/echo/x")
    await ask(app, "POST", "/echo/x?access_token=s3cret", authorization="Bearer a")
    await ask(app, "DELETE", "/echo/x", authorization="Bearer v")
    await ask(app, "POST", "/echo/x", authorization="Bearer wrong")
    await ask(app, "POST", "/full")
    assert records.audit == [
        (1000.0, "ada", "test.echo.post", "/echo/x", 200),
        (1000.0, "vera", "test.echo.delete", "/echo/x", 403),
        (1000.0, "owner", "test/full", "/full", 503),
    ]


async def test_an_audit_log_that_is_broken_breaks_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*told: object) -> None:
        raise OSError("disk full")

    got = await ask(an_app(audit=broken), "POST", "/echo/x")
    assert got.status == 200
    assert "disk full" in caplog.text


async def test_the_access_log_has_a_line_for_each_request_and_never_a_query() -> None:
    records = Records()
    await ask(an_app(records=records), "GET", "/echo/x?access_token=s3cret")
    (line,) = records.access
    assert line[:6] == (1000.0, "127.0.0.1", "owner", "GET", "/echo/x", 200)
    assert "s3cret" not in str(line)


async def forever(call: Call) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_method_that_hangs_is_answered_for() -> None:
    app = an_app(("/slow", forever), limits=Limits(call_seconds=0.05))
    assert (await ask(app, "GET", "/slow")).error == (504, "DEADLINE_EXCEEDED")
    assert (await ask(app, "GET", "/echo/x")).status == 200


async def test_past_the_limit_calls_are_told_to_come_again() -> None:
    app = an_app(("/slow", forever), limits=Limits(calls=2))
    held = [asyncio.ensure_future(ask(app, "GET", "/slow")) for _ in range(2)]
    await until(lambda: len(app._calls) == 2)
    got = await ask(app, "GET", "/echo/x")
    assert got.error == (503, "UNAVAILABLE")
    assert got.headers["retry-after"] == "1"
    for task in held:
        task.cancel()
    assert [got.status for got in await asyncio.gather(*held)] == [503, 503]
    assert (await ask(app, "GET", "/echo/x")).status == 200


def streaming(pieces: int, error: Exception | None = None) -> tuple[Handler, list[str]]:
    ended: list[str] = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            for number in range(pieces):
                yield b"%d\n" % number
            if error:
                raise error
        finally:
            ended.append("ended")

    async def handler(call: Call) -> Answer:
        return Answer(stream=stream(), content_type="application/x-ndjson")

    return handler, ended


async def test_a_stream_is_sent_piece_by_piece() -> None:
    handler, ended = streaming(3)
    got = await ask(an_app(("/s", handler)), "GET", "/s")
    assert (got.status, got.body, got.complete) == (200, b"0\n1\n2\n", True)
    assert got.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in got.headers
    assert ended == ["ended"]


async def test_a_stream_that_breaks_is_broken_off_and_never_looks_complete() -> None:
    broken: list[str] = []
    for error in (KeyError("x"), StoreFault("x")):
        handler, ended = streaming(1, error)
        extra = {ABORT: lambda: broken.append("broken")}
        got = await ask(an_app(("/s", handler)), "GET", "/s", extra=extra)
        assert (got.body, got.complete) == (b"0\n", False)
        assert ended == ["ended"]
    assert broken == ["broken", "broken"]


async def test_more_streams_than_the_limit_are_told_to_come_again() -> None:
    handler, _ = streaming(1)
    app = an_app(("/s", handler), limits=Limits(streams=0))
    assert (await ask(app, "GET", "/s")).error == (503, "UNAVAILABLE")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_told_to_anyone_under_any_name(path: str) -> None:
    got = await ask(an_app(loopback=False), "GET", path, host="10.0.0.1")
    assert (got.status, got.body) == (200, b"ok\n")
    assert (await ask(an_app(), "POST", path)).status == 405


async def test_a_server_that_is_not_ready_says_why_and_is_alive() -> None:
    app = an_app(ready=lambda: "draining")
    got = await ask(app, "GET", "/readyz")
    assert (got.status, got.body) == (503, b"draining\n")
    assert (await ask(app, "GET", "/healthz")).status == 200


async def test_the_documents_of_the_api_need_no_token_and_may_not_be_framed() -> None:
    app = an_app(loopback=False)
    assert (await ask(app, "GET", "/openapi.json")).json["paths"]["/echo/{x}"]
    got = await ask(app, "GET", "/docs")
    assert b"/echo/{x}" in got.body
    assert got.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in got.headers["content-security-policy"]


async def test_a_browser_that_is_sent_to_the_server_finds_the_page_of_methods() -> None:
    app = an_app()
    assert (await ask(app, "GET", "/")).body == (await ask(app, "GET", "/docs")).body


async def test_the_life_cycle_of_an_asgi_server_is_answered() -> None:
    sent: list[str] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> MutableMapping[str, Any]:
        return dict(messages.pop(0))

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await an_app()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
