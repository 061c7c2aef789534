"""What is sent back: status, headers, bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobrunner.api.errors import (
    MethodNotAllowed,
    Overloaded,
    TooSlow,
    Unauthenticated,
    envelope,
    status_of,
)
from jobrunner.api.http.payload import encode
from jobrunner.calls import Answer
from jobrunner.errors import BacklogFull, JobrunnerError

JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
TEXT = "text/plain; charset=UTF-8"

Headers = list[tuple[bytes, bytes]]

_ALWAYS: Headers = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_PAGE: Headers = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, ready to be sent."""

    status: int
    headers: Headers
    body: bytes


NO_CONTENT = Reply(204, _ALWAYS, b"")


def head(content_type: str, more: Iterable[tuple[str, str]] = ()) -> Headers:
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in more]
    return [(b"content-type", content_type.encode("latin-1")), *_ALWAYS, *own]


def whole(status: int, content_type: str, body: bytes, *more: tuple[bytes, bytes]) -> Reply:
    headers = [*head(content_type), (b"content-length", b"%d" % len(body)), *more]
    return Reply(status, headers, body)


def answered(answer: Answer, *, pretty: bool) -> Reply:
    """A body of ``None`` is Google's empty message; 204 has none, and says nothing of it."""
    body = answer.body
    if answer.status == 204:
        if not answer.headers:
            return NO_CONTENT
        return Reply(204, head(answer.content_type, answer.headers)[1:], b"")
    if not isinstance(body, bytes):
        body = encode({} if body is None else body, pretty=pretty)
    length = (b"content-length", b"%d" % len(body))
    return Reply(answer.status, [*head(answer.content_type, answer.headers), length], body)


def page(html: str) -> Reply:
    return whole(200, HTML, html.encode(), *_PAGE)


def text(status: int, said: str) -> Reply:
    return whole(status, TEXT, said.encode() + b"\n")


def refused(error: JobrunnerError, *, close: bool = False) -> Reply:
    """The error in Google's envelope. With ``close`` the connection is not used again."""
    more: Headers = []
    if isinstance(error, MethodNotAllowed):
        more.append((b"allow", error.allow.encode("latin-1")))
    elif isinstance(error, Unauthenticated):
        more.append((b"www-authenticate", b"Bearer"))
    elif isinstance(error, (Overloaded, BacklogFull)):
        more.append((b"retry-after", b"1"))
    if close or isinstance(error, TooSlow):
        more.append(CLOSE)
    return whole(status_of(error).http, JSON, encode(envelope(error)), *more)
