"""The gRPC server: carries calls to methods, on the event loop of everything else.

No check of the host name is made here, as there is over HTTP: a web page cannot speak gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from jobrunner.api.audit import NOBODY, Audit, http_path, record
from jobrunner.api.errors import Bug, DeadlineExceeded, MalformedCall, known, status_of
from jobrunner.api.grpc import Tls
from jobrunner.api.grpc.messages import answer_message, call_parts
from jobrunner.api.grpc.statuses import ending
from jobrunner.api.http.guard import Authenticator, allow, bearer, identify
from jobrunner.api.http.limits import DEFAULTS
from jobrunner.api.http.request import idempotency_key
from jobrunner.calls import Answer, Call, Message, Method, Principal, Rpc
from jobrunner.errors import Refused

log = logging.getLogger(__name__)

HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""``HealthCheckResponse(status=SERVING)``."""

Carrier = Callable[[bytes, Any], Awaitable[Message]]


@dataclass(slots=True)
class _Visit:
    """What is known of a call so far, for the audit log."""

    path: str
    principal: Principal = NOBODY
    call: Call | None = None
    answer: Answer | None = None


class Face(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handler of a gRPC method by its name on the wire."""

    def __init__(
        self,
        methods: Sequence[tuple[Method, Rpc]],
        authenticate: Authenticator,
        audit: Audit,
        *,
        loopback: bool,
    ) -> None:
        self._authenticate = authenticate
        self._audit = audit
        self._loopback = loopback
        self._limits = DEFAULTS
        self._changing: set[asyncio.Task[Answer]] = set()
        self._handlers: dict[str, Any] = {HEALTH: grpc.unary_unary_rpc_method_handler(_healthy)}
        for method, rpc in methods:
            self._handlers[f"/{method.grpc}"] = grpc.unary_unary_rpc_method_handler(
                self._carrier(rpc, method),
                response_serializer=rpc.response.SerializeToString,
            )

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)

    async def rest(self, within: float) -> None:
        """Until the changes under way have come to their end, at most ``within`` seconds."""
        if self._changing:
            await asyncio.wait(self._changing, timeout=within)

    def _carrier(self, rpc: Rpc, method: Method) -> Carrier:
        async def carry(message: bytes, context: Any) -> Message:
            visit = _Visit(method.path)
            try:
                answer = await self._carry(rpc, method, message, context, visit)
            except Exception as error:
                said = known(error)
                if isinstance(said, Bug):
                    log.error("%s: a bug while answering %s", said.message, method.grpc,
                              exc_info=error)  # fmt: skip
                self._record(method, visit, status_of(said).http)
                end = ending(said)
            else:
                self._record(method, visit, 200)
                return answer
            return await context.abort(end.code, end.message, end.trailers)

        return carry

    async def _carry(
        self, rpc: Rpc, method: Method, message: bytes, context: Any, visit: _Visit
    ) -> Message:
        metadata = {
            key.encode(): value.encode() if isinstance(value, str) else value
            for key, value in context.invocation_metadata() or ()
        }
        token = bearer(metadata.get(b"authorization"))
        visit.principal = identify(self._authenticate, token, loopback=self._loopback)
        params, body = call_parts(rpc, method.path, _read(rpc, message))
        visit.path = http_path(method.path, params)
        visit.call = call = Call(
            params,
            body,
            principal=visit.principal,
            idempotency_key=idempotency_key(metadata),
        )
        allow(visit.principal, method, visit.path)
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                visit.answer = answer = await self._call(method, call)
        except TimeoutError:
            seconds = self._limits.call_seconds
            raise DeadlineExceeded(f"no answer within {seconds:g} s") from None
        return answer_message(rpc.response, answer.body, rpc.without)

    async def _call(self, method: Method, call: Call) -> Answer:
        """What has begun to change something comes to its end even if nobody waits any more."""
        if not method.changes:
            return await method.handler(call)
        task: asyncio.Task[Answer] = asyncio.ensure_future(method.handler(call))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    def _record(self, method: Method, visit: _Visit, code: int) -> None:
        record(
            self._audit, time.time(), visit.principal, method, visit.path, code,
            visit.call, visit.answer,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that listens on ``port``."""

    port: int
    _server: Any
    _face: Face

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and breaks off those that have not ended after ``grace`` seconds."""
        await self._server.stop(grace)
        await self._face.rest(grace)


async def serve(face: Face, *, host: str, port: int, tls: Tls | None) -> Serving:
    """Raises Refused if it cannot listen there."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", DEFAULTS.body),
            # Two servers on one port would each get some of the calls.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=DEFAULTS.calls,
    )
    server.add_generic_rpc_handlers((face,))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        _try(host, port)
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            pair = ((tls.key, tls.certificate),)
            bound = server.add_secure_port(address, grpc.ssl_server_credentials(pair))
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "the address cannot be used"
        raise Refused(
            f"The gRPC server cannot listen on {address}: {why}.",
            hint="Choose another port: --grpc-port PORT",
        ) from error
    await server.start()
    return Serving(bound, server, face)


def _try(host: str, port: int) -> None:
    """Raises OSError if nobody can listen there; gRPC itself writes of it to standard error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _read(rpc: Rpc, message: bytes) -> Message:
    """Only callers that are known have their messages read."""
    try:
        return rpc.request.FromString(message)
    except DecodeError:
        raise MalformedCall(f"the message is no {rpc.request.DESCRIPTOR.name}") from None


async def _healthy(request: bytes, context: Any) -> bytes:
    return SERVING
