"""A backend that orders any ending, for tests of what runs on top of a backend: ours and yours.

Nothing is started. A script says how each attempt ends, by task index and attempt number, and
every launch, stop and discard is kept with its time. It stands in for a machine, not for a runner:
shared by two executors it shows the second one what the first had running, as a real one would.

::

    from jobrunner.backends.scripted import Exit, Hang, ScriptedBackend

    def script(index: int, attempt: int) -> Ending:
        if index == 3 and attempt == 0:
            return Exit(1, after=5.0, err=b"boom\\n")
        if index == 7:
            return Hang(obeys=False)
        return Exit(0)

    backend = ScriptedBackend(script)

Time goes by ``clock`` and ``sleep``; with a virtual pair of them no test waits for real.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jobrunner.core.records import AttemptKey, ExitStatus, Usage
from jobrunner.core.states import StopReason
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.lib.clock import SystemClock
from jobrunner.lib.framelog import FrameWriter
from jobrunner.ports import (
    Found,
    Health,
    Launched,
    LaunchSpec,
    MachineClock,
    Progress,
    Running,
    Sighting,
    Vanished,
)

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Exit:
    """Ends by itself with ``code``, ``after`` seconds, having written ``out`` and ``err`` at its
    start. A stop order ends it sooner, by signal 15."""

    code: int = 0
    after: float = 0.0
    out: bytes = b""
    err: bytes = b""


@dataclass(frozen=True, slots=True)
class Killed:
    """Is ended from outside by ``signal``, ``after`` seconds."""

    signal: int = 9
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Is killed for its use of memory, ``after`` seconds."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Never ends by itself. ``obeys`` TERM: ends ``after_term`` seconds later, with ``code``, or by
    signal 15 when that is ``None``; otherwise only KILL helps."""

    obeys: bool = True
    code: int | None = None
    after_term: float = 0.0


@dataclass(frozen=True, slots=True)
class Refuse:
    """Cannot be started."""

    permanent: bool = False
    message: str = "the script says that this attempt cannot be started"
    reason: str = "LaunchFailed"


@dataclass(frozen=True, slots=True)
class Vanish:
    """Is started, and ``after`` seconds nobody can say any more what became of it."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Late:
    """Like ``ending``, but the answer to the launch comes ``answer`` seconds late, and the news of
    the end ``report`` seconds late."""

    ending: Exit | Killed | OutOfMemory | Hang | Refuse | Vanish
    answer: float = 0.0
    report: float = 0.0


Ending = Exit | Killed | OutOfMemory | Hang | Refuse | Vanish | Late
Script = Callable[[int, int], Ending] | Mapping[tuple[int, int], Ending]
"""By (index, attempt number). What a mapping does not name exits with 0 at once."""


class LaunchRecord(NamedTuple):
    """``at`` is wall time by the backend's clock; ``again`` that the key was launched before."""

    key: AttemptKey
    lease: int
    at: float
    again: bool


class StopRecord(NamedTuple):
    key: AttemptKey
    grace: float
    at: float


class DiscardRecord(NamedTuple):
    key: AttemptKey
    at: float


class _Order(NamedTuple):
    """TERM at ``at``, KILL ``grace`` seconds later; ``reason`` when nobody asked for it."""

    at: float
    grace: float
    reason: StopReason | None = None


class _Outcome(NamedTuple):
    """``status`` is ``None`` for an attempt that leaves no trace."""

    at: float
    status: ExitStatus | None


