"""Where a host is: names are looked up here, once, and only addresses that are allowed are
connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest

from triggers.core.verdict import Break
from triggers.senders.failures import Stop, words
from triggers.senders.reach import Reach, literal

LOOK_UPS = 32
"""Names that are looked up at once."""
KNOWN_SECONDS = 10.0
"""How long the addresses of a name are used again."""
MOST_KNOWN = 1024
HEAD_START = 0.25
"""Seconds until the next address of a host is tried beside the one before."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One address, as the system writes it."""

    family: int
    address: tuple[object, ...]


class Names:
    """Addresses by name. Names below ``localhost`` are this machine's by definition and are not
    looked up. Belongs to one loop."""

    def __init__(self) -> None:
        # Threads of its own: a look-up that hangs for half a minute must not keep others from the
        # few that a loop has by default.
        self._threads = ThreadPoolExecutor(LOOK_UPS, "look-up")
        self._known: dict[tuple[str, int], tuple[float, list[Spot]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Future[list[Spot]]] = {}

    async def spots(self, host: str, port: int, reach: Reach) -> list[Spot]:
        """The allowed ones, in the order to try them. Raises Stop: no such host, none allowed."""
        try:
            if _is_address(host):
                found = _look_up(host, port)
            else:
                found = await self._found(host, port)
        except (ValueError, UnicodeError):
            raise Stop(Break.UNUSABLE, f"{host[:100]!a} is not the name of a host") from None
        except OSError as error:
            raise Stop(Break.CONNECT, f"{host}:{port}: {words(error)}") from None
        if reach.idle:
            return found
        judged = [(spot, refused(reach, host, str(spot.address[0]))) for spot in found]
        allowed = [spot for spot, refusal in judged if refusal is None]
        if not allowed and judged:
            raise Stop(Break.FORBIDDEN, judged[-1][1] or "")
        return allowed

    async def _found(self, host: str, port: int) -> list[Spot]:
        loop = asyncio.get_running_loop()
        key = host, port
        known = self._known.get(key)
        if known is not None and loop.time() - known[0] < KNOWN_SECONDS:
            return known[1]
        asked = self._asked.get(key)
        if asked is None:
            name = "localhost" if host.lower().rstrip(".").endswith(".localhost") else host
            asked = loop.run_in_executor(self._threads, _look_up, name, port)
            asked.add_done_callback(lambda done: self._keep(key, loop.time(), done))
            self._asked[key] = asked
        # Others may be waiting for the same.
        return await asyncio.shield(asked)

    def _keep(self, key: tuple[str, int], now: float, done: asyncio.Future[list[Spot]]) -> None:
        self._asked.pop(key, None)
        if not done.cancelled() and done.exception() is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = now, done.result()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def refused(reach: Reach, host: str, spelled: str) -> str | None:
    """Why the address ``spelled``, that ``host`` has led to, is not allowed."""
    address = literal(spelled)
    if address is None:
        return f"the address {spelled} of {host} cannot be judged"
    return reach.of_address(host, address)


def in_turns(spots: Sequence[Spot]) -> list[Spot]:
    """Families take turns, the one that the system prefers first."""
    first = [spot for spot in spots if spot.family == spots[0].family]
    second = [spot for spot in spots if spot.family != spots[0].family]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [spot for spot in pairs if spot is not None]


async def connect(spots: Sequence[Spot]) -> socket.socket:
    """To the first that answers; each is given a little time before the next is tried beside it.
    Raises OSError, the one of the first address, if none does."""
    waiting = in_turns(spots)
    if len(waiting) == 1:
        return await _connect(waiting[0])
    tried: list[asyncio.Task[socket.socket]] = []
    running: set[asyncio.Task[socket.socket]] = set()
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(task := asyncio.ensure_future(_connect(waiting.pop(0))))
                tried.append(task)
            done, running = await asyncio.wait(
                running,
                timeout=HEAD_START if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner = next((task for task in done if task.exception() is None), None)
        if winner is None:
            raise (tried[0].exception() if tried else None) or OSError("the host has no address")
        return winner.result()
    finally:
        for task in tried:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_discard)


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(spot: Spot) -> socket.socket:
    sock = socket.socket(spot.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, spot.address)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> list[Spot]:
    """Blocks, unless ``host`` is an address. Raises OSError and UnicodeError."""
    flags = socket.AI_NUMERICHOST if _is_address(host) else socket.AI_ADDRCONFIG
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(Spot(family, address) for family, _, _, _, address in found))
