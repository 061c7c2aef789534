"""Calls an :class:`HttpTarget`: one request, its redirects where the contract follows them, and the
beginning of the answer, all within one deadline.

Whatever goes wrong on the way is a :class:`Broken` that says what. Nothing is ever raised but the
cancellation of the caller.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

from yarl import URL

from jobrunner.errors import JobrunnerError
from jobrunner.ports import MachineClock
from triggers.core.making import quick
from triggers.core.records import Delivery, HttpTarget, OAuthToken, OidcToken, SourceKind
from triggers.core.verdict import Answer, Break, Broken, follows_redirects
from triggers.ports import Sent
from triggers.senders.failures import Stop, read_failure
from triggers.senders.headers import UnusableHeader, body_of, default_audience, headers_of
from triggers.senders.options import SenderOptions
from triggers.senders.urls import becomes_get, read_url, redirected
from triggers.senders.wire.connection import Connection, Late
from triggers.senders.wire.pool import Pool
from triggers.senders.wire.request import Route, encoded, head, route
from triggers.senders.wire.response import EXCERPT, Gone, Reader
from triggers.senders.wire.trust import Trust

MOST_REDIRECTS = 10
MOST_STALE = 3
"""Connections that a server had closed, met one after the other; then a new one is made."""
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
        self._judged = not options.reach.idle
        self._trust = Trust(options.ca_file)
        self._pool: Pool | None = None

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if not isinstance(target, HttpTarget):
            return Sent(Broken(Break.UNUSABLE, "the target is not one that is called over HTTP"))
        until = asyncio.get_running_loop().time() + target.deadline
        try:
            return await self._call(delivery, target, number, until)
        except Stop as stop:
            return Sent(stop.broken)
        except Late:
            seconds = f"{target.deadline:g} s"
            return Sent(Broken(Break.DEADLINE, f"no complete answer within {seconds}"))
        except Exception as error:
            return Sent(read_failure(error))

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    # ------------------------------------------------------------ one attempt

    async def _call(
        self, delivery: Delivery, target: HttpTarget, number: int, until: float
    ) -> Sent:
        try:
            headers = headers_of(delivery, target)
        except UnusableHeader as error:
            raise Stop(Break.UNUSABLE, str(error)) from None
        if target.token is not None:
            await self._authorise(headers, target.token, delivery.source, target.url, until)
        method, body = target.method, body_of(delivery, target, number)
        if not _METHOD.fullmatch(method):
            raise Stop(Break.UNUSABLE, f"{method[:40]!a} is not an HTTP method")
        follow = target.follow_redirects and follows_redirects(delivery.source)
        url = read_url(target.url)
        hops = 0
        while True:
            way = self._way(url, target)
            lines = encoded(headers.items())
            if way.login is not None and not any(n.lower() == "authorization" for n in headers):
                # There can be one only, and the user's name in the URL is the weaker wish.
                lines += b"Authorization: " + way.login + b"\r\n"
            answer = await self._request(way, method, lines, body, until, target, follow)
            if not (follow and answer.redirects):
                return self._answered(answer)
            hops += 1
            if hops > MOST_REDIRECTS:
                raise Stop(Break.REDIRECTS, f"more than {MOST_REDIRECTS} redirects")
            there = redirected(url, answer.header(b"location") or "")
            headers = dict(headers)
            if there.origin() != url.origin():
                # A token is for whom it was made, and for nobody that he names.
                for name in [name for name in headers if name.lower() in _PERSONAL]:
                    del headers[name]
            if becomes_get(answer.status, method):
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
        until: float,
    ) -> None:
        audience = token.audience if isinstance(token, OidcToken) else ""
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                bearer = await self._bearers.bearer(
                    token, audience or default_audience(source, url)
                )
        except JobrunnerError as error:
            raise Stop(Break.CONNECT, f"no token: {error.message}") from None
        except TimeoutError:
            if limit.expired():
                raise Late from None
            raise
        for name in [name for name in headers if name.lower() == "authorization"]:
            del headers[name]
        headers["Authorization"] = f"Bearer {bearer}"

    async def _request(
        self, way: Route, method: str, lines: bytes, body: bytes, until: float,
        target: HttpTarget, follow: bool,
    ) -> Reader:  # fmt: skip
        """A server may close a connection that it thinks idle while the next request is on its way
        to it. That says nothing about the request, and it is made again."""
        pool = self._pool
        if pool is None:
            pool = self._pool = Pool(self._options.reach, self._trust)
        start = head(method, way, lines, len(body))
        stale = 0
        while True:
            connection: Connection | None = None
            if stale < MOST_STALE:
                connection = pool.take(way.place)
            if connection is None:
                connection = await pool.dial(way.place, until)
            used = connection.served
            try:
                answer = await connection.call(
                    start, body, until,
                    cap=target.response_cap, bodiless=method == "HEAD", follow=follow,
                )  # fmt: skip
            except Gone:
                if not used:
                    raise
                stale += 1
            else:
                pool.give(connection)
                return answer

    def _way(self, url: URL, target: HttpTarget) -> Route:
        """Where to, and by which proxy. The owner's own proxy may be anywhere; one that a target
        names is as suspect as the target."""
        spelled = target.proxy or self._options.proxy
        if spelled is None:
            if self._judged:
                self._judge(url.raw_host or "")
            return route(url, None, False, target.verify_tls)
        proxy = read_url(spelled)
        if self._judged:
            self._judge(url.raw_host or "", seen=False)
            if target.proxy:
                self._judge(proxy.raw_host or "")
        return route(url, proxy, not target.proxy, target.verify_tls)

    def _judge(self, host: str, *, seen: bool = True) -> None:
        reason = self._options.reach.of_host(host, seen=seen)
        if reason is not None:
            raise Stop(Break.FORBIDDEN, reason)

    def _answered(self, answer: Reader) -> Sent:
        after = answer.header(b"retry-after")
        excerpt = bytes(answer.excerpt)
        coding = answer.header(b"content-encoding") if excerpt else None
        if coding is not None:
            excerpt = _plain(excerpt, coding)
        if after is None:
            return _sent(_bare(answer.status), excerpt)
        return _sent(Answer(answer.status, self._seconds(after)), excerpt)

    def _seconds(self, text: str) -> float | None:
        """``Retry-After``: seconds, or a date."""
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock.now())
        except (ValueError, OverflowError):
            return None


_PERSONAL = frozenset({"authorization", "cookie"})
_sent = quick(Sent)


@lru_cache(maxsize=1024)
def _bare(status: int) -> Answer:
    return Answer(status)


def _plain(excerpt: bytes, coding: str) -> bytes:
    """The beginning of a compressed answer for people, as far as it goes."""
    if coding.lower() not in ("gzip", "x-gzip", "deflate"):
        return excerpt
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(excerpt, EXCERPT)
    except zlib.error:
        return excerpt
