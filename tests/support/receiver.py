"""A real HTTP server that takes deliveries, notes them, and answers as it is told."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    """``answer`` is called with the path and how often it was called, and gives a status; it may
    wait. ``began`` and ``done`` count by path; ``broken`` are answers that nobody took;
    ``received`` are all paths and bodies in their order."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[str, int], int] = lambda path, count: 200
        self.began: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.broken = 0
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.order: list[str] = []
        self.received: list[tuple[str, bytes]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away is no error."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        receiver = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with receiver.lock:
            count = receiver.began[self.path] + 1
            # Who waits for a body, without the lock, looks at the headers next; who waits for the
            # count looks at all of it.
            receiver.headers[self.path] = dict(self.headers.items())
            receiver.bodies[self.path] = body
            receiver.order.append(self.path)
            receiver.received.append((self.path, body))
            receiver.began[self.path] = count
        try:
            status = receiver.answer(self.path, count)
            said = b"said"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
        except OSError:
            with receiver.lock:
                receiver.broken += 1
            raise
        with receiver.lock:
            receiver.done[self.path] += 1

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
