"""What went wrong on the way, as one of the reasons that an attempt can end with."""

from __future__ import annotations

import logging
import os
from typing import Any

import aiohttp
from aiohttp.http_exceptions import (
    ContentLengthError,
    PayloadEncodingError,
    TransferEncodingError,
)

from triggers.core.verdict import Break, Broken
from triggers.senders.connecting import ForbiddenAddress

log = logging.getLogger(__name__)


class Stop(Exception):
    """The attempt is over; ``broken`` is how."""

    def __init__(self, why: Break, message: str) -> None:
        super().__init__(message)
        self.broken = Broken(why, message)


def read_failure(error: Exception) -> Broken:
    """What the library raised, as an end of the attempt."""
    refusal = cause_of(error, ForbiddenAddress)
    if refusal is not None:
        return Broken(Break.FORBIDDEN, str(refusal))
    match error:
        case aiohttp.ClientSSLError():
            return Broken(Break.TLS, words(error.os_error))
        case aiohttp.ClientConnectorError():
            return Broken(Break.CONNECT, f"{error.host}:{error.port}: {words(error.os_error)}")
        case aiohttp.ClientHttpProxyError():
            return Broken(Break.CONNECT, f"the proxy answers {error.status} {error.message}")
        case aiohttp.ServerDisconnectedError():
            return Broken(Break.RESET, "the connection was closed before an answer came")
        case aiohttp.ClientOSError():
            return Broken(Break.RESET, words(error))
        case aiohttp.ClientPayloadError():
            coded = cause_of(error, PayloadEncodingError)
            # An answer that stops short is a broken connection, one that is wrong is not HTTP.
            if isinstance(coded, PayloadEncodingError) and not _cut_short(coded):
                return Broken(Break.PROTOCOL, f"the body of the answer: {words(coded)}")
            return Broken(Break.RESET, "the connection was closed within the answer")
        case PayloadEncodingError():
            return Broken(Break.PROTOCOL, f"the body of the answer: {words(error)}")
        case aiohttp.ClientResponseError():
            return Broken(Break.PROTOCOL, one_line(error.message) or "the answer is not HTTP")
        case aiohttp.ClientConnectionError():
            return Broken(Break.RESET, words(error))
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Broken(Break.UNUSABLE, f"the URL cannot be called: {words(error)}")
        case aiohttp.ClientError():
            return Broken(Break.PROTOCOL, words(error))
        case OSError():
            return Broken(Break.CONNECT, words(error))
    log.error("a bug while calling a target", exc_info=error)
    return Broken(Break.PROTOCOL, f"{type(error).__name__}: {words(error)}")


def _cut_short(error: Exception) -> bool:
    if isinstance(error, ContentLengthError):
        return True
    return isinstance(error, TransferEncodingError) and "Not enough data" in str(error)


def words(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    number = getattr(error, "errno", None)
    if number and str(reason).startswith("Connect call failed"):
        # asyncio's words for a call that the system has words for.
        reason = os.strerror(number)
    return one_line(str(reason))


def one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def cause_of(error: BaseException, kind: type[Exception]) -> Any:
    """The first error of ``kind`` among ``error`` and what it was made from; ``None`` without."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, kind):
            return one
        seen.add(id(one))
        waiting += [getattr(one, "os_error", None), one.__cause__, one.__context__]
    return None
