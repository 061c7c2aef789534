"""One connection: uvicorn's HTTP/1.1 protocol with the bounds and the forms that it lacks.

- Heads must be complete within a time and a size; so must what is left of a refused body.
- A target may be in absolute form, as a client sends it to a proxy; CONNECT is refused at once.
- What cannot be parsed is answered in Google's envelope, after the answers that are due before it.
- When the client leaves, whoever works for it alone is told.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
import time
from email.utils import formatdate
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from jobrunner.api.errors import (
    CallError,
    HeadTooLarge,
    MalformedCall,
    MethodNotAllowed,
    Overloaded,
    TooSlow,
)
from jobrunner.api.http import reply
from jobrunner.api.http.application import ABORT, ARRIVED, AUTHORITY, RESPOND, TASK
from jobrunner.api.http.limits import Limits
from jobrunner.api.http.reply import Reply

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)

TCP_USER_TIMEOUT = 18
"""Of Linux; not every build of Python names it."""

LARGE = 32 * 1024
"""Bytes of an answer that are sent apart from its head."""

LINGER = 2.0
"""Seconds for the client to take the last answer while it still sends."""

_quiet = logging.getLogger(f"{__name__}.protocol")
_quiet.setLevel(logging.CRITICAL + 1)
"""What uvicorn says about a request that cannot be parsed is said to the client instead."""


class Dated(ServerState):
    """What all connections of a server share; its headers tell the time."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self.stamp()

    def stamp(self) -> None:
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True).encode()
            self.default_headers = [(b"date", date)]


