"""A server that answers as badly as its paths say, on real connections."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HUGE = 64 * 1024 * 1024
LATE_SECONDS = 4.5
IDLE_SECONDS = 0.3

Headers = dict[str, str]


class BadSink(socketserver.ThreadingTCPServer):
    """The first word of a path says what its first call meets; later calls get 200. ``calls``
    counts by path, ``seen`` are the last headers and body, ``poured`` the bytes of huge answers."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.calls: Counter[str] = Counter()
        self.seen: dict[str, tuple[str, Headers, bytes]] = {}
        self.poured = 0
        self.answered_late: list[str] = []
        self.lock = threading.Lock()
        self.other = ""
        """Where ``/elsewhere`` sends its callers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away is no error."""


class _Connection(socketserver.BaseRequestHandler):
    server: BadSink
    request: socket.socket

    def handle(self) -> None:
        reader = self.request.makefile("rb")
        while line := reader.readline().decode():
            headers: Headers = {}
            while (field := reader.readline().decode()) not in ("\r\n", ""):
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", "0")))
            verb, path, _ = line.split(" ", 2)
            sink = self.server
            with sink.lock:
                sink.calls[path] += 1
                first = sink.calls[path] == 1
                sink.seen[path] = verb, headers, body
            kind = path.split("/")[1]
            always = kind in ("loop", "elsewhere", "idle")
            answer = _ANSWERS.get(kind) if first or always else None
            if answer is None:
                self.request.sendall(OK)
            elif answer(self):
                return

    # Each says whether the connection is over.

    def refuse(self) -> bool:
        self.request.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nsad!")
        return False

    def hang(self) -> bool:
        self.request.recv(1)
        return True

    def reset(self) -> bool:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return True

    def trickle(self) -> bool:
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            self.request.sendall(b"x")
            time.sleep(0.05)

    def loop(self) -> bool:
        self.request.sendall(b"HTTP/1.1 302 X\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n")
        return False

    def elsewhere(self) -> bool:
        there = f"Location: {self.server.other}/arrived\r\n".encode()
        self.request.sendall(b"HTTP/1.1 307 X\r\n" + there + b"Content-Length: 0\r\n\r\n")
        return False

    def late(self) -> bool:
        time.sleep(LATE_SECONDS)
        self.server.answered_late.append("late")
        self.request.sendall(OK)
        return False

    def garbage(self) -> bool:
        self.request.sendall(b"\x16\x03\x01\x00\xff{}[]\r\n\r\n")
        return True

    def idle(self) -> bool:
        """Answers, and closes what is not used again soon, without a word."""
        self.request.sendall(OK)
        self.request.settimeout(IDLE_SECONDS)
        try:
            return not self.request.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.request.settimeout(None)

    def huge(self) -> bool:
        self.request.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n".encode())
        piece = b"y" * 65536
        for _ in range(HUGE // len(piece)):
            self.request.sendall(piece)
            self.server.poured += len(piece)
        return False


_ANSWERS: dict[str, Callable[[_Connection], bool]] = {
    "refuse": _Connection.refuse,
    "hang": _Connection.hang,
    "reset": _Connection.reset,
    "trickle": _Connection.trickle,
    "loop": _Connection.loop,
    "elsewhere": _Connection.elsewhere,
    "late": _Connection.late,
    "garbage": _Connection.garbage,
    "idle": _Connection.idle,
    "huge": _Connection.huge,
}


@contextlib.contextmanager
def bad_sink() -> Iterator[BadSink]:
    sink = BadSink()
    thread = threading.Thread(target=sink.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.shutdown()
        sink.server_close()
