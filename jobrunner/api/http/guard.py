"""Who may call: own host names, no foreign web page, a token, a role. Decisions only, no I/O.

A page that is open in the user's browser can send requests to a server on the same machine. It is
kept out twice: a name that an attacker points at 127.0.0.1 is not ours (``Host``), and a browser
tells which page a request comes from (``Origin``, ``Sec-Fetch-*``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from jobrunner.api.errors import MalformedCall, Overloaded, PermissionDenied, Unauthenticated
from jobrunner.calls import Method, Principal, Role
from jobrunner.errors import Refused, StoreFault

Authenticator = Callable[[str | None, bool], Principal | None]
"""Who calls: by the bearer token, or ``None`` without one, and whether the server listens on
loopback only. ``None`` for a stranger."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_REGION = re.compile(r"([a-z]+-[a-z]+[0-9]+)-(.+)")
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)

OWN_NAMES = ("localhost", "run.test")
"""Beside these: every name below ``localhost``, which belongs to this machine by definition."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host as a request names it. ``name`` is lower-case, an IPv6 address without brackets."""

    name: str
    region: str | None


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The names that this server answers to. ``names`` are host names without ports; each may
    carry the prefix of a region. With ``any_address`` every IP address is ours too: the server
    listens on all of them."""

    names: frozenset[str] = frozenset(OWN_NAMES)
    any_address: bool = False
    _seen: dict[str, Host] = field(default_factory=dict, compare=False, repr=False)

    def host(self, authority: str) -> Host:
        """Reads ``HOST[:PORT]``. Raises MalformedCall if it is none, PermissionDenied if it is not
        ours."""
        host = self._seen.get(authority)
        if host is None:
            host = self._judge(authority)
            if len(self._seen) < 256:
                self._seen[authority] = host
        return host

    def _judge(self, authority: str) -> Host:
        read = _AUTHORITY.fullmatch(authority)
        if read is None:
            raise MalformedCall(f"{authority[:200]!a} is not a host name with or without a port")
        name = read["host"].strip("[]").lower().removesuffix(".")
        regional = _REGION.fullmatch(name)
        if regional and self._owns(regional[2]):
            return Host(name, regional[1])
        if self._owns(name):
            return Host(name, None)
        raise PermissionDenied(
            f"this server does not answer to the host name '{name[:200]}'",
            hint="Use localhost or the address it listens on, or start the server with"
            f" --allow-host {name[:200]} if that is its name.",
        )

    def _owns(self, name: str) -> bool:
        if name in self.names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.any_address


def own_names(listening: str, extra: Iterable[str] = ()) -> OwnNames:
    """For a server that listens on the host ``listening`` and is known by ``extra`` names."""
    names = {*OWN_NAMES, *(name.lower() for name in extra), listening.lower().strip("[]")}
    return OwnNames(frozenset(names), any_address=listening in ("0.0.0.0", "::", ""))


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, *, has_tokens: bool, insecure: bool) -> None:
    """Raises Refused for a server that strangers could reach and nobody would have to prove
    anything to."""
    if insecure or has_tokens or is_loopback(host):
        return
    raise Refused(
        f"--host {host} would let everybody who reaches this machine start processes:"
        " there is no token yet.",
        hint="Make one first: jobrunner tokens create NAME --role invoker. Or, on a network"
        " where you trust everybody: --insecure",
    )


def check_page(verb: str, headers: Mapping[bytes, bytes], *, secure: bool, authority: str) -> None:
    """Refuses what a web page of another origin has sent. Programs send none of these headers.

    ``headers`` has those of ``origin``, ``sec-fetch-site``, ``sec-fetch-mode`` and
    ``sec-fetch-dest`` that the request brought; ``authority`` is the host and port it names.
    """
    origin = headers.get(b"origin")
    if origin is not None:
        ours = f"{'https' if secure else 'http'}://{authority}".lower()
        if origin.decode("latin-1").lower() != ours:
            raise _foreign(ascii(origin[:200].decode("latin-1")))
    site = headers.get(b"sec-fetch-site")
    if site in (None, b"same-origin", b"none"):
        return
    # A link on another page that the user follows: the browser shows the answer to the user and to
    # nobody else.
    followed = (
        verb in ("GET", "HEAD")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
    if not followed:
        raise _foreign("another site")


def _foreign(origin: str) -> PermissionDenied:
    return PermissionDenied(f"requests from web pages of {origin} are refused")


def bearer(header: bytes | None) -> str | None:
    """The token of an ``Authorization`` header; ``None`` without the header."""
    if header is None:
        return None
    read = _BEARER.fullmatch(header.decode("latin-1").strip())
    if read is None:
        raise Unauthenticated("the header Authorization is not of the form 'Bearer TOKEN'")
    return read[1]


def identify(authenticate: Authenticator, token: str | None, *, loopback: bool) -> Principal:
    """Raises Unauthenticated for a stranger, and Overloaded while nobody can be told from one:
    where the database is and what ails it is not for strangers."""
    try:
        principal = authenticate(token, loopback)
    except StoreFault:
        raise Overloaded("tokens cannot be looked up now: the database cannot be used") from None
    if principal is not None:
        return principal
    if token is None:
        raise Unauthenticated(
            "this server wants a token, and the request has none",
            hint="Make one on the server with 'jobrunner tokens create', and send it as"
            " 'Authorization: Bearer TOKEN' (the command line takes it from JOBRUNNER_TOKEN).",
        )
    raise Unauthenticated("the token is unknown, expired or revoked")


def allow(principal: Principal, method: Method, resource: str = "") -> None:
    """Raises PermissionDenied if the role of ``principal`` is not enough for ``method``."""
    if principal.role >= method.role:
        return
    raise PermissionDenied(
        f"Permission '{method.name}' denied on resource '{resource or method.path}'"
        " (or resource may not exist).",
        hint=f"'{principal.name}' has the role {principal.role.name.lower()};"
        f" {_needed(method.role)} is needed.",
    )


def _needed(role: Role) -> str:
    return " or ".join(other.name.lower() for other in Role if other >= role)
