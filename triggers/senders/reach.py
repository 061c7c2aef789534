"""Which hosts targets may reach: two lists of names, suffixes and networks, off by default.

A name is judged before it is looked up, an address when it is connected to, so that a name that
points elsewhere a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field

from jobrunner.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = "private"
"""In a list: every address that is not of the public internet."""

_NAME = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Rules:
    """One list. ``suffixes`` begin with a dot and mean every name below."""

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    private: bool = False

    @property
    def by_address(self) -> bool:
        return self.private or bool(self.networks)

    def has_name(self, name: str) -> bool:
        return name in self.names or name.endswith(self.suffixes)

    def has_address(self, address: Address) -> bool:
        if self.private and (not address.is_global or address.is_multicast):
            return True
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Reach:
    """``deny`` wins over ``allow``; ``allow`` is ``None`` where everything is allowed that is not
    denied. Every answer is the reason of a refusal, ``None`` if there is none."""

    allow: Rules | None = None
    deny: Rules = field(default_factory=Rules)

    @property
    def idle(self) -> bool:
        return self.allow is None and self.deny == Rules()

    def of_host(self, host: str, *, seen: bool = True) -> str | None:
        """Of a host as a URL names it, before any look-up. ``seen`` is False where somebody else
        (a proxy) looks it up, and nobody here will see its address."""
        address = literal(host)
        if address is not None:
            return self.of_address(host, address)
        name = normal(host)
        if self.deny.has_name(name):
            return f"the host {name} is on the list of denied targets"
        if self.allow is None or self.allow.has_name(name):
            return None
        if self.allow.by_address and seen:
            return None
        return f"the host {name} is not on the list of allowed targets"

    def of_address(self, host: str, address: Address) -> str | None:
        """Of an address that ``host`` has led to. The name itself must have passed
        :meth:`of_host`, or be the address."""
        name = normal(host)
        shown = f"{name} ({address})" if name != str(address) else name
        address = embedded(address)
        if self.deny.has_address(address) or self.deny.has_name(name):
            return f"the address of {shown} is on the list of denied targets"
        if self.allow is None or self.allow.has_name(name) or self.allow.has_address(address):
            return None
        return f"the address of {shown} is not on the list of allowed targets"


def normal(host: str) -> str:
    """Lower case, without brackets, zone or final dot, and in the form that DNS sees."""
    name = host.strip("[]").partition("%")[0].lower().removesuffix(".")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def literal(host: str) -> Address | None:
    """The address that ``host`` spells, in any of the forms that the system's resolver reads
    (``127.1``, ``0x7f000001``); ``None`` for a name."""
    name = normal(host)
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    if not name[:1].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it is one of those."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def parse_rules(text: str, setting: str) -> Rules:
    """A list whose items stand between commas or blanks: ``example.com`` (that name),
    ``.example.com`` or ``*.example.com`` (every name below), an address, a network
    (``10.0.0.0/8``), or ``private``. Raises UsageError naming ``setting``."""
    names: list[str] = []
    suffixes: list[str] = []
    networks: list[Network] = []
    private = False
    for item in text.replace(",", " ").split():
        name = normal(item.removeprefix("*"))
        if item.lower() == PRIVATE:
            private = True
        elif (network := _network(item)) is not None:
            networks.append(network)
        elif name.startswith(".") and _NAME.fullmatch(name[1:]):
            suffixes.append(name)
        elif item[:1] != "*" and _NAME.fullmatch(name):
            names.append(name)
        else:
            raise UsageError(
                f"{setting}: '{item[:200]}' is not a name, a suffix (.example.com), an address,"
                f" a network (10.0.0.0/8) or the word {PRIVATE}"
            )
    return Rules(frozenset(names), tuple(suffixes), tuple(networks), private)


def _network(item: str) -> Network | None:
    try:
        return ipaddress.ip_network(item.strip("[]"))
    except ValueError:
        return None
