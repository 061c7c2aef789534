"""Reading one request: the headers that matter, and the body within its bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from jobrunner.api.errors import MalformedCall, TooLarge, TooSlow, WrongContentType
from jobrunner.api.http.limits import Limits
from jobrunner.api.http.payload import decode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Arrived = Callable[[], bytes | None]
"""The whole body if it is there already: most come with their head, and need no clock."""

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
LONGEST_KEY = 255

_SINGLE = frozenset(
    {
        b"host", b"authorization", b"origin", b"content-type", b"content-length",
        b"idempotency-key", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest",
    }
)  # fmt: skip
_JSON = re.compile(rb"application/(?:json|[a-z0-9.-]+\+json) *(?:; *charset=\"?utf-8\"? *)?", re.I)
_KEY = re.compile(rb"[\x21-\x7e]+")


def nothing_yet() -> bytes | None:
    return None


class ClientGone(Exception):
    """The client left before its request was complete; there is nobody to answer."""


def read_headers(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """By lower-case name. A header of ours that occurs twice has two readings and is refused."""
    found = dict(headers)
    if len(found) < len(headers):
        seen: set[bytes] = set()
        for name, _ in headers:
            if name in seen and name in _SINGLE:
                raise MalformedCall(f"the header {name.decode('latin-1')} occurs twice")
            seen.add(name)
    return found


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    key = headers.get(b"idempotency-key")
    if not key:
        return None
    if len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
        raise MalformedCall(
            f"the header Idempotency-Key is not 1 to {LONGEST_KEY} visible ASCII characters"
        )
    return key.decode("ascii")


async def read_body(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    limits: Limits,
    arrived: Arrived = nothing_yet,
) -> dict[str, Any] | None:
    """The JSON object of the body; ``None`` without one. Raises WrongContentType, TooLarge,
    TooSlow, MalformedCall or ClientGone."""
    kind = headers.get(b"content-type")
    # A form of a web page can send text/plain and the like to any server, but not this one.
    if kind and not _JSON.fullmatch(kind):
        raise WrongContentType(
            f"the content type {kind[:100].decode('latin-1')!a} is not application/json",
            hint="Send the header 'Content-Type: application/json'.",
        )
    body = await read_bytes(headers, receive, limits, arrived)
    return decode(body) if body else None


async def read_bytes(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    limits: Limits,
    arrived: Arrived = nothing_yet,
) -> bytes:
    """The body as it came; empty without one. Raises TooLarge, TooSlow or ClientGone."""
    length = headers.get(b"content-length")
    if length == b"0" or (length is None and b"transfer-encoding" not in headers):
        return b""
    if length is not None and int(length) > limits.body:
        raise _too_large(limits)
    body = arrived()
    if body is None:
        return await _received(receive, limits)
    if len(body) > limits.body:
        raise _too_large(limits)
    return body


async def _received(receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > limits.body:
                    raise _too_large(limits)
                if not message.get("more_body"):
                    return b"".join([*parts, part]) if parts else bytes(part)
                parts.append(part)
    except TimeoutError:
        raise TooSlow(
            f"the body did not arrive within {limits.body_seconds:g} s:"
            f" {size} bytes came, and the end was not among them"
        ) from None


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the body is larger than {limits.body} bytes")
