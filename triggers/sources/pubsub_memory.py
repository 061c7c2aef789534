"""What there is in the Pub/Sub emulator, made again when it was restarted: it forgets everything.

Topics and subscriptions of the projects that this server knows of are read every two seconds, and
when somebody has changed them through us; those that push are among them. A topic of our own, in a
project that nobody looks at, tells one life of the emulator from the next. So what somebody has
deleted stays deleted.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from triggers.event_ports import PubsubTrouble

POLL_SECONDS = 2.0
PATIENCE = 5.0
_ROOMS = ("topics", "subscriptions")
"""In the order in which they are made."""
_SAID_ONLY = ("name", "state", "detached", "topicMessageRetentionDuration")
"""Fields that nobody sets."""
_PROJECT = re.compile(r"/v1/projects/([^/?:]+)/")

Document = dict[str, Any]

log = logging.getLogger("jobrunner.events")


class EmulatorMemory:
    """Of the emulator at ``HOST:PORT``. ``projects`` are those that are looked at, beside those
    that somebody has written to through us; it may raise StoreFault."""

    def __init__(
        self, host: str, projects: Callable[[], Iterable[str]], *, poll: float = POLL_SECONDS
    ) -> None:
        self._host = host
        self._projects = projects
        self._poll = poll
        self._written: set[str] = set()
        self._known: dict[str, Document] = {}
        self._mark = f"projects/jobrunner-servers/topics/life-{secrets.token_hex(8)}"
        self._news = Bell()
        self._waiting: list[asyncio.Future[None]] = []
        self._running = False

    async def written(self, path: str) -> None:
        """Something at ``path`` was changed through us; until that is known here, some seconds at
        most."""
        found = _PROJECT.match(path)
        if found is None or not self._running:
            return
        self._written.add(found[1])
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._news.ring()
        with suppress(TimeoutError):
            await asyncio.wait_for(turn, PATIENCE)

    async def run(self) -> None:
        """Until it is cancelled."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=PATIENCE)
        self._running = True
        async with aiohttp.ClientSession(timeout=limit) as session:
            while True:
                self._news.silence()
                waiting, self._waiting = self._waiting, []
                try:
                    await self._turn(session)
                except PubsubTrouble as trouble:
                    log.debug("The emulator is not looked at: %s", trouble)
                except JobrunnerError as error:
                    log.warning("The emulator is not looked at: %s", error)
                for turn in waiting:
                    if not turn.done():
                        turn.set_result(None)
                await self._news.heard(self._poll)

    async def _turn(self, session: Any) -> None:
        if not await self._is_marked(session):
            for name, one in self._known.items():
                await self._make(session, name, one)
            await self._ask(session, "PUT", self._mark, {})
            if self._known:
                log.info(
                    "The emulator has forgotten topics and subscriptions; they are made again."
                )
        found: dict[str, Document] = {}
        for project in sorted({*self._projects(), *self._written}):
            for room in _ROOMS:
                await self._read(session, f"projects/{project}/{room}", room, found)
        # Asked once more: all of that was read in one life.
        if await self._is_marked(session):
            self._known = found

    async def _is_marked(self, session: Any) -> bool:
        status, _ = await self._ask(session, "GET", self._mark)
        if status not in (200, 404):
            raise PubsubTrouble(f"the emulator at {self._host} answers {status}")
        return status == 200

    async def _read(self, session: Any, path: str, room: str, found: dict[str, Document]) -> None:
        token = ""
        while True:
            status, page = await self._ask(session, "GET", f"{path}?pageToken={token}")
            if status != 200:
                raise PubsubTrouble(f"the emulator at {self._host} answers {status}")
            found.update((str(one["name"]), one) for one in page.get(room, ()))
            token = page.get("nextPageToken", "")
            if not token:
                return

    async def _make(self, session: Any, name: str, one: Document) -> None:
        body = {key: value for key, value in one.items() if key not in _SAID_ONLY}
        status, said = await self._ask(session, "PUT", name, body)
        if status not in (200, 409):
            log.warning("%s cannot be made again: the emulator answers %d: %.300s",
                        name, status, said)  # fmt: skip

    async def _ask(
        self, session: Any, verb: str, path: str, body: Document | None = None
    ) -> tuple[int, Document]:
        """Raises PubsubTrouble where it does not answer."""
        import aiohttp

        try:
            async with session.request(verb, f"http://{self._host}/v1/{path}", json=body) as answer:
                said = await answer.json(content_type=None)
                return answer.status, said if isinstance(said, dict) else {}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise PubsubTrouble(f"the emulator at {self._host}: {error}") from None
