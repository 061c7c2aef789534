"""The loop that sends deliveries: claim, send, judge, plan, record.

A turn is one commit: it carries the ends of all attempts that came in since the last one, and the
claims of the next. What is claimed is stored before it is sent, so a crash at any point sends
again, and never loses. A delivery that follows its execution holds neither a lease nor a slot.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from jobrunner.lib.identity import is_gone
from jobrunner.ports import RANK_SENDS, Clock, Commit, MachineClock, Runner
from triggers.core.queues import Queue
from triggers.core.records import Delivery
from triggers.core.states import DeliveryState
from triggers.ports import Claims, DeliveryStore, Move, Sender
from triggers.service import moves
from triggers.service.crashpoints import crash_point
from triggers.service.flights import Flights
from triggers.service.following import Followers
from triggers.service.judging import Judge

POLL_SECONDS = 2.0
"""How soon something is seen that another process has opened."""
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""
SWEEP_SECONDS = 30.0
"""How soon somebody follows what a runner followed that is gone."""
TURN_SECONDS = 0.02
"""How long ends wait for company while there is still something to send."""

Watcher = Callable[[Sequence[Move]], None]

log = logging.getLogger("jobrunner.deliveries")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """``in_flight`` requests at once in all, ``per_target`` to one host and port, job or topic;
    each runner counts its own. A lease lasts ``lease`` seconds and is extended every ``beat``."""

    in_flight: int = 128
    per_target: int = 16
    lease: float = 15.0
    beat: float = 5.0


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a commit has done: which of the moves were written, and what was claimed."""

    moves: list[Move]
    written: list[bool]
    claims: Claims
    following: Sequence[Delivery]
    stale: Collection[str]
    """Uids of what this runner believes to hold and does not hold any more."""


