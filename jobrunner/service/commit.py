"""Group commit on an event loop: the works of one turn share a transaction.

A caller hands in a work and waits. The first work of a turn books a flush for the next turn; by
then every call that was read from the network in the same turn has handed in its own. As long as
each turn brings more of them the flush is put off, for some turns at most: those who were answered
by the last flush ask again just now. One fsync then serves all of them.

Where a work says so, its group waits for the disk in a thread, and the loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from jobrunner.errors import StoreFault
from jobrunner.ports import Store

T = TypeVar("T")

LARGEST_GROUP = 256
"""Works per transaction: what is more waits for the next turn, so that the loop breathes."""

MOST_TURNS = 8
"""How often a flush is put off because more has come. A turn that brings nothing ends the wait, so
who is alone waits for one turn."""


@dataclass(slots=True)
class _Waiting:
    work: Callable[[], object]
    answer: asyncio.Future[object]
    apart: bool


class GroupCommit:
    """:class:`jobrunner.ports.Commit` over a store, for one running loop.

    A caller that is cancelled before its turn has written nothing; later, what it wrote stays. In
    neither case do the others notice.
    """

    def __init__(self, store: Store, *, largest: int = LARGEST_GROUP) -> None:
        self._store = store
        self._largest = largest
        self._waiting: list[_Waiting] = []
        self._seen = 0
        self._turns = 0
        self._thread: ThreadPoolExecutor | None = None
        self._finishing = False

    async def __call__(self, work: Callable[[], T]) -> T:
        return await self._added(work, apart=False)

    async def apart(self, work: Callable[[], T]) -> T:
        """As a call of this object, for a caller with other things to do on the loop: it does not
        stand still while the disk syncs. Costs some more processor time."""
        return await self._added(work, apart=True)

    async def _added(self, work: Callable[[], T], *, apart: bool) -> T:
        loop = asyncio.get_running_loop()
        if not self._waiting and not self._finishing:
            loop.call_soon(self._flush)
        waiting = _Waiting(work, loop.create_future(), apart)
        self._waiting.append(waiting)
        return cast(T, await waiting.answer)

    def _flush(self) -> None:
        if self._finishing:
            # Its end brings the next flush.
            return
        if self._grows():
            asyncio.get_running_loop().call_soon(self._flush)
            return
        self._seen = self._turns = 0
        turn, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        group = [waiting for waiting in turn if not waiting.answer.done()]
        if any(waiting.apart for waiting in group):
            self._commit_apart(group)
        elif group:
            self._commit(group)

    def _grows(self) -> bool:
        """Whether to wait for one more turn."""
        before, self._seen = self._seen, len(self._waiting)
        self._turns += 1
        return before < self._seen < self._largest and self._turns <= MOST_TURNS

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            answers = self._store.group([waiting.work for waiting in group])
        except StoreFault as fault:
            for waiting in group:
                waiting.answer.set_exception(fault)
        except Exception as bug:
            # A work that breaks takes the transaction with it; the others must not pay for that.
            if len(group) == 1:
                group[0].answer.set_exception(_carried(bug))
                return
            for waiting in group:
                self._commit([waiting])
        else:
            _answer(group, answers)

    def _commit_apart(self, group: list[_Waiting]) -> None:
        try:
            answers, finish = self._store.begin_group([waiting.work for waiting in group])
        except Exception:
            # Nothing was written; who is to blame is found one by one.
            self._commit(group)
            return
        if finish is None:
            _answer(group, answers)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "commit")
        self._finishing = True
        finished = asyncio.get_running_loop().run_in_executor(self._thread, finish)
        finished.add_done_callback(lambda done: self._finished(group, answers, done))

    def _finished(
        self, group: list[_Waiting], answers: Sequence[object], done: asyncio.Future[None]
    ) -> None:
        self._finishing = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        error = done.exception()
        if error is None:
            _answer(group, answers)
            return
        for waiting in group:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _answer(group: Sequence[_Waiting], answers: Sequence[object]) -> None:
    for waiting, answer in zip(group, answers, strict=True):
        if waiting.answer.done():
            # Its caller has left meanwhile.
            continue
        if isinstance(answer, Exception):
            waiting.answer.set_exception(_carried(answer))
        else:
            waiting.answer.set_result(answer)


def _carried(bug: Exception) -> Exception:
    # A future refuses to carry this one, and its caller would wait for ever.
    return RuntimeError(f"a work raised {bug!r}") if isinstance(bug, StopIteration) else bug