@dataclass(slots=True)
class _Attempt:
    """Nothing runs: the end follows from the script and the orders, whoever asks, and when.
    ``started`` and ``orders`` are monotonic, ``started_at`` is wall time."""

    key: AttemptKey
    ending: Exit | Killed | OutOfMemory | Hang | Vanish
    report: float
    started: float
    started_at: float
    orders: list[_Order]
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def outcome(self) -> _Outcome:
        """The earliest of: its own end, what it does on TERM, KILL."""
        own = self.started + getattr(self.ending, "after", FOREVER)
        orders = [order for order in self.orders if order.at < own]
        if not orders:
            return self._ended(own, None)
        first = min(orders, key=lambda order: order.at)
        kill = min(order.at + order.grace for order in orders)
        if not isinstance(self.ending, Hang):
            on_term = first.at if first.grace > 0 else FOREVER
        else:
            on_term = first.at + self.ending.after_term if self.ending.obeys else FOREVER
        if own <= min(on_term, kill):
            return self._ended(own, None)
        if on_term < kill:
            code = self.ending.code if isinstance(self.ending, Hang) else None
            number = None if code is not None else int(signal.SIGTERM)
            return self._ended(on_term, first.reason, code, number)
        return self._ended(kill, first.reason, None, int(signal.SIGKILL))

    def _ended(
        self,
        at: float,
        reason: StopReason | None,
        code: int | None = None,
        number: int | None = None,
    ) -> _Outcome:
        ending = self.ending
        oom = False
        written = len(ending.out) + len(ending.err) if isinstance(ending, Exit) else 0
        if code is None and number is None:
            if isinstance(ending, Vanish):
                return _Outcome(at, None)
            if isinstance(ending, Exit):
                code = ending.code
            elif isinstance(ending, Killed):
                number = ending.signal
            elif isinstance(ending, OutOfMemory):
                number, oom = int(signal.SIGKILL), True
        status = ExitStatus(
            code=code,
            signal=number,
            oom=oom,
            started_at=self.started_at,
            ended_at=self.started_at + (at - self.started),
            usage=Usage(0.0, 0.0, 0),
            stopped=reason,
            output=written,
        )
        return _Outcome(at, status)

    def order(self, order: _Order) -> None:
        self.orders.append(order)
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            # A waiter of a loop that is gone waits no more.
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(None)


