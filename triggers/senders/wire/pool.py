"""Connections: made where they may lead, kept while they are fresh, used again the newest first."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from triggers.core.verdict import Break
from triggers.senders.failures import Stop, words
from triggers.senders.reach import Reach
from triggers.senders.wire.addresses import Names, connect
from triggers.senders.wire.connection import Connection, Late
from triggers.senders.wire.request import Place, tunnel
from triggers.senders.wire.trust import Trust

IDLE_SECONDS = 1.5
"""How long an unused connection is kept. Common servers close theirs after 2 to 5 seconds; a
request that crosses such a close on the wire is lost, and it may be the only one."""
MOST_IDLE = 128
"""Unused connections of one place: as many as a dispatcher has in flight by default. There is no
bound of those in use: waiting for one here would eat the deadline."""
GOODBYE_SECONDS = 2.0
"""How long the end of a TLS connection may take."""


class Pool:
    """Of one loop."""

    def __init__(self, reach: Reach, trust: Trust) -> None:
        self._loop = asyncio.get_running_loop()
        self._reach = reach
        self._trust = trust
        self._names = Names()
        self._idle: dict[Place, deque[Connection]] = {}
        self._all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, place: Place) -> Connection | None:
        """One that has served before and may serve again."""
        idle = self._idle.get(place)
        if not idle:
            return None
        oldest = self._loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.open and connection.since > oldest:
                return connection
            connection.close()
        return None

    def give(self, connection: Connection) -> None:
        """Back, after an answer; closed if it cannot serve again."""
        if self._closed or not connection.reusable:
            connection.close()
            return
        idle = self._idle.setdefault(connection.place, deque())
        if len(idle) >= MOST_IDLE:
            connection.close()
            return
        connection.since = self._loop.time()
        idle.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._sweep)

    async def dial(self, place: Place, until: float) -> Connection:
        """A new connection. Raises Stop, and Late at ``until`` (by the time of the loop)."""
        if self._closed:
            raise Stop(Break.RESET, "the connections are closed: the server goes down")
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await self._dial(place, until)
        except TimeoutError:
            if limit.expired():
                raise Late from None
            raise

    async def close(self) -> None:
        """Of connections in use as well; no new one is made."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._names.close()
        self._idle.clear()
        for connection in list(self._all):
            connection.abort()
        for _ in range(4):
            # The loop tells them, and lets go of their sockets.
            await asyncio.sleep(0)

    # ------------------------------------------------------------ new ones

    async def _dial(self, place: Place, until: float) -> Connection:
        proxy = place.proxy
        if proxy is None:
            return await self._connected(place, place.host, place.port, place.tls, self._reach)
        reach = Reach() if place.trusted else self._reach
        secure = proxy.scheme == "https"
        there = await self._connected(place, proxy.raw_host or "", proxy.port or 0, secure, reach)
        if place.tls:
            try:
                await self._through(there, place, until)
            except BaseException:
                there.abort()
                self._all.discard(there)
                raise
        return there

    async def _connected(
        self, place: Place, host: str, port: int, secure: bool, reach: Reach
    ) -> Connection:
        spots = await self._names.spots(host, port, reach)
        context = self._trust.context(place.verify) if secure else None
        try:
            sock = await connect(spots)
            try:
                _, connection = await self._loop.create_connection(
                    lambda: Connection(place, self._all.discard),
                    sock=sock,
                    ssl=context,
                    server_hostname=_certified(host) if secure else None,
                    ssl_shutdown_timeout=GOODBYE_SECONDS if secure else None,
                )
            except BaseException:
                sock.close()
                raise
        except ssl.SSLError as error:
            raise Stop(Break.TLS, words(error)) from None
        except OSError as error:
            raise Stop(Break.CONNECT, f"{host}:{port}: {words(error)}") from None
        self._all.add(connection)
        return connection

    async def _through(self, there: Connection, place: Place, until: float) -> None:
        """Through a proxy, by CONNECT, and TLS inside."""
        answer = await there.call(tunnel(place), b"", until)
        if not 200 <= answer.status <= 299:
            raise Stop(Break.CONNECT, f"the proxy answers {answer.status}")
        if answer.bodied or answer.spare:
            raise Stop(Break.PROTOCOL, "the proxy goes on talking where the target should")
        context = self._trust.context(place.verify)
        try:
            made = await self._loop.start_tls(
                there.transport, there, context, server_hostname=_certified(place.host),
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )  # fmt: skip
        except ssl.SSLError as error:
            raise Stop(Break.TLS, words(error)) from None
        except OSError as error:
            raise Stop(Break.CONNECT, f"{place.host}:{place.port}: {words(error)}") from None
        if made is None:
            raise Stop(Break.CONNECT, f"{place.host}:{place.port}: closed during the handshake")
        there.secured(made)

    # ------------------------------------------------------------ old ones

    def _sweep(self) -> None:
        self._timer = None
        oldest = self._loop.time() - IDLE_SECONDS
        for place, idle in list(self._idle.items()):
            while idle and (idle[0].since <= oldest or not idle[0].open):
                idle.popleft().close()
            if not idle:
                del self._idle[place]
        if self._idle:
            first = min(idle[0].since for idle in self._idle.values())
            self._timer = self._loop.call_at(first + IDLE_SECONDS, self._sweep)


def _certified(host: str) -> str:
    """The name that a certificate bears: without the final dot, or the interface of an address."""
    return host.rstrip(".").partition("%")[0]
