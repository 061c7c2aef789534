"""The faces of a server: the tables of methods, carried over HTTP and gRPC."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobrunner import __version__
from jobrunner.api.http.guard import Authenticator, is_loopback, own_names
from jobrunner.app.options import ServeOptions
from jobrunner.calls import Method
from jobrunner.errors import UsageError
from jobrunner.service.parts import Neighbour, Parts

if TYPE_CHECKING:
    from jobrunner.api.audit import Audit
    from jobrunner.api.grpc.server import Serving
    from jobrunner.api.http.application import House
    from jobrunner.api.http.listen import Listening

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
    from jobrunner.api import rpc, tables

    return [*tables.all_methods(parts), *rpc.methods(parts)]


def log_access(
    at: float, client: str, principal: str, verb: str, path: str, code: int, seconds: float
) -> None:
    who = principal or "-"
    access.info("%s %s %s %s %d %.1f ms", client or "-", who, verb, path, code, seconds * 1000)


async def open_http(
    methods: Sequence[Method], house: House, listener: socket.socket, options: ServeOptions
) -> Listening:
    """Answers on a socket that listens already."""
    from jobrunner.api.http.application import Application
    from jobrunner.api.http.listen import TlsFiles, listen

    tls = None
    if options.tls_cert is not None and options.tls_key is not None:
        tls = TlsFiles(options.tls_cert, options.tls_key)
    return await listen(Application(methods, house), sockets=[listener], tls=tls)


async def open_grpc(
    methods: Sequence[Method],
    house: House,
    tls: Tls | None,
    options: ServeOptions,
    tables: Sequence[str] = (),
) -> Serving | None:
    """``None`` if it was not asked for. ``tables`` are the ``rpcs`` of plug-ins."""
    if options.grpc_port is None:
        return None
    from jobrunner.api import grpc

    return await grpc.start(
        methods,
        host=options.host,
        port=options.grpc_port,
        authenticate=house.authenticate,
        tls=None if tls is None else grpc.Tls(tls.certificate, tls.key),
        audit=house.audit,
        tables=tables,
    )


def store_away(reason: str | None, options: ServeOptions) -> str | None:
    """Why the store cannot be used, for everybody who asks whether the server is ready: beyond this
    machine nobody is told where the database is."""
    if reason is None or is_loopback(options.host):
        return reason
    return "the database cannot be used now; the log of the server says why"


def make_house(
    options: ServeOptions,
    parts: Parts,
    authenticate: Authenticator,
    audit: Audit,
    ready: Callable[[], str | None],
    neighbours: Sequence[Neighbour] = (),
) -> House:
    from jobrunner.api.http.application import House
    from jobrunner.api.http.forwarding import Forwards

    return House(
        names=own_names(options.host, options.allow_hosts),
        authenticate=authenticate,
        loopback=is_loopback(options.host),
        clock=parts.machine,
        audit=audit,
        ready=ready,
        access_log=log_access if options.access_log else None,
        version=__version__,
        forwards=Forwards(neighbours),
    )
