"""One connection to a target or its proxy: a request out, its answer in, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from triggers.core.verdict import Break
from triggers.senders.failures import Stop, words
from triggers.senders.wire.response import Gone, Reader

if TYPE_CHECKING:
    from triggers.senders.wire.request import Place

AT_ONCE = 64 * 1024
"""Bytes of a body that are handed to the system together with the head, or in one piece."""


class Late(Exception):
    """The deadline has passed."""


class Connection(asyncio.Protocol):
    """``since`` is when it fell idle, by the time of the loop. ``served`` is whether an answer has
    come over it before."""

    def __init__(self, place: Place, forget: Callable[[Connection], None]) -> None:
        """``forget`` is told when it is gone."""
        self.place = place
        self.since = 0.0
        self.served = False
        self.open = False
        self.reader = Reader()
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = self._cut = self._rung = False
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def reusable(self) -> bool:
        return self.open and not self._cut and self.reader.reusable

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    async def call(
        self, head: bytes, body: bytes, until: float, *,
        cap: int = 0, bodiless: bool = False, follow: bool = False,
    ) -> Reader:  # fmt: skip
        """Returns when the answer is over, or as much of it as is wanted: see
        :meth:`Reader.expect`. ``until`` is by the time of the loop.

        What is returned is good until the next call.

        Raises Stop for a connection or an answer that breaks, :class:`Gone` if nothing of an answer
        had come, and :class:`Late`. Then, and when it is cancelled, the connection is closed.
        """
        if not self.open:
            raise Gone
        waiter = self._waiter = self._loop.create_future()
        self.reader.expect(cap=cap, bodiless=bodiless, follow=follow)
        self._until, self._rung = until, False
        # One that is armed for an earlier call looks again when it rings.
        if self._timer is None or self._timer.when() > until:
            self._arm(until)
        try:
            if len(body) <= AT_ONCE:
                self.transport.write(head + body if body else head)
            else:
                await self._pour(head, body, waiter)
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()
            self.abort()
            raise
        finally:
            self._waiter = None
        self.served = True
        return self.reader

    async def _pour(self, head: bytes, body: bytes, waiter: asyncio.Future[None]) -> None:
        """Never more in the transport's buffer than it asks for. Who answers before he has heard
        everything wants no more."""
        transport = self.transport
        transport.write(head)
        view = memoryview(body)
        for at in range(0, len(view), AT_ONCE):
            if self._paused and not waiter.done():
                self._room = self._loop.create_future()
                await self._room
            if waiter.done():
                self._cut = True
                return
            transport.write(view[at : at + AT_ONCE])

    def secured(self, transport: asyncio.Transport) -> None:
        """It goes on inside TLS, over ``transport``."""
        self._transport = transport
        self.open = True
        self.served = self._paused = False

    def close(self) -> None:
        """In good order."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ what the loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            # Nobody has asked: it cannot be told what this would answer.
            self.abort()
            return
        try:
            over = self.reader.feed(data)
        except Stop as stop:
            self._settle(stop)
        else:
            if over:
                # Who has not heard all of a request would take the next one for its rest.
                self._cut = self.transport.get_write_buffer_size() > 0
                self._settle()

    def eof_received(self) -> bool:
        self.open = False
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._ended(exc)
        self.reader.drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # ------------------------------------------------------------

    def _ended(self, error: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            try:
                if error is None:
                    self.reader.end()
                elif not self.reader.begun:
                    raise Gone(words(error))
                else:
                    raise Stop(Break.RESET, words(error))
            except Stop as stop:
                self._settle(stop)
                return
        self._settle()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._until > self._loop.time():
            self._arm(self._until)
        elif not self._rung:
            # Where this process stood still, what came in time has not been read yet.
            self._rung = True
            self._arm(self._loop.time())
        else:
            self._settle(Late())

    def _settle(self, error: Exception | None = None) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