class Dispatcher:
    """One per runner. ``sender`` is for all kinds of targets. ``apart`` is a commit that leaves the
    loop alone while the disk syncs, if there is one. ``clock`` says what is due and when
    something happened, ``machine`` is for leases. ``draw`` gives numbers from 0 to 1,
    ``gone`` says of a runner's name that it surely does not live any more."""

    def __init__(
        self,
        store: DeliveryStore,
        sender: Sender,
        commit: Commit,
        runner: Runner,
        clock: Clock,
        owner: str,
        settings: DispatchSettings = DispatchSettings(),
        *,
        machine: MachineClock,
        apart: Commit | None = None,
        draw: Callable[[], float] = random.random,
        gone: Callable[[str], bool] = is_gone,
    ) -> None:
        self._store = store
        self._sender = sender
        self._commit = commit
        self._apart = apart
        self._runner = runner
        self._clock = clock
        self._machine = machine
        self._owner = owner
        self._settings = settings
        self._gone = gone
        self._news = Bell(apart=clock.virtual)
        self._looked = False
        judge = Judge(clock, draw)
        self._flights = Flights(
            sender, judge, clock, machine, self._news,
            in_flight=settings.in_flight, per_target=settings.per_target,
        )  # fmt: skip
        self._recalls: list[tuple[Queue, bool]] = []
        self._followers = Followers(runner, judge, clock, self._note)
        self._beat_at = 0.0
        self._sweep_at = 0.0
        self._draining = False
        self._waiting = False
        self._recorded: list[Watcher] = []
        self._durable: list[Watcher] = []

    def watch(self, *, recorded: Watcher | None = None, durable: Watcher | None = None) -> None:
        """``recorded`` is called inside the transaction that has written moves, and may write more;
        it may be called again after a collision. ``durable`` is called after it. Neither may
        raise but a StoreFault."""
        if recorded is not None:
            self._recorded.append(recorded)
        if durable is not None:
            self._durable.append(durable)

    def look(self) -> None:
        """Something was opened, withdrawn or replayed."""
        self._looked = True
        self._news.ring()

    def recall(self, queue: Queue, forced: bool) -> None:
        """What was claimed ahead of ``queue`` and not sent yet goes back at once, for it was paused
        or is to be emptied. What somebody wants sent now goes on unless ``forced``."""
        self._recalls.append((queue, forced))
        self._flights.recall(queue, forced)
        self.look()

    def doing(self) -> Sequence[str]:
        """See :class:`jobrunner.ports.Worker`."""
        found = self._flights.doing()
        if self._flights.moves or self._news.rung or not self._waiting:
            found.append("deliveries are claimed and recorded")
        return found

    async def close(self) -> None:
        """Closes the connections; nothing is sent any more."""
        await self._sender.close()

    @property
    def in_flight(self) -> int:
        """Calls on the wire."""
        return self._flights.slots.wire

    async def run(self) -> None:
        """Until it is cancelled; then it waits a moment for what is on the wire, and gives up what
        it holds."""
        try:
            while True:
                try:
                    next_at = await _to_its_end(self.turn())
                except JobrunnerError as error:
                    log.warning("Deliveries wait: %s", error)
                    await asyncio.sleep(FAULT_SECONDS)
                    continue
                except Exception:
                    log.exception("A turn of the deliveries broke")
                    await asyncio.sleep(FAULT_SECONDS)
                    continue
                await self._wait(next_at)
        finally:
            await self._drain()

    async def turn(self) -> float | None:
        """One commit, and the sends that follow from it. Returns when the next delivery is due, as
        far as it is known. Raises StoreFault; then nothing was written, and the next turn writes
        what this one was to write."""
        self._news.silence()
        self._looked = False
        flights, now, moment = self._flights, self._clock.now(), self._machine.now()
        while self._recalls:
            # Once more, for what was claimed in the commit that carried the pause.
            flights.recall(*self._recalls.pop())
        beating = moment >= self._beat_at
        if beating:
            flights.give_back(moment - self._settings.beat)
        taking, flights.moves = flights.moves, []
        sweeping = moment >= self._sweep_at
        if taking:
            crash_point("delivery-before-turn")
        try:
            # Answers that come in while the disk syncs free slots for what is ready.
            commit = (flights.slots.wire and self._apart) or self._commit
            done = await commit(lambda: self._work(taking, now, moment, beating, sweeping))
        except BaseException:
            flights.moves = taking + flights.moves
            raise
        if beating:
            self._beat_at = moment + self._settings.beat
        if sweeping:
            self._sweep_at = moment + SWEEP_SECONDS
        if done.claims.taken:
            crash_point("delivery-claimed")
        if done.moves:
            crash_point("delivery-recorded")
            _tell(self._durable, done.moves, done.written)
        for move, written in zip(done.moves, done.written, strict=True):
            if written and move.after.state is DeliveryState.FOLLOWING:
                crash_point("delivery-followed")
                self._followers.follow(move.after)
        for delivery in done.following:
            self._followers.follow(delivery)
        for uid in done.stale:
            flights.break_off(uid)
        for delivery in done.claims.taken:
            flights.take_up(delivery, done.claims.overrides.get(delivery.uid))
        flights.launch()
        if flights.slots.ready and not self._looked:
            # What has landed during the commit may wait for company.
            self._news.silence()
        return done.claims.next_at

    # ------------------------------------------------------------ inside the commit

    def _work(
        self, taking: list[Move], now: float, moment: float, beating: bool, sweeping: bool
    ) -> _Turn:
        """May be called again after a collision, so it changes nothing here."""
        store, settings = self._store, self._settings
        changes = list(taking)
        stale: set[str] = set()
        if beating:
            # What has landed since this turn began is in nobody's hands but is no loss.
            landed = {move.before.uid for move in [*taking, *self._flights.moves]}
            held = self._extend(moment, landed)
            stale = self._flights.uids - {delivery.uid for delivery in held}
            mine = self._flights.uids | landed
            changes += self._lost(now, moment, [one for one in held if one.uid not in mine])
        written = list(store.record(changes)) if changes else []
        if changes:
            _tell(self._recorded, changes, written)
            crash_point("delivery-in-turn")
        room = self._flights.slots.room(moment)
        accepts = self._runner.accepts() and not self._draining
        claims = store.claim(
            self._owner,
            now=now,
            # Of two clocks: what is due by the one, leased by the other.
            ttl=moment + settings.lease - now,
            most=room.most if accepts else 0,
            per_place=room.per_place,
            busy=room.busy,
        )
        following = store.following() if sweeping else ()
        return _Turn(changes, written, claims, following, stale)

    def _extend(self, moment: float, landed: set[str]) -> Sequence[Delivery]:
        """Extends the leases; returns what this runner holds by the store."""
        until = moment + self._settings.lease
        return self._store.heartbeat(self._owner, self._flights.uids | landed, until=until)

    def _lost(self, now: float, moment: float, unknown: list[Delivery]) -> list[Move]:
        """What nobody will bring to an end: the ``unknown``, which this runner holds by the store
        and does not know of, what runners held that are gone, and what has become too old."""
        store = self._store
        unheld = [*unknown, *store.forsaken(now=moment, owner=self._owner)]
        for holder in store.holders():
            if holder != self._owner and self._gone(holder):
                unheld += store.held_by(holder)
        once = {delivery.uid: delivery for delivery in unheld}
        found = [moves.lost(delivery, now) for delivery in once.values()]
        found += [moves.aged_out(delivery, now) for delivery in store.overdue(now=now)]
        return found

    # ------------------------------------------------------------ waiting and going down

    def _note(self, move: Move) -> None:
        self._flights.moves.append(move)
        self.look()

    async def _wait(self, next_at: float | None) -> None:
        left = min(POLL_SECONDS, self._beat_at - self._machine.now())
        if self._flights.slots.ready:
            left = min(left, TURN_SECONDS)
        self._waiting = True
        self._clock.rested()
        silence = (
            None if next_at is None else self._clock.wake(next_at, self._news.ring, rank=RANK_SENDS)
        )
        try:
            await self._news.heard(left)
        finally:
            self._waiting = False
            if silence is not None:
                silence()

    async def _drain(self) -> None:
        self._draining = True
        self._followers.stop()
        calls = await self._flights.come_down()
        try:
            await self.turn()
        except JobrunnerError as error:
            log.warning("The ends of %d deliveries could not be stored: %s", calls, error)


async def _to_its_end(turn: Coroutine[Any, Any, T]) -> T:
    """A turn that is cancelled while it is committed would not know what it has claimed."""
    task = asyncio.ensure_future(turn)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _tell(watchers: Sequence[Watcher], changes: Sequence[Move], written: Sequence[bool]) -> None:
    if not watchers:
        return
    done = [move for move, was in zip(changes, written, strict=True) if was]
    if done:
        for watcher in watchers:
            watcher(done)
