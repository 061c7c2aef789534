"""What a runner holds: deliveries that are ready, and those on the wire by tasks of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import KeysView
from dataclasses import dataclass

from jobrunner.lib.bell import Bell
from jobrunner.ports import Clock, MachineClock
from triggers.core.queues import HttpOverride, Queue, overridden
from triggers.core.records import Delivery, SourceKind
from triggers.core.verdict import Break, Broken
from triggers.ports import Move, Sender, Sent, place_of
from triggers.service import moves
from triggers.service.crashpoints import crash_point
from triggers.service.judging import Judge
from triggers.service.slots import Slots

DRAIN_SECONDS = 0.3
LARGEST_TURN = 64
"""Ends of one commit, unless they come all at once."""

log = logging.getLogger("jobrunner.deliveries")


@dataclass(slots=True, eq=False)
class _Flight:
    """Ready, or on the wire by ``task``."""

    delivery: Delivery
    place: str
    held_from: float
    override: HttpOverride | None = None
    task: asyncio.Task[None] | None = None


class Flights:
    """``news`` rings when ends are worth a commit: ``moves`` has them, and whoever records them
    takes them away."""

    def __init__(
        self,
        sender: Sender,
        judge: Judge,
        clock: Clock,
        machine: MachineClock,
        news: Bell,
        *,
        in_flight: int,
        per_target: int,
    ) -> None:
        self._sender = sender
        self._judge = judge
        self._clock = clock
        self._machine = machine
        self._news = news
        self._flights: dict[str, _Flight] = {}
        self.slots = Slots[_Flight](in_flight, per_target)
        self.moves: list[Move] = []

    @property
    def uids(self) -> KeysView[str]:
        """Of all deliveries that are held."""
        return self._flights.keys()

    def doing(self) -> list[str]:
        return [
            f"delivery {uid} ({flight.delivery.source.value} {flight.delivery.source_name}) is on"
            f" its way to {flight.place}"
            for uid, flight in self._flights.items()
        ]

    def take_up(self, delivery: Delivery, override: HttpOverride | None) -> None:
        self.break_off(delivery.uid)
        place, moment = place_of(delivery.target), self._machine.now()
        flight = _Flight(delivery, place, moment, override)
        self._flights[delivery.uid] = flight
        self.slots.put(flight.place, flight)

    def launch(self) -> None:
        loop = asyncio.get_running_loop()
        while (flight := self.slots.take()) is not None:
            flight.task = loop.create_task(self._fly(flight))

    async def _fly(self, flight: _Flight | None) -> None:
        """One slot: sends, and goes on with the next one that is ready."""
        me = asyncio.current_task()
        while flight is not None:
            flight.task = me
            self._land(flight, await self._attempt(flight))
            flight = self.slots.take()

    async def _attempt(self, flight: _Flight) -> Move:
        delivery = flight.delivery
        if delivery.lease_until is not None and self._machine.now() >= delivery.lease_until:
            # This process stood still since the claim: somebody else may have it by now.
            return moves.unsent(delivery, self._clock.now())
        crash_point("delivery-before-send")
        try:
            called = overridden(delivery, flight.override)
            sent = await self._sender.send(called, moves.number_of(delivery))
        except Exception as bug:
            log.exception("The call of delivery %s broke", delivery.uid)
            sent = Sent(Broken(Break.PROTOCOL, f"the call broke: {type(bug).__name__}"))
        crash_point("delivery-after-send")
        return self._judge.move(delivery, sent)

    def _land(self, flight: _Flight, move: Move) -> None:
        self._let_go(flight)
        self.moves.append(move)
        if not self.slots.ready or len(self.moves) >= LARGEST_TURN:
            self._news.ring()

    def _let_go(self, flight: _Flight) -> None:
        if self._flights.get(flight.delivery.uid) is flight:
            del self._flights[flight.delivery.uid]
            if flight.task is None:
                self.slots.withdraw(flight.place, flight)
            else:
                self.slots.free(flight.place, self._machine.now())

    def break_off(self, uid: str) -> None:
        """The lease is gone, or the delivery was withdrawn: what comes back is of no use."""
        flight = self._flights.get(uid)
        if flight is not None:
            self._let_go(flight)
            if flight.task is not None:
                flight.task.cancel()

    def give_back(self, since: float) -> None:
        """What is ready and was not sent for so long: others may have a slot for it."""
        for flight in list(self._flights.values()):
            if flight.task is None and flight.held_from <= since:
                self._land(flight, moves.unsent(flight.delivery, self._clock.now()))

    def recall(self, queue: Queue, forced: bool) -> None:
        """What is ready of ``queue`` and was not sent; what is run by hand only if ``forced``."""
        source = queue.project, queue.region, SourceKind.QUEUE, queue.name
        for flight in list(self._flights.values()):
            one = flight.delivery
            same = (one.project, one.region, one.source, one.source_name) == source
            if same and flight.task is None and (forced or not one.forced):
                self._land(flight, moves.unsent(one, self._clock.now()))

    async def come_down(self) -> int:
        """Waits a moment for what is on the wire, and gives up everything. Returns how many calls
        there were."""
        self.give_back(self._machine.now())
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        now = self._clock.now()
        for flight in list(self._flights.values()):
            if flight.task is not None:
                flight.task.cancel()
            # Whoever takes it next need not wait for the end of the lease.
            self._land(flight, moves.lost(flight.delivery, now))
        return len(tasks)
