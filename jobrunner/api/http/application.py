"""The ASGI application: request → guard → method → answer.

Every request is answered exactly once, within :class:`~jobrunner.api.http.limits.Limits`, and
every error in Google's envelope. Nothing here waits but for the body, the method and the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from jobrunner.api.audit import NOBODY, Audit, no_audit, record
from jobrunner.api.errors import (
    CallError,
    DeadlineExceeded,
    MalformedCall,
    MethodNotAllowed,
    Overloaded,
    known,
)
from jobrunner.api.http import reply
from jobrunner.api.http.calls_in_flight import CallsInFlight
from jobrunner.api.http.forwarding import Forwards, Passing, check_role, forward
from jobrunner.api.http.guard import Authenticator, OwnNames, allow, bearer, check_page, identify
from jobrunner.api.http.limits import DEFAULTS, Limits
from jobrunner.api.http.openapi import document, html_page
from jobrunner.api.http.payload import encode
from jobrunner.api.http.query import query_token, read_query
from jobrunner.api.http.reply import Reply
from jobrunner.api.http.request import (
    WITH_BODY,
    ClientGone,
    Receive,
    Scope,
    Send,
    idempotency_key,
    nothing_yet,
    read_body,
    read_bytes,
    read_headers,
)
from jobrunner.api.http.router import Router
from jobrunner.calls import Answer, Call, Method, Principal, Raw, Role
from jobrunner.core.params import only
from jobrunner.errors import JobrunnerError
from jobrunner.ports import MachineClock
from jobrunner.service.parts import Neighbour

log = logging.getLogger(__name__)

AUTHORITY = "jobrunner.authority"
"""In the scope: the authority of a target in absolute form, text."""

TASK = "jobrunner.task"
"""In the scope: what to cancel when the client leaves. Not set while a change is carried out."""

ABORT = "jobrunner.abort"
"""In the scope: a function that breaks the connection off."""

RESPOND = "jobrunner.respond"
"""In the scope: a function that sends a whole reply at once; False if it cannot at the moment."""

ARRIVED = "jobrunner.arrived"
"""In the scope: a function that gives the whole body if it has arrived and is still to be read."""

ANYBODY = Principal("", Role.VIEWER)
"""Who calls an open method."""


NOWHERE = Forwards()


class AccessLog(Protocol):
    """Told of every request that was answered; never of a query string, which may hold tokens.
    ``seconds`` is how long it took."""

    def __call__(
        self,
        at: float,
        client: str,
        principal: str,
        verb: str,
        path: str,
        code: int,
        seconds: float,
    ) -> None: ...


def always_ready() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class House:
    """What the application is given. ``loopback``: the server can be reached from this machine
    only. ``ready`` says why calls would fail now, or ``None``."""

    names: OwnNames
    authenticate: Authenticator
    loopback: bool
    clock: MachineClock
    audit: Audit = no_audit
    ready: Callable[[], str | None] = always_ready
    access_log: AccessLog | None = None
    limits: Limits = DEFAULTS
    version: str = ""
    forwards: Forwards = NOWHERE


@dataclass(slots=True)
class _Visit:
    """What is known of a request so far, for the records."""

    verb: str
    raw_path: bytes
    method: Method | None = None
    principal: Principal = NOBODY
    body_read: bool = False
    call: Call | None = None
    answer: Answer | None = None

    @property
    def path(self) -> str:
        return self.raw_path.decode("latin-1")


class Application:
    """Raises RunnerFault where two methods claim the same path."""

    def __init__(self, methods: Sequence[Method], house: House) -> None:
        self._house = house
        self._limits = house.limits
        sizes = {method.most_body for method in methods if method.most_body}
        self._larger = {size: replace(house.limits, body=size) for size in sizes}
        self._router = Router(methods)
        self._calls = CallsInFlight(house.limits.calls, house.limits.call_seconds)
        self._streams = 0
        self._document: bytes = b""
        self._health: Mapping[bytes, Callable[[], Reply]] = {
            b"/healthz": lambda: reply.text(200, "ok"),
            b"/readyz": self._ready,
        }
        self._pages: Mapping[bytes, Callable[[], Reply]] = {
            b"/openapi.json": self._openapi,
            **dict.fromkeys((b"/", b"/docs"), self._page_of_methods),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        visit = _Visit(scope["method"], scope["raw_path"])
        loop = asyncio.get_running_loop()
        began = loop.time() if self._house.access_log else 0.0
        task = asyncio.current_task()
        assert task is not None
        stream: Answer | None = None
        try:
            self._calls.enter(loop, task)
            try:
                stream, answer = await self._answer(visit, scope, receive)
            finally:
                late = self._calls.leave(task)
        except ClientGone:
            return
        except asyncio.CancelledError:
            task.uncancel()
            answer = self._refused(visit, self._broken_off(late), scope)
        except Exception as error:
            answer = self._refused(visit, error, scope)
        scope.pop(TASK, None)
        self._record(visit, answer.status)
        if stream is not None:
            await self._send_stream(stream, answer, scope, send)
        else:
            respond = scope.get(RESPOND)
            if respond is None or not respond(answer):
                await _send_whole(answer, send)
        if self._house.access_log:
            self._log(visit, scope, answer.status, loop.time() - began)

    async def _answer(
        self, visit: _Visit, scope: Scope, receive: Receive
    ) -> tuple[Answer | None, Reply]:
        """The whole reply, or the answer with a stream and a reply without a body."""
        if health := self._health.get(visit.raw_path):
            return None, _only_get(visit, health)
        headers = read_headers(scope["headers"])
        if b"expect" in headers and visit.verb not in WITH_BODY:
            raise MalformedCall(f"{visit.verb} has no body; remove the header Expect")
        authority = _authority(scope, headers)
        meant = str(scope.get(AUTHORITY, authority or ""))
        neighbour = self._house.forwards.find(meant, absolute=AUTHORITY in scope)
        if neighbour is not None:
            return None, await self._forwarded(visit, neighbour, meant, headers, scope, receive)
        host = self._house.names.host(authority) if authority is not None else None
        if AUTHORITY in scope:
            # A target in absolute form wins over Host; both have to be ours.
            authority = str(scope[AUTHORITY])
            host = self._house.names.host(authority)
        check_page(
            visit.verb, headers, secure=scope["scheme"] == "https", authority=authority or ""
        )
        if page := self._pages.get(visit.raw_path):
            return None, _only_get(visit, page)
        route, values = self._router.find(visit.verb, visit.raw_path)
        visit.method = method = route.method
        principal = ANYBODY
        if not method.open:
            token = bearer(headers.get(b"authorization"))
            if token is None and method.raw:
                token = query_token(scope["query_string"])
            visit.principal = principal = identify(
                self._house.authenticate, token, loopback=self._house.loopback
            )
            if principal.role < method.role:
                allow(principal, method, visit.path)
        query = read_query(scope["query_string"])
        if method.query is not None:
            only(query.params, *method.query)
        params = dict(query.params)
        for name, value in zip(route.names, values, strict=True):
            if name in params:
                raise MalformedCall(f"'{name}' is in the path already; remove it from the query")
            params[name] = value
        body, raw = None, None
        if visit.verb in WITH_BODY:
            arrived = scope.get(ARRIVED, nothing_yet)
            if method.raw:
                limits = self._larger.get(method.most_body, self._limits)
                data = await read_bytes(headers, receive, limits, arrived)
                raw = Raw(tuple(scope["headers"]), data)
            else:
                body = await read_body(headers, receive, self._limits, arrived)
            visit.body_read = True
        elif method.raw:
            raw = Raw(tuple(scope["headers"]))
        visit.call = call = Call(
            params,
            body,
            host.region if host is not None else None,
            principal,
            idempotency_key(headers),
            raw,
        )
        if not (method.changes or method.raw):
            scope[TASK] = asyncio.current_task()
        visit.answer = answer = await method.handler(call)
        if answer.stream is None:
            return None, reply.answered(answer, pretty=query.pretty)
        if self._streams >= self._limits.streams:
            await _close(answer)
            raise Overloaded(f"the server sends {self._streams} streams already; try again")
        return answer, Reply(answer.status, reply.head(answer.content_type, answer.headers), b"")

    async def _forwarded(
        self,
        visit: _Visit,
        neighbour: Neighbour,
        meant: str,
        headers: Mapping[bytes, bytes],
        scope: Scope,
        receive: Receive,
    ) -> Reply:
        check_page(visit.verb, headers, secure=scope["scheme"] == "https", authority=meant)
        token = bearer(headers.get(b"authorization"))
        visit.principal = identify(self._house.authenticate, token, loopback=self._house.loopback)
        check_role(visit.principal, visit.verb, neighbour)
        arrived = scope.get(ARRIVED, nothing_yet)
        body = await read_bytes(headers, receive, self._limits, arrived)
        visit.body_read = True
        scope[TASK] = asyncio.current_task()
        query = scope["query_string"]
        target = visit.raw_path + (b"?" + query if query else b"")
        return await forward(neighbour, Passing(visit.verb, target, headers, body))

    def _broken_off(self, late: bool) -> CallError:
        if late:
            return DeadlineExceeded(f"no answer within {self._limits.call_seconds:g} s")
        # Or the client has left, and nobody reads this.
        return Overloaded("the server is stopping")

    def _refused(self, visit: _Visit, error: Exception, scope: Scope) -> Reply:
        said = known(error)
        if said is not error:
            log.error(
                "%s: a bug while answering %s %s", said.message, visit.verb, visit.path,
                exc_info=error,
            )  # fmt: skip
        # A client that waits for "100 Continue" may send the body after all, or not: the next
        # request could not be found.
        waits = not visit.body_read and any(name == b"expect" for name, _ in scope["headers"])
        return reply.refused(said, close=waits)

    async def _send_stream(self, answer: Answer, head: Reply, scope: Scope, send: Send) -> None:
        assert answer.stream is not None
        self._streams += 1
        scope[TASK] = asyncio.current_task()
        try:
            await send(
                {"type": "http.response.start", "status": head.status, "headers": head.headers}
            )
            if scope["method"] != "HEAD":
                async for piece in answer.stream:
                    async with asyncio.timeout(self._limits.send_seconds):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            _abort(scope)
        except Exception as error:
            # The status is sent: all that can be done is to break off, so that nobody takes the
            # answer for complete.
            if not isinstance(error, TimeoutError | JobrunnerError):
                log.error("a bug while sending %s", scope["path"], exc_info=error)
            _abort(scope)
        finally:
            self._streams -= 1
            await _close(answer)

    def _record(self, visit: _Visit, code: int) -> None:
        if visit.method is not None and visit.method.changes:
            record(
                self._house.audit, self._house.clock.now(), visit.principal, visit.method,
                visit.path, code, visit.call, visit.answer,
            )  # fmt: skip

    def _log(self, visit: _Visit, scope: Scope, code: int, seconds: float) -> None:
        assert self._house.access_log is not None
        client = scope.get("client")
        self._house.access_log(
            self._house.clock.now(),
            client[0] if client else "",
            visit.principal.name,
            visit.verb,
            visit.path,
            code,
            seconds,
        )

    def _ready(self) -> Reply:
        why = self._house.ready()
        return reply.text(503, why) if why else reply.text(200, "ok")

    def _page_of_methods(self) -> Reply:
        return reply.page(html_page(self._router.methods, self._house.version))

    def _openapi(self) -> Reply:
        if not self._document:
            self._document = encode(document(self._router.methods, self._house.version))
        return reply.whole(200, reply.JSON, self._document)


async def _send_whole(answer: Reply, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _only_get(visit: _Visit, make: Callable[[], Reply]) -> Reply:
    if visit.verb not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{visit.path} takes GET, HEAD, not {visit.verb}", "GET, HEAD")
    return make()


def _authority(scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
    """The host and port that ``Host`` names; ``None`` for HTTP/1.0 without one."""
    host = headers.get(b"host")
    if host is not None:
        return host.decode("latin-1")
    if scope["http_version"] == "1.0":
        return None
    raise MalformedCall("the header Host is missing")


def _abort(scope: Scope) -> None:
    abort = scope.get(ABORT)
    if abort is not None:
        abort()


async def _close(answer: Answer) -> None:
    close = getattr(answer.stream, "aclose", None)
    if close is not None:
        await close()


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    """The life cycle of an ASGI server; there are no web sockets here."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message: Mapping[str, Any] = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
