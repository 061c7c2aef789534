"""The gRPC server: carries calls to methods, on the event loop of everything else.

No check of the host name is made here, as there is over HTTP: a web page cannot speak gRPC.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from jobrunner.api.errors import Bug, known
from jobrunner.api.grpc import Tls
from jobrunner.api.grpc.messages import answer_message, call_parts
from jobrunner.api.grpc.rpcs import RPCS, Message, Rpc
from jobrunner.api.grpc.statuses import ending
from jobrunner.api.http.guard import Authenticator, allow, bearer, identify, is_loopback
from jobrunner.calls import Answer, Call, Method
from jobrunner.errors import Refused

log = logging.getLogger(__name__)

MAX_MESSAGE = 32 * 1024 * 1024
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""``HealthCheckResponse(status=SERVING)``."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that listens on ``port``."""

    port: int
    _server: Any

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and breaks off those that have not ended after ``grace`` seconds."""
        await self._server.stop(grace)


async def serve(
    methods: Sequence[Method],
    *,
    host: str,
    port: int,
    authenticate: Authenticator,
    tls: Tls | None,
) -> Serving:
    """See :func:`jobrunner.api.grpc.start`."""
    face = Face(methods, authenticate, loopback=is_loopback(host))
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            # Two servers on one port would each get some of the calls.
            ("grpc.so_reuseport", 0),
        ]
    )
    server.add_generic_rpc_handlers((face,))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            pair = ((tls.key, tls.certificate),)
            bound = server.add_secure_port(address, grpc.ssl_server_credentials(pair))
    except RuntimeError as error:
        raise Refused(
            f"The gRPC server cannot listen on {address}: {_reason(error)}.",
            hint="Choose another port: --grpc-port PORT",
        ) from error
    await server.start()
    return Serving(bound, server)


def _reason(error: RuntimeError) -> str:
    return "the port is taken" if "in use" in str(error) else "the address cannot be used"


class Face(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handler of a gRPC method by its name on the wire."""

    def __init__(
        self, methods: Sequence[Method], authenticate: Authenticator, *, loopback: bool
    ) -> None:
        self._authenticate = authenticate
        self._loopback = loopback
        self._running: set[asyncio.Task[Answer]] = set()
        self._handlers: dict[str, Any] = {
            HEALTH: grpc.unary_unary_rpc_method_handler(_healthy),
        }
        for method in methods:
            if method.grpc:
                rpc = RPCS[method.grpc]
                self._handlers[f"/{method.grpc}"] = grpc.unary_unary_rpc_method_handler(
                    self._carrier(rpc, method),
                    request_deserializer=rpc.request.FromString,
                    response_serializer=rpc.response.SerializeToString,
                )

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)

    def _carrier(self, rpc: Rpc, method: Method) -> Callable[[Message, Any], Awaitable[Message]]:
        async def carry(message: Message, context: Any) -> Message:
            try:
                return await self._carry(rpc, method, message, context)
            except Exception as error:
                shown = known(error)
                if isinstance(shown, Bug):
                    log.exception("%s failed; number %s", method.grpc, shown.number)
                end = ending(shown)
            return await context.abort(end.code, end.message, end.trailers)

        return carry

    async def _carry(self, rpc: Rpc, method: Method, message: Message, context: Any) -> Message:
        metadata = dict(context.invocation_metadata() or ())
        token = bearer(_raw(metadata.get("authorization")))
        principal = identify(self._authenticate, token, loopback=self._loopback)
        params, body = call_parts(rpc, method.path, message)
        allow(principal, method)
        call = Call(
            params, body, principal=principal, idempotency_key=metadata.get("idempotency-key")
        )
        answer = await self._finish(method, call) if method.changes else await method.handler(call)
        return answer_message(rpc.response, answer.body)

    async def _finish(self, method: Method, call: Call) -> Answer:
        """What has begun to change something comes to its end even if nobody waits any more."""
        task: asyncio.Task[Answer] = asyncio.ensure_future(method.handler(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)


def _raw(header: str | bytes | None) -> bytes | None:
    return header.encode() if isinstance(header, str) else header


async def _healthy(request: bytes, context: Any) -> bytes:
    return SERVING
