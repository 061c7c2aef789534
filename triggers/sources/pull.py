"""Keeps a stream open to each subscription of Pub/Sub that somebody here consumes.

Who consumes is asked again when something was changed, and each second: another process may have
changed it. A consumer with another key is another one; the stream of the old one gives back what it
holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from triggers.event_ports import Consumer
from triggers.sources.pubsub_link import Link, LinkFault, open_link
from triggers.sources.pull_stream import Stream, StreamCounts, StreamLimits

POLL_SECONDS = 1.0
FAULT_SECONDS = 1.0
LINK_SECONDS = 30.0
"""Between two tries to find the package, or credentials."""
STOP_SECONDS = 2.0
LOOK_SECONDS = 5.0
READY_SECONDS = 10.0
"""For a change to have reached Pub/Sub: the package is imported with the first subscription."""

DEFAULTS = StreamLimits()

Consumers = Callable[[], Sequence[Consumer]]
"""All that there are now. Raises StoreFault."""

log = logging.getLogger("jobrunner.pull")


class Puller:
    def __init__(
        self,
        consumers: Sequence[Consumers],
        *,
        link: Callable[[], Awaitable[Link]] = open_link,
        limits: StreamLimits = DEFAULTS,
        poll: float = POLL_SECONDS,
    ) -> None:
        """``consumers`` has one function for each kind of them."""
        self._consumers = consumers
        self._make_link = link
        self._limits = limits
        self._poll = poll
        self._link: Link | None = None
        self._link_at = 0.0
        self._told = ""
        self._streams: dict[str, tuple[Stream, asyncio.Task[None]]] = {}
        self._news = Bell()
        self._waiting: list[asyncio.Future[None]] = []
        self._running = False

    def look(self) -> None:
        """A subscription was made or changed."""
        self._news.ring()

    async def looked(self) -> None:
        """Until it has looked after what is there now, and lets go of what is not; at most a few
        seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._next_turn(), LOOK_SECONDS)

    def _next_turn(self) -> asyncio.Future[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._news.ring()
        return turn

    async def ready(self, uid: str) -> None:
        """Until Pub/Sub keeps what is published for the consumer whose key begins with ``uid/``, or
        it is known what is wrong, or that nobody consumes; at most ten seconds. Before that, what
        is published to a topic goes to nobody."""
        if not self._running:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self._next_turn()
                for key, (stream, _) in list(self._streams.items()):
                    if key.startswith(f"{uid}/"):
                        await stream.known()

    @property
    def counts(self) -> Mapping[str, StreamCounts]:
        """Of each stream, by the key of its consumer."""
        return {key: stream.counts for key, (stream, _) in self._streams.items()}

    def trouble(self, uid: str) -> str:
        """What keeps the messages of the consumer from coming whose key begins with ``uid/``."""
        for key, (stream, _) in self._streams.items():
            if key.startswith(f"{uid}/"):
                return stream.counts.trouble
        return self._told if self._link is None else ""

    async def run(self) -> None:
        """Until it is cancelled; then what is held is given back."""
        self._running = True
        try:
            while True:
                self._news.silence()
                waiting, self._waiting = self._waiting, []
                pause = self._poll
                try:
                    await self._turn()
                except JobrunnerError as error:
                    log.warning("Subscriptions wait: %s", error)
                    pause = FAULT_SECONDS
                except Exception:
                    log.exception("A turn of the subscriptions broke")
                    pause = FAULT_SECONDS
                for one in waiting:
                    if not one.done():
                        one.set_result(None)
                await self._news.heard(pause)
        finally:
            self._running = False
            await self._stop(list(self._streams))
            if self._link is not None:
                await self._link.close()

    async def _turn(self) -> None:
        wanted = {one.key: one for several in self._consumers for one in several()}
        ended = [key for key, (_, task) in self._streams.items() if task.done()]
        for key in ended:
            _, task = self._streams.pop(key)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("A stream broke, and is opened again", exc_info=error)
        await self._stop([key for key in self._streams if key not in wanted])
        fresh = [one for key, one in wanted.items() if key not in self._streams]
        link = await self._linked() if fresh else None
        if link is None:
            return
        for one in fresh:
            stream = Stream(link, one, self._limits)
            self._streams[one.key] = stream, asyncio.ensure_future(stream.run())

    async def _linked(self) -> Link | None:
        now = asyncio.get_running_loop().time()
        if self._link is None and now >= self._link_at:
            self._link_at = now + LINK_SECONDS
            try:
                self._link = await self._make_link()
            except LinkFault as fault:
                if str(fault) != self._told:
                    self._told = str(fault)
                    log.warning("Nothing can be pulled: %s", fault)
        return self._link

    async def _stop(self, keys: Sequence[str]) -> None:
        tasks = [self._streams.pop(key)[1] for key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
