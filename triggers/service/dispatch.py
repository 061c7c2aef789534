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
from typing import Any

from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import JobrunnerError, NotFound
from jobrunner.lib.identity import is_gone
from jobrunner.ports import Clock, Commit, MachineClock, Runner
from triggers.core.queues import HttpOverride, overridden
from triggers.core.records import Delivery, Ruling, SourceKind
from triggers.core.retry import push_pause
from triggers.core.states import DeliveryState
from triggers.core.verdict import Break, Broken, RunEnd
from triggers.ports import Claims, DeliveryStore, Move, Sender, Sent, place_of
from triggers.service import moves
from triggers.service.crashpoints import crash_point

POLL_SECONDS = 2.0
"""How soon something is seen that another process has opened."""
FAULT_SECONDS = 1.0
"""Between two tries to reach a store that is away."""
FOLLOW_SECONDS = 30.0
SWEEP_SECONDS = 30.0
"""How soon somebody follows what a runner followed that is gone."""
DRAIN_SECONDS = 0.3

log = logging.getLogger("jobrunner.deliveries")

Source = tuple[str, str, SourceKind, str]


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """``in_flight`` requests at once in all, ``per_target`` to one host and port, job or topic;
    each runner counts its own. A lease lasts ``lease`` seconds and is extended every ``beat``."""

    in_flight: int = 128
    per_target: int = 16
    lease: float = 15.0
    beat: float = 5.0


