"""Small HTTP servers for callers to be tested against, well-behaved and not."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    port: int
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Answering = Callable[[Request], bytes]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = dict(part.split(": ", 1) if ": " in part else (part[:-1], "") for part in lines)
    size = int(headers.get("Content-Length", "0"))
    return Request(line, headers, await reader.readexactly(size))


@asynccontextmanager
async def served(
    answer: Answering | bytes = OK, *, raw: Handler | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server that answers every request on every connection; with ``raw`` as that likes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.connections += 1
        try:
            if raw is not None:
                await raw(reader, writer)
                return
            while request := await read_request(reader):
                there.requests.append(request)
                writer.write(answer if isinstance(answer, bytes) else answer(request))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    there = Server(server.sockets[0].getsockname()[1])
    try:
        yield there
    finally:
        server.close()


def saying(text: bytes, *, then: str = "close") -> Handler:
    """Reads a request, writes ``text``, and closes, resets or does nothing more."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(text)
        await writer.drain()
        if then == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()
        elif then == "wait":
            await reader.read()

    return handle
