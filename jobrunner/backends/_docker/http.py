"""HTTP/1.1 to the engine on the running event loop: a pool of kept connections, and streams.

Why not a library: docs/adr/0030-docker-hot-path.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobrunner.backends._docker.wire import BadAnswer, Chunks, Head, parse_head
from jobrunner.errors import BackendFault

READ = 64 * 1024
KEPT = 32

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


class EngineAway(BackendFault):
    """The engine cannot be reached or stopped answering. Nothing is known of what it holds."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Pool:
    """Requests to one engine. A connection carries one request at a time and is kept after it."""

    def __init__(self, connect: Connect, *, timeout: float = 120.0) -> None:
        self._connect = connect
        self._timeout = timeout
        self._idle: list[Streams] = []

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        fresh: bool = False,
        limit: float | None = None,
        patient: bool = False,
    ) -> Answer:
        """Sends a request, which must be harmless to send twice, and reads the whole answer.

        A kept connection that turns out dead is replaced once. ``fresh`` uses none that was kept:
        an engine that is shutting down still serves those. ``limit`` is seconds for the answer,
        ``patient`` means as long as it takes. Raises EngineAway.
        """
        limit = None if patient else limit or self._timeout
        while True:
            kept = self._idle.pop() if self._idle and not fresh else None
            try:
                async with asyncio.timeout(limit):
                    return await self._exchange(kept, method, path, body)
            except TimeoutError:
                raise EngineAway(f"no answer to {method} {path} for {limit:g} s") from None
            except (OSError, EOFError, asyncio.LimitOverrunError) as error:
                if kept is None:
                    raise EngineAway(_words(error)) from error

    async def _exchange(
        self, kept: Streams | None, method: str, path: str, body: bytes | None
    ) -> Answer:
        reader, writer = kept or await self._connect()
        sound = False
        try:
            writer.write(_request(method, path, body))
            head = parse_head(await reader.readuntil(b"\r\n\r\n"))
            content = await _whole_body(reader, head)
            sound = head.keeps_alive
        finally:
            if sound and len(self._idle) < KEPT:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return Answer(head.status, content)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, upgrade: bool = False
    ) -> AsyncIterator[tuple[Head, AsyncIterator[bytes]]]:
        """A request whose answer has no end of its own, over a connection of its own. The
        iterator gives pieces as they come. Raises EngineAway, from the iterator too."""
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise EngineAway(_words(error)) from error
        try:
            try:
                async with asyncio.timeout(self._timeout):
                    writer.write(_request(method, path, None, upgrade=upgrade))
                    head = parse_head(await reader.readuntil(b"\r\n\r\n"))
            except (OSError, EOFError, TimeoutError) as error:
                raise EngineAway(_words(error)) from error
            yield head, _pieces(reader, head)
        finally:
            writer.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


def _request(method: str, path: str, body: bytes | None, *, upgrade: bool = False) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: docker", "User-Agent: jobrunner"]
    if upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    if body is not None:
        lines.append("Content-Type: application/json")
    if method == "POST":
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


async def _whole_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    if head.length is not None:
        return await reader.readexactly(head.length)
    return b"".join([piece async for piece in _pieces(reader, head)])


async def _pieces(reader: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    chunks = Chunks() if head.chunked else None
    try:
        while chunks is None or not chunks.done:
            data = await reader.read(READ)
            if not data:
                if chunks is not None:
                    raise EngineAway("the connection broke off in mid-answer")
                return
            piece = chunks.feed(data) if chunks is not None else data
            if piece:
                yield piece
    except OSError as error:
        raise EngineAway(_words(error)) from error


def _words(error: BaseException) -> str:
    if isinstance(error, BackendFault):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


__all__ = ["Answer", "BadAnswer", "Connect", "EngineAway", "Pool", "Streams"]