@dataclass(slots=True)
class _Flight:
    delivery: Delivery
    place: str
    override: HttpOverride | None = None
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a commit has done: which of the moves were written, and what was claimed."""

    moves: list[Move]
    written: list[bool]
    claims: Claims
    following: Sequence[Delivery]
    stale: Collection[str]
    """Uids of what this runner has on the wire and does not hold any more."""


class Dispatcher:
    """One per runner. ``sender`` is for all kinds of targets. ``clock`` says what is due and when
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
        draw: Callable[[], float] = random.random,
        gone: Callable[[str], bool] = is_gone,
    ) -> None:
        self._store = store
        self._sender = sender
        self._commit = commit
        self._runner = runner
        self._clock = clock
        self._machine = machine
        self._owner = owner
        self._settings = settings
        self._draw = draw
        self._gone = gone
        self._news = asyncio.Event()
        self._flying: dict[str, _Flight] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._moves: list[Move] = []
        self._pauses: dict[Source, float] = {}
        self._beat_at = 0.0
        self._sweep_at = 0.0
        self._draining = False

    def look(self) -> None:
        """Something was opened, withdrawn or replayed."""
        self._news.set()

    async def close(self) -> None:
        """Closes the connections; nothing is sent any more."""
        await self._sender.close()

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    async def run(self) -> None:
        """Until it is cancelled; then it waits a moment for what is on the wire, and gives up what
        it holds."""
        try:
            while True:
                try:
                    next_at = await self.turn()
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
        self._news.clear()
        now, moment = self._clock.now(), self._machine.now()
        taking = self._moves
        self._moves = []
        beating = moment >= self._beat_at
        sweeping = moment >= self._sweep_at
        if taking:
            crash_point("delivery-before-turn")
        try:
            done = await self._commit(lambda: self._work(taking, now, moment, beating, sweeping))
        except BaseException:
            self._moves = taking + self._moves
            raise
        if beating:
            self._beat_at = moment + self._settings.beat
        if sweeping:
            self._sweep_at = moment + SWEEP_SECONDS
        if done.claims.taken:
            crash_point("delivery-claimed")
        if done.moves:
            crash_point("delivery-recorded")
        for move, written in zip(done.moves, done.written, strict=True):
            if written and move.after.state is DeliveryState.FOLLOWING:
                crash_point("delivery-followed")
                self._follow(move.after)
        for delivery in done.following:
            self._follow(delivery)
        for uid in done.stale:
            self._break_off(uid)
        for delivery in done.claims.taken:
            self._launch(delivery, done.claims.overrides.get(delivery.uid))
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
            landed = {move.before.uid for move in [*taking, *self._moves]}
            held = self._extend(moment, landed)
            stale = self._flying.keys() - {delivery.uid for delivery in held}
            mine = self._flying.keys() | landed
            changes += self._lost(now, moment, [one for one in held if one.uid not in mine])
        written = list(store.record(changes)) if changes else []
        if changes:
            crash_point("delivery-in-turn")
        busy: dict[str, int] = {}
        for flight in self._flying.values():
            busy[flight.place] = busy.get(flight.place, 0) + 1
        accepts = self._runner.accepts() and not self._draining
        claims = store.claim(
            self._owner,
            now=now,
            # Of two clocks: what is due by the one, leased by the other.
            ttl=moment + settings.lease - now,
            most=settings.in_flight - len(self._flying) if accepts else 0,
            per_place=settings.per_target,
            busy=busy,
        )
        following = store.following() if sweeping else ()
        return _Turn(changes, written, claims, following, stale)

    def _extend(self, moment: float, landed: set[str]) -> Sequence[Delivery]:
        """Extends the leases; returns what this runner holds by the store."""
        until = moment + self._settings.lease
        return self._store.heartbeat(self._owner, self._flying.keys() | landed, until=until)

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

    # ------------------------------------------------------------ sending

    def _launch(self, delivery: Delivery, override: HttpOverride | None) -> None:
        self._break_off(delivery.uid)
        flight = _Flight(delivery, place_of(delivery.target), override)
        self._flying[delivery.uid] = flight
        flight.task = _begin(self._send(flight))

    def _break_off(self, uid: str) -> None:
        """The lease is gone, or the delivery was withdrawn: what comes back is of no use."""
        flight = self._flying.pop(uid, None)
        if flight is not None and flight.task is not None:
            flight.task.cancel()

    async def _send(self, flight: _Flight) -> None:
        delivery = flight.delivery
        if delivery.lease_until is not None and self._machine.now() >= delivery.lease_until:
            # This process stood still since the claim: somebody else may have it by now.
            self._land(flight, moves.unsent(delivery, self._clock.now()))
            return
        crash_point("delivery-before-send")
        try:
            called = overridden(delivery, flight.override)
            sent = await self._sender.send(called, moves.number_of(delivery))
        except Exception as bug:
            log.exception("The call of delivery %s broke", delivery.uid)
            sent = Sent(Broken(Break.PROTOCOL, f"the call broke: {type(bug).__name__}"))
        crash_point("delivery-after-send")
        self._land(flight, self._judged(delivery, sent))

    def _judged(self, delivery: Delivery, sent: Sent) -> Move:
        outcome, now = sent.outcome, self._clock.now()
        if isinstance(outcome, RunEnd) and moves.still_runs(delivery, outcome):
            uid = sent.execution or outcome.execution
            return moves.followed(delivery, uid, outcome.execution)
        verdict = moves.verdict_of(delivery, outcome)
        pause = self._pause(delivery, verdict.ruling is Ruling.ACCEPT)
        return moves.ended(delivery, sent, verdict, now, jitter=self._draw(), pause=pause)

    def _pause(self, delivery: Delivery, accepted: bool) -> float:
        """Of a push subscription as a whole; this runner's view of it."""
        if delivery.source is not SourceKind.SUBSCRIPTION:
            return 0.0
        source = delivery.project, delivery.region, delivery.source, delivery.source_name
        pause = push_pause(self._pauses.pop(source, 0.0), accepted)
        if pause:
            self._pauses[source] = pause
        return pause

    def _land(self, flight: _Flight, move: Move) -> None:
        if self._flying.get(flight.delivery.uid) is flight:
            del self._flying[flight.delivery.uid]
        self._moves.append(move)
        self._news.set()

    # ------------------------------------------------------------ following

    def _follow(self, delivery: Delivery) -> None:
        if delivery.uid not in self._following:
            self._following[delivery.uid] = _begin(self._until_ended(delivery))

    async def _until_ended(self, delivery: Delivery) -> None:
        try:
            # The list may be another one by the time the end is there.
            move = await self._end_of(delivery)
            self._moves.append(move)
            self._news.set()
        except Exception:
            # The next sweep takes it up again.
            log.exception("Delivery %s cannot be followed", delivery.uid)
        finally:
            self._following.pop(delivery.uid, None)

    async def _end_of(self, delivery: Delivery) -> Move:
        uid = delivery.execution or ""
        while True:
            try:
                execution = await self._runner.settled(uid, within=FOLLOW_SECONDS)
            except NotFound:
                return moves.orphaned(delivery, self._clock.now())
            except JobrunnerError as error:
                log.warning("The end of execution %s is not known yet: %s", uid, error)
                await asyncio.sleep(FAULT_SECONDS)
                continue
            if execution.state in SETTLED_EXECUTIONS:
                end = RunEnd(execution.name, execution.state)
                return self._judged(delivery, Sent(end, execution=uid))

    # ------------------------------------------------------------ waiting and going down

    async def _wait(self, next_at: float | None) -> None:
        left = min(POLL_SECONDS, self._beat_at - self._machine.now())
        silence = None if next_at is None else self._clock.wake(next_at, self._news.set)
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._news.wait()
        except TimeoutError:
            pass
        finally:
            if silence is not None:
                silence()

    async def _drain(self) -> None:
        self._draining = True
        for follower in list(self._following.values()):
            follower.cancel()
        tasks = [flight.task for flight in self._flying.values() if flight.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        now = self._clock.now()
        for flight in list(self._flying.values()):
            if flight.task is not None:
                flight.task.cancel()
            # Whoever takes it next need not wait for the end of the lease.
            self._land(flight, moves.lost(flight.delivery, now))
        try:
            await self.turn()
        except JobrunnerError as error:
            log.warning("The ends of %d deliveries could not be stored: %s", len(tasks), error)


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)
