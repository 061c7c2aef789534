"""Requests as bytes, and the place that each of them goes to. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from yarl import URL

from triggers.core.verdict import Break
from triggers.senders.failures import Stop

_TARGET = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]+")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods whose requests say nothing of a body where there is none."""


class Place(NamedTuple):
    """What connections are kept apart by. Requests in clear text that go through a proxy share
    those to the proxy, and their place is the proxy's. ``trusted``: the proxy is the owner's own,
    and no list applies to it."""

    host: str
    port: int
    tls: bool
    verify: bool = True
    proxy: URL | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """``rest`` is the head of a request behind its method, up to the headers of the caller.
    ``login`` is the Authorization that the URL itself names."""

    place: Place
    rest: bytes
    login: bytes | None


@lru_cache(maxsize=1024)
def route(url: URL, proxy: URL | None, trusted: bool, verify: bool) -> Route:
    """Raises Stop for a URL that no request can name."""
    host, port, secure = url.raw_host or "", url.port or 0, url.scheme == "https"
    shown, target = url.host_port_subcomponent or "", url.raw_path_qs or "/"
    login = basic(url)
    extra = b""
    if proxy is not None and not secure:
        target = f"http://{shown}{target}"
        place = Place("", 0, False, verify, proxy, trusted)
        if (known := basic(proxy)) is not None:
            extra = b"Proxy-Authorization: " + known + b"\r\n"
    else:
        place = Place(host, port, secure, verify or not secure, proxy, trusted)
    # Whatever the library lets through: neither can end its line.
    if not _TARGET.fullmatch(target) or not _HOST.fullmatch(shown):
        raise Stop(Break.UNUSABLE, f"{target[:200]!a} at {shown[:200]!a} cannot be asked for")
    rest = f" {target} HTTP/1.1\r\nHost: {shown}\r\n".encode("ascii")
    return Route(place, rest + extra, login)


def encoded(headers: Iterable[tuple[str, str]]) -> bytes:
    """Lines of headers that are known to be sendable: see :mod:`triggers.senders.headers`."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()


def head(method: str, way: Route, lines: bytes, size: int) -> bytes:
    """Of a request with a body of ``size`` bytes and the headers ``lines``."""
    if size == 0 and method in _WITHOUT_BODY:
        return b"%b%b%b\r\n" % (method.encode("ascii"), way.rest, lines)
    return b"%b%b%bContent-Length: %d\r\n\r\n" % (method.encode("ascii"), way.rest, lines, size)


def tunnel(place: Place) -> bytes:
    """The request to the proxy of ``place`` for a connection to its host."""
    shown = f"[{place.host}]" if ":" in place.host else place.host
    known = basic(place.proxy) if place.proxy is not None else None
    login = b"" if known is None else b"Proxy-Authorization: " + known + b"\r\n"
    line = f"CONNECT {shown}:{place.port} HTTP/1.1\r\nHost: {shown}:{place.port}\r\n"
    return line.encode("ascii") + login + b"\r\n"


def basic(url: URL) -> bytes | None:
    """The user and password that stand in a URL, as a credential."""
    if url.raw_user is None and url.raw_password is None:
        return None
    text = f"{url.user or ''}:{url.password or ''}"
    try:
        said = text.encode("latin-1")
    except UnicodeEncodeError:
        said = text.encode()
    return b"Basic " + b64encode(said)
