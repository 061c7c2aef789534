"""A small HTTP server for the other end of a test: notes what it is sent, and answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answers = int | Iterable[int] | Callable[["Taken"], int]


@dataclass(frozen=True, slots=True)
class Taken:
    """One request. ``path`` is without the query. Names of headers are in lower case; ``status`` is
    what it was answered with."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    status: int = 0

    def json(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.body)


class Sink:
    """``requests`` is all that came, oldest first. ``answers`` is a status, statuses for one
    request after another (the last one stays), or a function of the request."""

    def __init__(self, answers: Answers = 200) -> None:
        self.requests: list[Taken] = []
        self._answers = answers if callable(answers) or isinstance(answers, int) else list(answers)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="sink", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, request: Taken) -> int:
        with self._lock:
            status = self._status(request)
            self.requests.append(replace(request, status=status))
        return status

    def _status(self, request: Taken) -> int:
        answers = self._answers
        if isinstance(answers, int):
            return answers
        if callable(answers):
            return answers(request)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path, _, query = self.path.partition("?")
            status = sink.take(Taken(self.command, path, query, headers, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """The test has the requests."""

    return Handler
