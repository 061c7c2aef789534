"""What is sent back: status, headers, bytes."""

from __future__ import annotations

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
from jobrunner.errors import JobrunnerError

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


def head(content_type: str) -> Headers:
    return [(b"content-type", content_type.encode("latin-1")), *_ALWAYS]


def whole(status: int, content_type: str, body: bytes, *more: tuple[bytes, bytes]) -> Reply:
    headers = [*head(content_type), (b"content-length", b"%d" % len(body)), *more]
    return Reply(status, headers, body)


def answered(answer: Answer, *, pretty: bool) -> Reply:
    """A body of ``None`` is Google's empty message."""
    body = answer.body
    if isinstance(body, bytes):
        return whole(answer.status, answer.content_type, body)
    encoded = encode({} if body is None else body, pretty=pretty)
    return whole(answer.status, answer.content_type, encoded)


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
    elif isinstance(error, Overloaded):
        more.append((b"retry-after", b"1"))
    if close or isinstance(error, TooSlow):
        more.append(CLOSE)
    return whole(status_of(error).http, JSON, encode(envelope(error)), *more)
