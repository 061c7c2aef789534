"""Requests for another server that clients of ours reach through us: one name each, and no other.

A client that has this server as its proxy (gcloud has) sends it what is meant for a neighbour, too.
Only plain HTTP with small bodies is passed on. The caller proves to us who he is; his token is ours
and never leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobrunner.api.errors import DeadlineExceeded, Overloaded, PermissionDenied
from jobrunner.api.http import reply
from jobrunner.api.http.reply import Reply
from jobrunner.calls import Principal, Role
from jobrunner.errors import Refused
from jobrunner.service.parts import Neighbour

CONNECT_SECONDS = 5.0
SECONDS = 110.0
"""A pull of Pub/Sub waits for a minute and a half."""
LARGEST = 32 * 1024 * 1024
"""Bytes of an answer."""
_CHANGES = frozenset({"PUT", "PATCH", "DELETE"})
_PASSED_ON = (b"accept", b"content-type", b"user-agent")


@dataclass(frozen=True, slots=True)
class Passing:
    """A request that is passed on as it is. ``target`` is path and query."""

    verb: str
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


class Forwards:
    """``neighbours`` is what may be reached."""

    def __init__(self, neighbours: Iterable[Neighbour] = ()) -> None:
        self._by_name = {one.name: one for one in neighbours}
        self._by_authority = {one.authority: one for one in neighbours if one.authority}

    def find(self, authority: str, *, absolute: bool) -> Neighbour | None:
        """Who is meant by ``HOST[:PORT]``. The authority of a neighbour itself counts in a target
        in ``absolute`` form only; the name that we have for it in any."""
        if not self._by_name:
            return None
        wanted = authority.lower()
        if absolute and (found := self._by_authority.get(wanted)) is not None:
            return found
        return self._by_name.get(wanted.partition(":")[0])


def check_role(principal: Principal, verb: str, neighbour: Neighbour) -> None:
    """Raises PermissionDenied."""
    needed = Role.VIEWER if verb in ("GET", "HEAD") else Role.INVOKER
    if principal.role < needed:
        raise PermissionDenied(
            f"'{principal.name}' may read at {neighbour.what}, and no more",
            hint=f"The role {needed.name.lower()} is needed.",
        )


async def forward(neighbour: Neighbour, passing: Passing) -> Reply:
    """Its answer. Raises Refused where there is no such neighbour, Overloaded while it does not
    answer, DeadlineExceeded."""
    if not neighbour.authority:
        raise Refused(f"There is no {neighbour.what} here.", hint=neighbour.hint)
    import aiohttp
    from yarl import URL

    url = URL(f"http://{neighbour.authority}{passing.target.decode('latin-1')}", encoded=True)
    headers = {
        name.decode("latin-1"): passing.headers[name].decode("latin-1")
        for name in _PASSED_ON
        if name in passing.headers
    }
    away = f"{neighbour.what} at {neighbour.authority}"
    limit = aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, auto_decompress=True, trust_env=False) as session,
            session.request(
                passing.verb, url, data=passing.body, headers=headers, allow_redirects=False,
                skip_auto_headers=("User-Agent", "Content-Type"),
            ) as answer,
        ):  # fmt: skip
            body = await _read(answer, away)
            if neighbour.changed is not None and passing.verb in _CHANGES and answer.status < 300:
                await neighbour.changed(passing.target.decode("latin-1"))
            kind = answer.headers.get("Content-Type", reply.TEXT)
            return reply.whole(answer.status, kind, body)
    except asyncio.TimeoutError:  # noqa: UP041
        raise DeadlineExceeded(f"{away} did not answer in time") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Overloaded(f"{away} does not answer: {error}") from None


async def _read(answer: Any, away: str) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > LARGEST:
            raise Overloaded(f"the answer of {away} is larger than {LARGEST} bytes")
        parts.append(part)
    return b"".join(parts)
