"""Connections of the HTTP sender: where they may lead, how they are secured, how long they live.

Imports aiohttp, as :mod:`triggers.senders.http` does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from triggers.senders.reach import Reach, literal

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

IDLE_SECONDS = 1.5
"""How long an unused connection is kept. Common servers close theirs after 2 to 5 seconds; a
request that crosses such a close on the wire is lost, and it may be the only one."""
MOST_CONNECTIONS = 10_000
"""What a dispatcher may have in flight at most: waiting for one here would eat the deadline."""
LOOK_UPS = 32
"""Names that are looked up at once."""
READ_AT_ONCE = 16 * 1024
MOST_HEADERS = 128
LONGEST_LINE = 16 * 1024
"""Bounds of the head of an answer."""


REUSED: ContextVar[bool] = ContextVar("reused", default=False)
"""Set before a request, and still set after it if no new connection was made for it."""


class ForbiddenAddress(OSError):
    """Our own lists do not allow it; the text is the reason."""


class GuardedResolver(AbstractResolver):
    """Looks names up and hands out only addresses that are allowed. Names below ``localhost`` are
    this machine's by definition and are not looked up."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        # Threads of its own: a look-up that hangs for half a minute must not keep others from the
        # few that a loop has by default.
        self._threads = ThreadPoolExecutor(LOOK_UPS, "look-up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        asked = "localhost" if host.lower().rstrip(".").endswith(".localhost") else host
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, asked, port, family)
        if self._reach.idle:
            return found
        allowed = []
        reason = None
        for one in found:
            refusal = refused(self._reach, host, one["host"])
            reason = refusal or reason
            if refusal is None:
                allowed.append(one)
        if not allowed and reason:
            raise ForbiddenAddress(reason)
        return allowed

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Blocks. Raises OSError."""
    flags = socket.AI_ADDRCONFIG
    found: list[ResolveResult] = []
    for kind, _, proto, _, address in socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=flags
    ):
        spelled, number = str(address[0]), int(address[1])
        if kind == socket.AF_INET6 and len(address) == 4 and address[3]:
            # A link-local address means nothing without its interface.
            spelled, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found.append(
            ResolveResult(
                hostname=host, host=spelled, port=number, family=kind, proto=proto, flags=numeric
            )
        )
    return found


def refused(reach: Reach, host: str, spelled: str) -> str | None:
    """Why the address ``spelled``, that ``host`` has led to, is not allowed."""
    address = literal(spelled)
    if address is None:
        return f"the address {spelled} of {host} cannot be judged"
    return reach.of_address(host, address)


class Request(aiohttp.ClientRequest):
    """Has the headers that it is given, and none but the computed ones beside them."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        self._skip_auto_headers = _SKIPPED


_SKIPPED: CIMultiDict[None] = CIMultiDict({"Content-Type": None})


class Connector(aiohttp.TCPConnector):
    """Tells by :data:`REUSED` which connections are new."""

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name that aiohttp gives it
    ) -> ResponseHandler:
        REUSED.set(False)
        return await super()._create_connection(req, traces, timeout)


def make_session(reach: Reach) -> aiohttp.ClientSession:
    """A pool of connections. No cookies, nothing from the environment, no headers of its own, no
    limit of time: that is the caller's."""
    return aiohttp.ClientSession(
        connector=Connector(
            resolver=GuardedResolver(reach),
            limit=MOST_CONNECTIONS,
            keepalive_timeout=IDLE_SECONDS,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        request_class=Request,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=READ_AT_ONCE,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_HEADERS,
    )


class Trust:
    """TLS contexts, each made once. Blocks for some 20 ms the first time."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._strict: ssl.SSLContext | None = None
        self._blind: ssl.SSLContext | None = None

    def context(self, verify: bool) -> ssl.SSLContext:
        """Raises OSError for a file of authorities that cannot be read or holds none."""
        if not verify:
            if self._blind is None:
                self._blind = ssl.create_default_context()
                self._blind.check_hostname = False
                self._blind.verify_mode = ssl.CERT_NONE
            return self._blind
        if self._strict is None:
            context = ssl.create_default_context()
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            self._strict = context
        return self._strict
