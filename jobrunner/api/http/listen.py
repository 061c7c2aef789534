"""Listens for the application on the running event loop, and stops within a bound."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from uvicorn.config import Config

from jobrunner.api.http.application import Application
from jobrunner.api.http.connection import Connection, Dated
from jobrunner.api.http.limits import DEFAULTS, Limits
from jobrunner.errors import UsageError

BACKLOG = 2048
LAST_WORDS = 0.5
"""Seconds for the answers of calls that were broken off."""

FILES_FOR_OTHERS = 256
"""Open files that connections leave to the store, to logs and to backends."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the certificate with its chain, and its key (without a passphrase)."""

    certificate: str
    key: str


class Listening:
    """A server that answers."""

    def __init__(self, servers: Sequence[asyncio.Server], shared: Dated) -> None:
        self._servers = servers
        self._shared = shared

    @property
    def connections(self) -> int:
        return len(self._shared.connections)

    def close(self) -> None:
        """Takes no more connections, ends those that are idle, and lets calls in flight finish."""
        for server in self._servers:
            server.close()
        for connection in list(self._shared.connections):
            connection.shutdown()

    async def stop(self, grace: float) -> None:
        """As ``close``; calls that have not ended after ``grace`` seconds are answered that the
        server stops. Returns within ``grace`` + :data:`LAST_WORDS` seconds."""
        self.close()
        if not await self._quiet_within(grace):
            for task in list(self._shared.tasks):
                task.cancel()
            await self._quiet_within(LAST_WORDS)
        for connection in list(self._shared.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)

    async def _quiet_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._shared.connections or self._shared.tasks:
            left = until - loop.time()
            if left <= 0:
                return False
            await asyncio.sleep(min(0.02, left))
        return True


async def listen(
    application: Application,
    sockets: Sequence[socket.socket],
    *,
    tls: TlsFiles | None = None,
    limits: Limits = DEFAULTS,
) -> Listening:
    """On ``sockets``, which are bound already. Raises UsageError for files of TLS that cannot be
    used."""
    limits = within_open_files(limits)
    secure = _context(tls) if tls is not None else None
    config = Config(
        application,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=max(1, int(limits.idle_seconds)),
    )
    config.load()
    shared = Dated()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            lambda: Connection(config, shared, limits, loop),
            sock=bound,
            backlog=BACKLOG,
            ssl=secure,
            ssl_handshake_timeout=limits.head_seconds if secure is not None else None,
        )
        for bound in sockets
    ]
    return Listening(servers, shared)


def within_open_files(limits: Limits) -> Limits:
    """No more connections than this process may have files open, with some left for others."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    most = max(soft - FILES_FOR_OTHERS, soft // 2)
    return limits.with_connections(min(limits.connections, most))


def _context(tls: TlsFiles) -> ssl.SSLContext:
    for path in (tls.certificate, tls.key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise UsageError(f"the TLS file {path} cannot be read: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except ssl.SSLError as error:
        raise UsageError(
            f"{tls.certificate} and {tls.key} are not a certificate and its key:"
            f" {error.reason or error}",
            hint="Both are PEM files; the key has no passphrase.",
        ) from error
    return context
