"""Calls an :class:`HttpTarget`: one request, its redirects where the contract follows them, and the
beginning of the answer, all within one deadline.

Whatever goes wrong on the way is a :class:`Broken` that says what. Nothing is ever raised but the
cancellation of the caller.

Imports aiohttp, which takes 0.1 s: whoever needs no HTTP call does not import this.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
from yarl import URL

from jobrunner.errors import JobrunnerError
from jobrunner.ports import MachineClock
from triggers.core.records import Delivery, HttpTarget, OAuthToken, OidcToken, SourceKind
from triggers.core.verdict import Answer, Break, Broken, follows_redirects
from triggers.ports import Sent
from triggers.senders.connecting import REUSED, Trust, make_session
from triggers.senders.failures import Stop, read_failure, words
from triggers.senders.headers import UnusableHeader, body_of, default_audience, headers_of
from triggers.senders.options import SenderOptions
from triggers.senders.reach import Reach
from triggers.senders.urls import becomes_get, read_url, redirected

EXCERPT = 4096
"""Bytes of an answer that are kept."""
MOST_REDIRECTS = 10
MOST_STALE = 3
"""Connections that a server had closed, met one after the other."""
_STALE = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")


class Bearers(Protocol):
    """Makes the tokens that calls carry."""

    async def bearer(self, token: OidcToken | OAuthToken, audience: str) -> str:
        """Raises JobrunnerError where none can be had now."""
        ...


class HttpSender:
    """:class:`triggers.ports.Sender` for HttpTargets. Belongs to the loop of its first call."""

    def __init__(self, options: SenderOptions, bearers: Bearers, clock: MachineClock) -> None:
        self._options = options
        self._bearers = bearers
        self._clock = clock
        self._trust = Trust(options.ca_file)
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if not isinstance(target, HttpTarget):
            return Sent(Broken(Break.UNUSABLE, "the target is not one that is called over HTTP"))
        limit = asyncio.timeout(target.deadline)
        try:
            async with limit:
                return await self._call(delivery, target, number)
        except Stop as stop:
            return Sent(stop.broken)
        except TimeoutError as error:
            if limit.expired():
                seconds = f"{target.deadline:g} s"
                return Sent(Broken(Break.DEADLINE, f"no complete answer within {seconds}"))
            return Sent(Broken(Break.CONNECT, words(error)))
        except Exception as error:
            return Sent(read_failure(error))

    async def close(self) -> None:
        for session in (self._direct, self._proxied):
            if session is not None:
                await session.close()
        self._direct = self._proxied = None

    # ------------------------------------------------------------ one attempt

    async def _call(self, delivery: Delivery, target: HttpTarget, number: int) -> Sent:
        try:
            headers = headers_of(delivery, target)
        except UnusableHeader as error:
            raise Stop(Break.UNUSABLE, str(error)) from None
        if target.token is not None:
            await self._authorise(headers, target.token, delivery.source, target.url)
        method, body = target.method, body_of(delivery, target, number)
        if not _METHOD.fullmatch(method):
            raise Stop(Break.UNUSABLE, f"{method[:40]!a} is not an HTTP method")
        follow = target.follow_redirects and follows_redirects(delivery.source)
        url = read_url(target.url)
        hops = 0
        while True:
            response = await self._request(url, method, headers, body, target)
            try:
                location = response.headers.get("Location")
                if not follow or location is None or response.status not in _REDIRECTS:
                    return await self._answered(response, target.response_cap)
            finally:
                # What was not read to its end is closed with its connection.
                response.release()
            hops += 1
            if hops > MOST_REDIRECTS:
                raise Stop(Break.REDIRECTS, f"more than {MOST_REDIRECTS} redirects")
            there = redirected(url, location)
            headers = dict(headers)
            if there.origin() != url.origin():
                # A token is for whom it was made, and for nobody that he names.
                for name in [name for name in headers if name.lower() in _PERSONAL]:
                    del headers[name]
            if becomes_get(response.status, method):
                method, body = "GET", b""
                for name in [name for name in headers if name.lower().startswith("content-")]:
                    del headers[name]
            url = there

    async def _authorise(
        self,
        headers: dict[str, str],
        token: OidcToken | OAuthToken,
        source: SourceKind,
        url: str,
    ) -> None:
        audience = token.audience if isinstance(token, OidcToken) else ""
        try:
            bearer = await self._bearers.bearer(token, audience or default_audience(source, url))
        except JobrunnerError as error:
            raise Stop(Break.CONNECT, f"no token: {error.message}") from None
        for name in [name for name in headers if name.lower() == "authorization"]:
            del headers[name]
        headers["Authorization"] = f"Bearer {bearer}"

    async def _request(
        self, url: URL, method: str, headers: Mapping[str, str], body: bytes, target: HttpTarget
    ) -> aiohttp.ClientResponse:
        """A server may close a connection that it thinks idle while the next request is on its way
        to it. That says nothing about the request, and it is made again."""
        session, proxy = self._way(url, target)
        if url.raw_user is not None and any(name.lower() == "authorization" for name in headers):
            # There can be one only, and the user's name in the URL is the weaker wish.
            url = url.with_user(None)
        secured = self._tls(target.verify_tls) if url.scheme == "https" else True
        stale = 0
        while True:
            REUSED.set(True)
            try:
                return await session.request(
                    method,
                    url,
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    ssl=secured,
                    proxy=proxy,
                )
            except _STALE:
                stale += 1
                if not REUSED.get() or stale > MOST_STALE:
                    raise

    def _way(self, url: URL, target: HttpTarget) -> tuple[aiohttp.ClientSession, URL | None]:
        """The pool of connections to use, and the proxy. The owner's own proxy may be anywhere;
        one that a target names is as suspect as the target."""
        reach, spelled = self._options.reach, target.proxy or self._options.proxy
        proxy = read_url(spelled) if spelled else None
        if not reach.idle:
            reason = reach.of_host(url.raw_host or "", seen=proxy is None)
            if reason is None and target.proxy and proxy is not None:
                reason = reach.of_host(proxy.raw_host or "")
            if reason is not None:
                raise Stop(Break.FORBIDDEN, reason)
        if proxy is not None and not target.proxy:
            if self._proxied is None:
                self._proxied = make_session(Reach())
            return self._proxied, proxy
        if self._direct is None:
            self._direct = make_session(reach)
        return self._direct, proxy

    def _tls(self, verify: bool) -> ssl.SSLContext:
        try:
            return self._trust.context(verify)
        except OSError as error:
            path = self._options.ca_file
            raise Stop(Break.TLS, f"the file of authorities {path}: {words(error)}") from None

    async def _answered(self, response: aiohttp.ClientResponse, cap: int) -> Sent:
        """Reads to the end, so that the connection serves again, but not beyond ``cap``."""
        kept = bytearray()
        rest = cap
        while rest > 0 and (piece := await response.content.readany()):
            if len(kept) < EXCERPT:
                kept += piece[: EXCERPT - len(kept)]
            rest -= len(piece)
        if not response.content.at_eof():
            response.close()
        coding = response.headers.get("Content-Encoding", "")
        retry_after = self._seconds(response.headers.get("Retry-After"))
        return Sent(Answer(response.status, retry_after), _plain(bytes(kept[:cap]), coding))

    def _seconds(self, text: str | None) -> float | None:
        """``Retry-After``: seconds, or a date."""
        if text is None:
            return None
        text = text.strip()
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock.now())
        except (ValueError, OverflowError):
            return None


_PERSONAL = frozenset({"authorization", "cookie"})


def _plain(excerpt: bytes, coding: str) -> bytes:
    """The beginning of a compressed answer for people, as far as it goes."""
    if coding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return excerpt
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(excerpt, EXCERPT)
    except zlib.error:
        return excerpt
