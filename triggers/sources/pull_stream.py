"""One StreamingPull: messages in, offered to a consumer in batches, and told of to Pub/Sub.

Nothing is acknowledged before the consumer says so. What is held is bounded: at the bound the
stream is not read, and the sender stops; one that does not (the emulator) is hung up on, or what it
goes on sending would be too old by the time it is read, and come again for ever. Leases are
extended for as long as a message is held. One task offers the batches, one after the other, so
messages stay in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from jobrunner.errors import JobrunnerError
from triggers.core.retry import push_pause
from triggers.event_ports import Consumer, Response
from triggers.sources.pubsub_link import Link, LinkFault, Received

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two tries to open the stream; doubled from one to the next."""
LONGEST_LOCAL_PAUSE = 1.0
"""To an emulator, which costs nobody anything."""
LATER_SECONDS = 0.25
"""Until the consumer is asked again that had no room."""
FAULT_SECONDS = 1.0
"""Until it is asked again when its store was away."""
ROOM_SHARE = 0.5
"""How full it may be when a stream is opened again that was closed because there was no room."""
BATCH = 256
AT_ONCE = 1000
"""Ids of one call."""
TRIES = 5
"""Of an acknowledgement that exactly-once delivery wants again."""
REMIND_SECONDS = 300.0
"""Until a trouble that lasts is told of again."""

log = logging.getLogger("jobrunner.pull")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """``most`` messages and ``size`` bytes are held at once; ``most_unheeded`` messages of a sender
    that does not stop: whatever is on the way when it is hung up on comes a lease later. A lease
    lasts ``deadline`` seconds, which is how long others wait for what a runner held that was
    killed; with exactly-once delivery it is ``exact_deadline``, the least there is. It is first
    extended after ``patience`` seconds: what is acknowledged by then costs no call."""

    most: int = 1000
    most_unheeded: int = 2000
    size: int = 32 * 1024 * 1024
    deadline: float = 10.0
    exact_deadline: float = 60.0
    patience: float = 3.0


@dataclass(slots=True, eq=False)
class _Held:
    received: Received
    stream: int
    extend_at: float


@dataclass(slots=True)
class StreamCounts:
    """Since it began. ``held`` is now."""

    received: int = 0
    acknowledged: int = 0
    refused: int = 0
    opened: int = 0
    held: int = 0
    trouble: str = ""


@dataclass(slots=True)
class _Trouble:
    """Told once, and again when it lasts."""

    text: str = ""
    told_at: float = field(default=-REMIND_SECONDS)