class Connection(HttpToolsProtocol):
    def __init__(
        self,
        config: Config,
        server_state: Dated,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self.logger = _quiet
        self.access_log = False
        self._dated = server_state
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._chunk = b""
        self._refusal: CallError | None = None
        self._ended: CallError | None = None
        self._active: RequestResponseCycle | None = None

    # ---------------------------------------------------------------- life of the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _set_options(transport, self._limits.send_seconds)
        if len(self.connections) > self._limits.connections:
            most = self._limits.connections
            self._end(Overloaded(f"the server has {most} connections already; try again"))
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        for cycle in (self._active, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        if self._active is not None:
            scope = cast(dict[str, Any], self._active.scope)
            task: asyncio.Task[Any] | None = scope.get(TASK)
            if task is not None:
                task.cancel()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._limits.send_seconds, self.transport.abort)

    # ---------------------------------------------------------------- bytes

    def data_received(self, data: bytes) -> None:
        if self._ended is not None:
            return
        in_head = self._in_head
        self._chunk = data
        super().data_received(data)
        self._chunk = b""
        if self._in_head and in_head:
            # All of it belongs to one head.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head:
                self._refuse(self._head_too_large())
        if self._deadline is None and self._idle() and not self.transport.is_closing():
            self._expect_head()

    def _latest(self) -> RequestResponseCycle | None:
        """The last request whose head is complete."""
        return cast(RequestResponseCycle | None, self.cycle)

    def _idle(self) -> bool:
        latest = self._latest()
        return latest is None or latest.response_complete

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self._limits.head_seconds, self._head_too_slow)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_too_slow(self) -> None:
        self._deadline = None
        if self._in_head:
            seconds = self._limits.head_seconds
            self._refuse(TooSlow(f"the headers did not arrive within {seconds:g} s"))
        else:
            self.transport.close()

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the request line and the headers are larger than {self._limits.head} bytes"
        )

    # ---------------------------------------------------------------- callbacks of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect_nothing()
        if self._head_bytes + len(self._chunk) > self._limits.head:
            self._check_head()
        if self.url[:1] != b"/":
            self._read_target()
        scope = cast(dict[str, Any], self.scope)
        scope[ABORT] = self.transport.abort
        scope[RESPOND] = self._respond
        scope[ARRIVED] = self._arrived
        self._dated.stamp()
        super().on_headers_complete()
        if self._active is None or self._active.response_complete:
            self._active = self.cycle

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.head:
            self._stop_parsing(self._head_too_large())

    def _read_target(self) -> None:
        """A target that does not begin with a slash: absolute (for a proxy), authority (CONNECT)
        or ``*``."""
        verb = self.parser.get_method()
        if verb == b"CONNECT":
            self._stop_parsing(
                MethodNotAllowed("this server is no proxy for other servers: no CONNECT", "")
            )
        absolute = _ABSOLUTE.fullmatch(self.url)
        if absolute is None:
            self._stop_parsing(MalformedCall("the request target does not begin with /"))
            return
        scope = cast(dict[str, Any], self.scope)
        scope[AUTHORITY] = absolute[1].decode("latin-1")
        self.url = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def _stop_parsing(self, error: CallError) -> None:
        self._refusal = error
        raise error

    # ---------------------------------------------------------------- bodies and answers

    def _arrived(self) -> bytes | None:
        """The body of the request that is being answered, if all of it is here: as one message of
        ASGI would bring it."""
        cycle = self._active
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.response_complete:
            return None
        if cycle.waiting_for_100_continue:
            return None
        # Whoever leaves from now on is to be noticed.
        self.flow.resume_reading()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def _respond(self, answer: Reply) -> bool:
        """Sends a whole answer to the request that is being answered; a small one in one write,
        where the two messages of ASGI would be two. False if that must wait for the client, who
        has not taken what was sent before."""
        cycle = self._active
        if cycle is None or cycle.disconnected:
            return True
        if self.flow.write_paused or cycle.response_started:
            return False
        close = not cycle.keep_alive or reply.CLOSE in answer.headers
        lines = [STATUS_LINE[answer.status]]
        for name, value in (*cycle.default_headers, *answer.headers):
            lines += (name, b": ", value, b"\r\n")
        if close and reply.CLOSE not in answer.headers:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        body = b"" if cycle.scope["method"] == "HEAD" else answer.body
        if len(body) > LARGE:
            # Copying it costs more than another call of the kernel.
            self.transport.write(b"".join(lines))
            self.transport.write(body)
        else:
            lines.append(body)
            self.transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if close:
            self.transport.close()
        cycle.on_response()
        return True

    # ---------------------------------------------------------------- upgrades

    def _should_upgrade(self) -> bool:
        """Leaves every request that wants another protocol to the method below."""
        return True

    def handle_websocket_upgrade(self) -> None:
        """No upgrade is taken, as a server may; the request is answered as if it had wanted none.
        The parser stops behind the head of such a request and would drop its body (Java's client
        sends every first POST so), so a new one reads it again, without the wish."""
        stopped = sys.exc_info()[1]
        assert isinstance(stopped, httptools.HttpParserUpgrade)
        rest = self._chunk[stopped.args[0] :]
        head = self._head_without_upgrade()
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def _head_without_upgrade(self) -> bytes:
        scope = cast(dict[str, Any], self.scope)
        origin = b"http://" + scope[AUTHORITY].encode("latin-1") if AUTHORITY in scope else b""
        version = scope["http_version"].encode("ascii")
        lines = [
            scope["method"].encode("ascii"),
            b" ",
            origin,
            self.url,
            b" HTTP/",
            version,
            b"\r\n",
        ]
        for name, value in self.headers:
            if name == b"connection":
                value = b"close" if b"close" in value.lower() else b"keep-alive"
            if name not in (b"upgrade", b"http2-settings"):
                lines += (name, b": ", value, b"\r\n")
        return b"".join([*lines, b"\r\n"])

    # ---------------------------------------------------------------- refusals

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or MalformedCall("this is not a valid HTTP/1.1 request"))

    def _refuse(self, error: CallError) -> None:
        """Ends the connection with ``error``, after the answers that are due before it."""
        if self._ended is not None:
            return
        self._expect_nothing()
        self._unset_keepalive_if_required()
        broken = self._latest()
        if broken is not None and broken.more_body and not broken.response_complete:
            # The body of this request is what cannot be read: the error is its answer.
            broken.disconnected = True
            broken.message_event.set()
            if self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline.popleft()
            elif broken.response_started:
                self.transport.abort()
                return
            else:
                self._end(error)
                return
        self._ended = error
        if not self.pipeline and (self._active is None or self._active.response_complete):
            self._end(error)

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._active = self.pipeline[-1][0]
        super().on_response_complete()
        if self._ended is not None and not self.pipeline and not self.transport.is_closing():
            if self._active is not None and not self._active.response_complete:
                return
            self._end(self._ended)

    def _end(self, error: CallError) -> None:
        self._ended = error
        self._dated.stamp()
        answer = reply.refused(error, close=True)
        lines = [STATUS_LINE[answer.status]]
        for name, value in (*self._dated.default_headers, *answer.headers):
            lines.append(name + b": " + value + b"\r\n")
        self.transport.write(b"".join([*lines, b"\r\n", answer.body]))
        if self.transport.can_write_eof():
            # Closing with unread bytes in the kernel would reset the connection, and the answer
            # might be lost: read on for a moment.
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()


def _set_options(transport: asyncio.Transport, seconds: float) -> None:
    """What is written is sent at once; and the kernel ends a connection whose peer takes nothing
    of what is sent for ``seconds``."""
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, int(seconds * 1000))
