"""One connected runner: frames in, frames out, and the templates it has sent."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

from jobrunner.backends.supervisor.attempt import Template
from jobrunner.backends.supervisor.protocol import LENGTH, Inbox

READ_BYTES = 256 * 1024
BACKLOG_BYTES = 64 * 1024 * 1024
"""A runner that takes nothing for so long is let go; it can come back and look."""

encode = json.JSONEncoder(separators=(",", ":")).encode


class Gone(Exception):
    """The other side is no longer there."""


class Peer:
    """``outbox`` holds the JSON text of each message for the frame at the end of this turn."""

    __slots__ = ("_backlog", "_inbox", "_poll", "fd", "greeted", "leaving", "outbox", "sock",
                 "templates")  # fmt: skip

    def __init__(self, sock: socket.socket, poll: select.epoll) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self._poll = poll
        self._inbox = Inbox()
        self._backlog = b""
        self.outbox: list[str] = []
        self.templates: dict[int, Template] = {}
        self.greeted = False
        self.leaving = False
        poll.register(self.fd, select.EPOLLIN)

    def receive(self) -> Iterator[list[Any]]:
        """The messages that have arrived. Raises Gone, and ValueError for what is no frame."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        for body in self._inbox.feed(data):
            yield from json.loads(body)

    def say(self, *message: object) -> None:
        self.outbox.append(encode(message))

    def flush(self) -> None:
        """Sends this turn's frame. Raises Gone."""
        if not self.outbox:
            return
        body = f"[{','.join(self.outbox)}]".encode()
        self.outbox.clear()
        self._send(LENGTH.pack(len(body)) + body)

    def resume(self) -> None:
        """The socket takes more again. Raises Gone."""
        rest, self._backlog = self._backlog, b""
        self._poll.modify(self.fd, select.EPOLLIN)
        self._send(rest)

    def _send(self, data: bytes) -> None:
        if self._backlog:
            self._backlog += data
            if len(self._backlog) > BACKLOG_BYTES:
                raise Gone
            return
        try:
            done = self.sock.send(data)
        except BlockingIOError:
            done = 0
        except OSError as error:
            raise Gone from error
        if done < len(data):
            self._backlog = data[done:]
            self._poll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def close(self) -> None:
        self._poll.unregister(self.fd)
        self.sock.close()