class Stream:
    def __init__(
        self, link: Link, consumer: Consumer, limits: StreamLimits = StreamLimits()
    ) -> None:
        self._link = link
        self._consumer = consumer
        self._source = consumer.source
        self._limits = limits
        exact = self._source.exactly_once
        self._deadline = limits.exact_deadline if exact else limits.deadline
        self._most = limits.most if link.heeds_bounds else limits.most_unheeded
        self._number = 0
        self._held: dict[str, _Held] = {}
        self._size = 0
        self._queue: deque[_Held] = deque()
        self._acks: list[_Held] = []
        self._news, self._due, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._finishing: set[asyncio.Task[None]] = set()
        self._known = asyncio.Event()
        self._spaced = False
        self._pause = 0.0
        self._trouble = _Trouble()
        self.counts = StreamCounts()

    async def run(self) -> None:
        """Until it is cancelled; then what it holds is given back."""
        parts = [self._read(), self._offer(), self._acknowledge(), self._extend()]
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in [*tasks, *self._finishing]:
                task.cancel()
            await asyncio.wait([*tasks, *self._finishing])
            await self._give_back()

    async def known(self) -> None:
        """Until Pub/Sub keeps the messages of its subscription, or it is known what is wrong."""
        await self._known.wait()

    # ------------------------------------------------------------ reading

    async def _read(self) -> None:
        pause = FIRST_PAUSE
        while True:
            seen = self.counts.received
            try:
                self._spaced = await self._link.prepare(self._source)
                self._known.set()
                self._number += 1
                self.counts.opened += 1
                while await self._read_stream():
                    await self._emptied(ROOM_SHARE)
                fault = LinkFault("OK", "the stream has ended")
            except LinkFault as error:
                fault = error
            self._broke(fault)
            if self.counts.received > seen:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_LOCAL_PAUSE if self._link.forgets else LONGEST_PAUSE)

    async def _read_stream(self) -> bool:
        """Whether it was closed here, because there was no room."""
        limits = self._limits
        stream = self._link.messages(
            self._source, deadline=self._deadline, most=self._most, size=limits.size
        )
        async with aclosing(stream):
            async for several in stream:
                self.counts.trouble = ""
                first_at = _now() + limits.patience
                for one in several:
                    self._keep(_Held(one, self._number, first_at))
                self._news.set()
                if self._is_full(1.0):
                    if not self._link.heeds_bounds:
                        return True
                    await self._emptied(1.0)
        return False

    def _is_full(self, share: float) -> bool:
        return len(self._held) >= self._most * share or self._size >= self._limits.size * share

    async def _emptied(self, share: float) -> None:
        while self._is_full(share):
            self._room.clear()
            await self._room.wait()

    def _keep(self, held: _Held) -> None:
        one = held.received
        self.counts.received += 1
        known = self._held.get(one.ack_id)
        if known is not None:
            self._drop(known)
        self._held[one.ack_id] = held
        self._size += one.size
        self._queue.append(held)

    def _drop(self, held: _Held) -> bool:
        """It is held no more; False if it was not."""
        if self._held.get(held.received.ack_id) is not held:
            return False
        del self._held[held.received.ack_id]
        self._size -= held.received.size
        self._room.set()
        return True

    def _broke(self, fault: LinkFault) -> None:
        if self._link.forgets:
            # An id may name another message by now; what was not told of comes again.
            for held in list(self._held.values()):
                self._drop(held)
            self._queue.clear()
            self._acks.clear()
        self.counts.trouble = "" if fault.code == "OK" else str(fault)
        self._known.set()
        trouble, now = self._trouble, _now()
        if fault.passing and not self._link.forgets:
            log.debug("The stream of %s ended: %s", self._source.subscription, fault)
        elif trouble.text != str(fault) or now - trouble.told_at >= REMIND_SECONDS:
            self._trouble = _Trouble(str(fault), now)
            log.warning("%s cannot be pulled now: %s", self._source.subscription, fault)

    # ------------------------------------------------------------ offering

    async def _offer(self) -> None:
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            batch = [held for held in batch if self._is_held(held)]
            if not batch:
                continue
            try:
                said = await self._consumer.take([held.received.message for held in batch])
            except JobrunnerError as error:
                log.warning("Messages of %s wait: %s", self._source.subscription, error)
                self._queue.extendleft(reversed(batch))
                await asyncio.sleep(FAULT_SECONDS)
                continue
            if later := self._told(batch, said):
                self._queue.extendleft(reversed(later))
                await asyncio.sleep(LATER_SECONDS)

    def _is_held(self, held: _Held) -> bool:
        return self._held.get(held.received.ack_id) is held

    def _told(
        self, batch: Sequence[_Held], said: Sequence[Response | Awaitable[Response]]
    ) -> list[_Held]:
        """Returns those that are to be offered again."""
        later = []
        for held, response in zip(batch, said, strict=True):
            if response is Response.LATER:
                later.append(held)
            elif isinstance(response, Response):
                self._answer(held, response)
            else:
                self._in_background(self._finish(held, response))
        return later

    async def _finish(self, held: _Held, response: Awaitable[Response]) -> None:
        try:
            said = await response
        except JobrunnerError as error:
            log.warning("A message of %s is refused: %s", self._source.subscription, error)
            said = Response.REFUSE
        except Exception:
            log.exception("What became of a message of %s broke", self._source.subscription)
            said = Response.REFUSE
        if said is Response.LATER:
            self._queue.append(held)
            self._news.set()
        else:
            self._answer(held, said)

    def _answer(self, held: _Held, response: Response) -> None:
        accepted = response is Response.ACKNOWLEDGE
        self._pause = push_pause(self._pause, accepted)
        if accepted:
            self._acks.append(held)
            self._due.set()
            return
        self.counts.refused += 1
        self._in_background(self._refuse(held, 0.0 if self._spaced else self._pause))

    async def _refuse(self, held: _Held, pause: float) -> None:
        """Without a retry policy Pub/Sub would send it again at once, and again."""
        if pause:
            await asyncio.sleep(pause)
        if self._drop(held):
            await self._lease([held], 0.0)

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_plain(work))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    # ------------------------------------------------------------ telling Pub/Sub

    async def _acknowledge(self) -> None:
        tries: dict[str, int] = {}
        while True:
            await self._due.wait()
            self._due.clear()
            while self._acks:
                batch, self._acks = self._acks[:AT_ONCE], self._acks[AT_ONCE:]
                mine = {held.received.ack_id: held for held in batch if self._is_held(held)}
                if not mine:
                    continue
                try:
                    again = await self._link.acknowledge(self._source.subscription, list(mine))
                except LinkFault as fault:
                    # It comes again when its lease has run out, and is known then.
                    log.debug("%s: %s", self._source.subscription, fault)
                    again = ()
                    self.counts.acknowledged -= len(mine)
                for ack_id in again:
                    tries[ack_id] = tries.get(ack_id, 0) + 1
                    if tries[ack_id] < TRIES:
                        self._in_background(self._again(mine.pop(ack_id), tries[ack_id]))
                for ack_id, held in mine.items():
                    tries.pop(ack_id, None)
                    self.counts.acknowledged += self._drop(held)

    async def _again(self, held: _Held, tries: int) -> None:
        await asyncio.sleep(2.0 ** (tries - 1))
        self._acks.append(held)
        self._due.set()

    async def _extend(self) -> None:
        limits = self._limits
        while True:
            await asyncio.sleep(limits.patience)
            now = _now()
            due = [held for held in self._held.values() if held.extend_at <= now]
            for held in due:
                held.extend_at = now + self._deadline / 2
            await self._lease(due, self._deadline)

    async def _lease(self, several: Sequence[_Held], seconds: float) -> None:
        ids = [held.received.ack_id for held in several if self._counts_now(held)]
        for start in range(0, len(ids), AT_ONCE):
            try:
                part = ids[start : start + AT_ONCE]
                await self._link.extend(self._source.subscription, part, seconds)
            except LinkFault as fault:
                log.debug("%s: %s", self._source.subscription, fault)

    def _counts_now(self, held: _Held) -> bool:
        return held.stream == self._number or not self._link.forgets

    async def _give_back(self) -> None:
        held = list(self._held.values())
        self._held.clear()
        self._queue.clear()
        await self._lease(held, 0.0)


async def _plain(work: Awaitable[None]) -> None:
    await work


def _now() -> float:
    return asyncio.get_running_loop().time()
