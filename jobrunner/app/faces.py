"""The faces of a server: the tables of methods, carried over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobrunner import __version__
from jobrunner.api.http.guard import Authenticator, is_loopback, own_names
from jobrunner.api.parts import Parts
from jobrunner.app.options import ServeOptions
from jobrunner.calls import Method
from jobrunner.errors import UsageError

if TYPE_CHECKING:
    from jobrunner.api.http.application import Audit, House

access = logging.getLogger("jobrunner.access")


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM, whole files."""

    certificate: bytes
    key: bytes


def read_tls(options: ServeOptions) -> Tls | None:
    """Raises UsageError for files that cannot be read or do not belong together."""
    if options.tls_cert is None or options.tls_key is None:
        if options.tls_cert or options.tls_key:
            raise UsageError("--tls-cert and --tls-key belong together: give both or neither")
        return None
    content = []
    for flag, path in (("--tls-cert", options.tls_cert), ("--tls-key", options.tls_key)):
        try:
            with open(path, "rb") as file:
                content.append(file.read())
        except OSError as error:
            raise UsageError(f"{flag}: '{path}' cannot be read: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key)
    except (ssl.SSLError, ValueError, OSError) as error:
        why = getattr(error, "reason", None) or error
        raise UsageError(
            f"--tls-cert, --tls-key: '{options.tls_cert}' and '{options.tls_key}' are no"
            f" certificate and its key in PEM: {why}"
        ) from None
    return Tls(*content)


def all_methods(parts: Parts) -> list[Method]:
    """The tables of every API of ours."""
    from jobrunner.api import rpc, tables, v2

    more = getattr(v2, "methods", None)
    found = [*tables.all_methods(parts), *(more(parts) if callable(more) else ())]
    found += rpc.methods(parts)
    return list({(method.verb, method.path): method for method in found}.values())


def log_access(
    at: float, client: str, principal: str, verb: str, path: str, code: int, seconds: float
) -> None:
    who = principal or "-"
    access.info("%s %s %s %s %d %.1f ms", client or "-", who, verb, path, code, seconds * 1000)


def make_house(
    options: ServeOptions,
    parts: Parts,
    authenticate: Authenticator,
    audit: Audit,
    ready: Callable[[], str | None],
) -> House:
    from jobrunner.api.http.application import House

    return House(
        names=own_names(options.host, options.allow_hosts),
        authenticate=authenticate,
        loopback=is_loopback(options.host),
        clock=parts.clock,
        audit=audit,
        ready=ready,
        access_log=log_access if options.access_log else None,
        version=__version__,
    )


class HttpFace:
    """Serves an application on a socket that listens already."""

    def __init__(self, server: Any, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task

    @classmethod
    async def open(
        cls, methods: Sequence[Method], house: House, listener: socket.socket, options: ServeOptions
    ) -> HttpFace:
        import uvicorn

        from jobrunner.api.http.application import Application

        config = uvicorn.Config(
            Application(methods, house),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=True,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        task = asyncio.ensure_future(server._serve(sockets=[listener]))
        await asyncio.sleep(0)
        return cls(server, task)

    async def close(self, within: float) -> None:
        """Answers what is under way for ``within`` seconds."""
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=within)
