"""A dispatcher whose time, senders and runs are in the hands of a test."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from jobrunner.core.records import Execution
from jobrunner.core.states import ExecutionState
from jobrunner.errors import NotFound
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import connect
from tests.support.deliveries import NOW
from tests.support.stores import an_execution
from triggers.core.records import Delivery
from triggers.core.verdict import Answer, Outcome, RunEnd
from triggers.ports import DeliveryStore, Sent
from triggers.service.dispatch import Dispatcher, DispatchSettings
from triggers.store import open_deliveries

T = TypeVar("T")


async def commit_at_once(work: Callable[[], T]) -> T:
    return work()


class FakeSender:
    """Says what ``answers`` has for a key, or waits for :meth:`finish`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls: list[tuple[str, int]] = []
        self.answers: dict[str, list[Outcome | Exception]] = {}
        self.waiting: dict[str, asyncio.Future[Sent]] = {}
        self.most = 0

    async def send(self, delivery: Delivery, number: int) -> Sent:
        self.calls.append((delivery.key, number))
        answers = self.answers.get(delivery.key)
        if answers:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            run = answer.execution if isinstance(answer, RunEnd) else None
            return Sent(answer, b"said", run)
        assert delivery.uid not in self.waiting, "on the wire twice"
        future = asyncio.get_running_loop().create_future()
        self.waiting[delivery.uid] = future
        self.most = max(self.most, len(self.waiting))
        try:
            return await future
        finally:
            if self.waiting.get(delivery.uid) is future:
                del self.waiting[delivery.uid]

    def finish(self, uid: str, outcome: Outcome | None = None) -> None:
        self.waiting[uid].set_result(Sent(outcome or Answer(200), b"said"))

    async def close(self) -> None: ...


class FakeRunner:
    """Executions end when :meth:`end` says so."""

    def __init__(self) -> None:
        self.executions: dict[str, Execution] = {}
        self.open = True
        self._news = asyncio.Event()

    def start(self, uid: str) -> None:
        self.executions[uid] = replace(
            an_execution(uid), uid=uid, state=ExecutionState.RUNNING, completed_at=None
        )

    def end(self, uid: str, state: ExecutionState) -> None:
        self.executions[uid] = replace(self.executions[uid], state=state, completed_at=NOW)
        self._news.set()

    def remove(self, uid: str) -> None:
        del self.executions[uid]
        self._news.set()

    def look(self) -> None: ...

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        while True:
            if uid not in self.executions:
                raise NotFound(f"There is no execution {uid!r}.")
            if self.executions[uid].completed_at is not None:
                return self.executions[uid]
            self._news.clear()
            await self._news.wait()

    def accepts(self) -> bool:
        return self.open

    def trouble(self, uid: str) -> str | None:
        return None


class Bench:
    """A store in memory and one dispatcher on it; more can be made."""

    def __init__(self, store: DeliveryStore | None = None, **settings: Any) -> None:
        self.clock = FakeClock(NOW)
        self.store = store or open_deliveries(connect("sqlite:///:memory:"))
        self.sender = FakeSender(self.clock)
        self.runner = FakeRunner()
        self.settings = DispatchSettings(**settings)
        self.dispatcher = self.another("runner")

    def another(self, owner: str, *, gone: Callable[[str], bool] = lambda _: False) -> Dispatcher:
        sender = self.sender
        return Dispatcher(
            self.store,
            sender,
            commit_at_once,
            self.runner,
            self.clock,
            owner,
            self.settings,
            machine=self.clock,
            draw=lambda: 0.0,
            gone=gone,
        )

    async def turns(self, dispatcher: Dispatcher | None = None, count: int = 3) -> float | None:
        """Turns, and time for what is sent to come back between them."""
        next_at = None
        for _ in range(count):
            next_at = await (dispatcher or self.dispatcher).turn()
            await breathe()
        return next_at


async def breathe() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run_end(uid: str, state: ExecutionState = ExecutionState.RUNNING) -> RunEnd:
    return RunEnd(uid, state)