class ScriptedBackend:
    """See the module. ``launches``, ``stops`` and ``discards`` are what was asked for, in order;
    ``leases`` the highest lease per execution."""

    name = "scripted"

    def __init__(
        self,
        script: Script,
        *,
        clock: MachineClock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._script = script
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._attempts: dict[str, _Attempt] = {}
        self.launches: list[LaunchRecord] = []
        self.stops: list[StopRecord] = []
        self.discards: list[DiscardRecord] = []
        self.leases: dict[str, int] = {}
        self.peak = 0
        """The most attempts that ever ran at the same time."""

    # ------------------------------------------------------------------ the port

    async def probe(self) -> Health:
        return Health(True, "the script is ready")

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        """Every image is there, and pinned as it was named."""
        return image

    async def launch(self, spec: LaunchSpec) -> Launched:
        key = str(spec.key)
        known = self._attempts.get(key)
        now = self._clock.now()
        self.launches.append(LaunchRecord(spec.key, spec.lease, now, known is not None))
        reached = self.leases.get(spec.key.execution, 0)
        if spec.lease < reached:
            raise LaunchFailed(
                f"the execution {spec.key.execution} has been taken over by another runner (lease"
                f" {reached}, this one holds {spec.lease})",
                permanent=False,
                reason="StaleLease",
            )
        self.leases[spec.key.execution] = spec.lease
        ending = self._ending_of(spec)
        late = ending if isinstance(ending, Late) else Late(ending)
        if known is None and not isinstance(late.ending, Refuse):
            known = self._attempts[key] = self._begin(spec, late.ending, late.report)
            self.peak = max(self.peak, len(self.running()))
        if late.answer:
            await self._sleep(late.answer)
        if known is None:
            assert isinstance(late.ending, Refuse)
            refuse = late.ending
            raise LaunchFailed(refuse.message, permanent=refuse.permanent, reason=refuse.reason)
        return Launched(self._handle(key), known.started_at)

    async def wait(self, handle: str) -> ExitStatus:
        attempt = self._attempts.get(self._key(handle))
        if attempt is None:
            raise AttemptVanished(f"attempt {self._key(handle)}: it is not known here")
        while True:
            outcome = attempt.outcome()
            left = outcome.at + attempt.report - self._clock.monotonic()
            if left <= 0:
                break
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            attempt.waiting.append(changed)
            try:
                await self._first(changed, left)
            finally:
                if changed in attempt.waiting:
                    attempt.waiting.remove(changed)
        if outcome.status is None:
            raise AttemptVanished(f"attempt {attempt.key}: it vanished, as the script says")
        return outcome.status

    async def stop(self, handle: str, *, grace: float) -> None:
        attempt = self._attempts.get(self._key(handle))
        if attempt is not None:
            self.stops.append(StopRecord(attempt.key, grace, self._clock.now()))
            attempt.order(_Order(self._clock.monotonic(), grace))

    async def inspect(self, handle: str) -> Sighting:
        attempt = self._attempts.get(self._key(handle))
        return Vanished("it is not known here") if attempt is None else self._sight(attempt)

    async def discard(self, handle: str) -> None:
        attempt = self._attempts.pop(self._key(handle), None)
        if attempt is not None:
            self.discards.append(DiscardRecord(attempt.key, self._clock.now()))

    async def fence(self, execution: str, lease: int) -> None:
        self.leases[execution] = max(lease, self.leases.get(execution, 0))

    async def discover(self) -> AsyncIterator[Found]:
        for key, attempt in list(self._attempts.items()):
            yield Found(attempt.key, self._handle(key), self._sight(attempt))

    async def close(self) -> None:
        """What runs goes on: another executor finds it."""

    # ------------------------------------------------------------------ for assertions

    def running(self) -> list[AttemptKey]:
        """Attempts that have not ended, in the order of their launch."""
        now = self._clock.monotonic()
        return [a.key for a in self._attempts.values() if a.outcome().at > now]

    # ------------------------------------------------------------------ inside

    def _ending_of(self, spec: LaunchSpec) -> Ending:
        return self._ending(spec.key)

    def _ending(self, key: AttemptKey) -> Ending:
        if isinstance(self._script, Mapping):
            return self._script.get((key.index, key.number), Exit(0))
        return self._script(key.index, key.number)

    def _begin(
        self, spec: LaunchSpec, ending: Exit | Killed | OutOfMemory | Hang | Vanish, report: float
    ) -> _Attempt:
        begun, wall = self._clock.monotonic(), self._clock.now()
        orders = []
        if spec.template.timeout is not None:
            deadline = begun + spec.template.timeout
            orders.append(_Order(deadline, spec.template.grace, StopReason.TIMEOUT))
        if isinstance(ending, Exit):
            self._write(spec, ending, wall)
        return _Attempt(spec.key, ending, report, begun, wall, orders)

    @staticmethod
    def _write(spec: LaunchSpec, ending: Exit, at: float) -> None:
        if not spec.log or not (ending.out or ending.err):
            return
        os.makedirs(os.path.dirname(spec.log) or ".", exist_ok=True)
        limits = spec.template.log_limits
        writer = FrameWriter(spec.log, head=limits.head, tail=limits.tail)
        for stream, data in ((1, ending.out), (2, ending.err)):
            if data:
                writer.write(at, stream, data)
        writer.close()

    def _sight(self, attempt: _Attempt) -> Sighting:
        outcome = attempt.outcome()
        if outcome.at > self._clock.monotonic():
            return Running(attempt.started_at)
        return outcome.status or Vanished("it vanished, as the script says")

    async def _first(self, changed: asyncio.Future[None], left: float) -> None:
        """Until the end has moved or its time has come."""
        if left == FOREVER:
            await changed
            return
        sleeping = asyncio.ensure_future(self._sleep(left))
        try:
            await asyncio.wait({changed, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            changed.cancel()

    @staticmethod
    def _handle(key: str) -> str:
        return f"scripted:{key}"

    @staticmethod
    def _key(handle: str) -> str:
        word, _, key = handle.partition(":")
        if word != "scripted" or not key:
            raise BackendFault(f"'{handle}' is no handle of the scripted backend (scripted:KEY)")
        return key
