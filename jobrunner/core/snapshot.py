"""One execution as its runner knows it: what is stored, and the indexes that make the next plan
cheap. It changes only by facts (``take_*``) and by carried-out steps (``do_*``); no I/O, no clock.

Nothing here costs more than the number of things that changed, so that 10,000 tasks are as cheap
each as 1,000.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable

from jobrunner.core.outcome import settled_message, task_ending
from jobrunner.core.records import (
    Abort,
    AbortKind,
    Attempt,
    AttemptKey,
    Counters,
    Execution,
    ExitStatus,
    Task,
)
from jobrunner.core.retry import RetryPolicy
from jobrunner.core.states import (
    ENDED,
    ENDED_TASKS,
    SETTLED_EXECUTIONS,
    AttemptEvent,
    AttemptState,
    ExecutionState,
    StopReason,
    TaskState,
    step,
)
from jobrunner.core.values import changed
from jobrunner.core.verdict import Ruling, judge

BY_RULING = {
    Ruling.DONE: TaskState.SUCCEEDED,
    Ruling.RETRY: TaskState.PENDING,
    Ruling.GIVE_UP: TaskState.FAILED,
    Ruling.FAIL_EXECUTION: TaskState.FAILED,
    Ruling.CANCELLED: TaskState.CANCELLED,
}


class Snapshot:
    """``execution`` and the values in ``tasks`` and ``live`` are frozen; a change replaces them.

    ``timeout`` is seconds per attempt (``None``: no limit); ``deadline`` is the instant at which
    the whole execution is given up (``None``: never).
    """

    def __init__(
        self,
        execution: Execution,
        tasks: Iterable[Task],
        live: Iterable[Attempt],
        *,
        policy: RetryPolicy,
        timeout: float | None,
        fail_fast: bool = False,
        deadline: float | None = None,
    ) -> None:
        self.execution = execution
        self.policy = policy
        self.timeout = timeout
        self.fail_fast = fail_fast
        self.deadline = deadline
        self.tasks: dict[int, Task] = {}
        self.live: dict[int, Attempt] = {attempt.index: attempt for attempt in live}
        self.ready: deque[int] = deque()
        self.delayed: list[tuple[float, int]] = []
        self.overdue_heap: list[tuple[float, AttemptKey]] = []
        self.unstopped: dict[int, None] = {}
        self.open_tasks = 0
        self._running = self._succeeded = self._failed = self._cancelled = self._retried = 0
        self._first_failed = execution.failed_index
        for task in tasks:
            self.tasks[task.index] = task
            self._count(task, +1)
            if task.state in ENDED_TASKS:
                continue
            self.open_tasks += 1
            if task.index in self.live:
                continue
            self._enqueue(task)
        for attempt in self.live.values():
            if attempt.state is not AttemptState.STOPPING:
                self.unstopped[attempt.index] = None
                self._watch(attempt)

    # ------------------------------------------------------------ questions

    @property
    def settled(self) -> bool:
        return self.execution.state in SETTLED_EXECUTIONS

    @property
    def aborting(self) -> bool:
        return self.execution.abort is not None

    def wanted(self, now: float) -> int:
        """How many attempts could start now if slots were free."""
        if self.aborting or self.settled:
            return 0
        self._ripen(now)
        return max(0, min(self.execution.parallelism - len(self.live), len(self.ready)))

    def next_ready(self, now: float, count: int) -> list[int]:
        """The indices of the next ``count`` tasks to start; takes nothing away."""
        self._ripen(now)
        return [self.ready[place] for place in range(min(count, len(self.ready)))]

    def overdue(self, now: float) -> list[AttemptKey]:
        """Live attempts, not being stopped, whose time is up."""
        found = []
        while self.overdue_heap and self.overdue_heap[0][0] <= now:
            entry = heapq.heappop(self.overdue_heap)
            key = entry[1]
            attempt = self.live.get(key.index)
            if attempt and attempt.number == key.number and key.index in self.unstopped:
                found.append(entry)
        for entry in found:
            heapq.heappush(self.overdue_heap, entry)
        return [key for _, key in found]

    def wake_at(self) -> float | None:
        """The next instant at which a plan may differ without any new fact."""
        instants = []
        if self.delayed and not self.aborting:
            instants.append(self.delayed[0][0])
        if self.deadline is not None and not self.aborting:
            instants.append(self.deadline)
        while self.overdue_heap:
            due, key = self.overdue_heap[0]
            attempt = self.live.get(key.index)
            if attempt and attempt.number == key.number and key.index in self.unstopped:
                instants.append(due)
                break
            heapq.heappop(self.overdue_heap)
        return min(instants, default=None)

    def shift(self, seconds: float) -> None:
        """The wall clock was set forward by so much: what was to happen in a while happens after
        the same while."""
        self.overdue_heap = [(due + seconds, key) for due, key in self.overdue_heap]
        self.delayed = [(at + seconds, index) for at, index in self.delayed]
        if self.deadline is not None:
            self.deadline += seconds

    # ------------------------------------------------------------ carried-out steps

    def do_start(self, index: int, now: float) -> tuple[Attempt, Task]:
        """Opens the next attempt of the task at the head of the queue."""
        if not self.ready or self.ready[0] != index:
            raise ValueError(f"task {index} is not the next one to start")
        self.ready.popleft()
        before = self.tasks[index]
        attempt = Attempt(
            execution=self.execution.uid,
            index=index,
            number=before.attempts,
            state=step(AttemptState.PENDING, AttemptEvent.CLAIMED),
            claimed_at=now,
        )
        task = changed(
            before,
            state=TaskState.RUNNING,
            attempts=before.attempts + 1,
            not_before=None,
            started_at=before.started_at if before.started_at is not None else now,
        )
        self._retask(before, task)
        self.live[index] = attempt
        self.unstopped[index] = None
        self._watch(attempt)
        return attempt, task

    def do_stop(self, key: AttemptKey, reason: StopReason, now: float) -> Attempt:
        event = AttemptEvent.DEADLINE if reason is StopReason.TIMEOUT else AttemptEvent.CANCEL
        before = self.live[key.index]
        attempt = changed(
            before,
            state=step(before.state, event, before.stop_reason),
            stop_reason=before.stop_reason or reason,
            stopping_at=before.stopping_at if before.stopping_at is not None else now,
        )
        self.live[key.index] = attempt
        self.unstopped.pop(key.index, None)
        return attempt

    def do_abort(self, abort: Abort) -> None:
        """The first wish wins."""
        if self.execution.abort is None and not self.settled:
            self.execution = changed(self.execution, abort=abort, state=ExecutionState.STOPPING)

    def do_abandon(self, now: float) -> list[Task]:
        """Ends every waiting task: Abandoned if it never started, else Cancelled. Returns the
        Cancelled ones; the Abandoned are all that is left Pending."""
        self.ready.clear()
        self.delayed.clear()
        retried = []
        for before in list(self.tasks.values()):
            if before.state is not TaskState.PENDING or before.index in self.live:
                continue
            tried = before.attempts > 0
            task = changed(
                before,
                state=TaskState.CANCELLED if tried else TaskState.ABANDONED,
                not_before=None,
                completed_at=now,
                reason="Cancelled",
                message=self.execution.abort.message if self.execution.abort else "",
            )
            self._retask(before, task)
            self.open_tasks -= 1
            if tried:
                retried.append(task)
        return retried

    def do_settle(self, state: ExecutionState, reason: str, message: str, now: float) -> None:
        """It was complete when its last task was, whenever somebody looked."""
        ends = (task.completed_at for task in self.tasks.values())
        at = min(max((end for end in ends if end is not None), default=now), now)
        self.execution = changed(
            self.execution, state=state, reason=reason, message=message, completed_at=at
        )

    # ------------------------------------------------------------ facts

    def take_launched(self, key: AttemptKey, handle: str, at: float) -> Attempt | None:
        before = self._live(key)
        if before is None:
            return None
        attempt = changed(
            before,
            state=step(before.state, AttemptEvent.LAUNCHED, before.stop_reason),
            handle=handle,
            launched_at=at,
        )
        self.live[key.index] = attempt
        if key.index in self.unstopped:
            self._watch(attempt)
        return attempt

    def take_launch_failed(
        self, key: AttemptKey, reason: str, message: str, *, permanent: bool, now: float
    ) -> tuple[Attempt, Task] | None:
        before = self._live(key)
        if before is None:
            return None
        state = step(before.state, AttemptEvent.LAUNCH_FAILED, before.stop_reason)
        attempt = changed(before, state=state, ended_at=now)
        if state is AttemptState.FAILED:
            # Of what was being stopped the stored reason is told.
            attempt = changed(attempt, reason=reason, message=message)
        return self._end(attempt, now, permanent=permanent)

    def take_exit(
        self, key: AttemptKey, status: ExitStatus, now: float
    ) -> tuple[Attempt, Task] | None:
        before = self._live(key)
        if before is None:
            return None
        stop_reason = before.stop_reason
        state = before.state
        if status.stopped is not None and stop_reason is None:
            # The backend enforced the limit by itself while nobody planned: same cells, one write.
            stop_reason = status.stopped
            event = (
                AttemptEvent.DEADLINE if stop_reason is StopReason.TIMEOUT else AttemptEvent.CANCEL
            )
            state = step(state, event)
        event = AttemptEvent.EXITED_ZERO if status.ok else AttemptEvent.EXITED_NONZERO
        attempt = changed(
            before,
            state=step(state, event, stop_reason),
            stop_reason=stop_reason,
            ended_at=status.ended_at if status.ended_at is not None else now,
            exit_code=status.code,
            signal=status.signal,
            oom=status.oom,
            usage=status.usage,
            output=status.output,
        )
        return self._end(attempt, now)

    def take_vanished(self, key: AttemptKey, now: float) -> tuple[Attempt, Task] | None:
        before = self._live(key)
        if before is None:
            return None
        attempt = changed(
            before,
            state=step(before.state, AttemptEvent.VANISHED, before.stop_reason),
            ended_at=now,
        )
        return self._end(attempt, now)

    def _end(self, ended: Attempt, now: float, *, permanent: bool = False) -> tuple[Attempt, Task]:
        assert ended.state in ENDED
        index = ended.index
        del self.live[index]
        self.unstopped.pop(index, None)
        before = self.tasks[index]
        is_lost = ended.state is AttemptState.LOST
        lost = before.lost + (1 if is_lost else 0)
        counted = before.counted
        if not is_lost and ended.state is not AttemptState.CANCELLED:
            counted += 1
        verdict = judge(
            ended,
            self.policy,
            counted=counted,
            lost=lost,
            now=now,
            aborting=self.aborting,
            permanent=permanent,
        )
        attempt = self._explain(ended)
        state = BY_RULING[verdict.ruling]
        over = state is not TaskState.PENDING
        task = changed(
            before,
            state=state,
            counted=counted,
            lost=lost,
            not_before=verdict.not_before,
            completed_at=_completed(ended, now) if over else None,
            reason=attempt.reason if over else "",
            message=attempt.message if over else "",
            exit_code=attempt.exit_code,
            signal=attempt.signal,
        )
        self._retask(before, task)
        if over:
            self.open_tasks -= 1
        else:
            self._enqueue(task)
        if state is TaskState.FAILED:
            self._failed_task(task, verdict.ruling, permanent, now)
        return attempt, task

    def _explain(self, ended: Attempt) -> Attempt:
        reason, message = task_ending(ended)
        abort = self.execution.abort
        if ended.state is AttemptState.CANCELLED and abort is not None and abort.message:
            message = abort.message
        reason, message = ended.reason or reason, ended.message or message
        if (reason, message) == (ended.reason, ended.message):
            return ended
        return changed(ended, reason=reason, message=message)

    def _failed_task(self, task: Task, ruling: Ruling, permanent: bool, now: float) -> None:
        if self._first_failed is None:
            self._first_failed = task.index
            self.execution = changed(self.execution, failed_index=task.index)
        if ruling is Ruling.FAIL_EXECUTION:
            kind = AbortKind.LAUNCH if permanent else AbortKind.RULE
        elif self.fail_fast:
            kind = AbortKind.FAIL_FAST
        else:
            return
        self.do_abort(Abort(kind=kind, at=now, message=settled_message(self.execution, task)))

    def first_failed(self) -> Task | None:
        return None if self._first_failed is None else self.tasks.get(self._first_failed)

    def counters(self) -> Counters:
        return Counters(
            running=self._running,
            succeeded=self._succeeded,
            failed=self._failed,
            cancelled=self._cancelled,
            retried=self._retried,
        )

    def refresh(self, now: float) -> None:
        """Brings the execution's own columns up to what its tasks say. Once per turn."""
        execution = self.execution
        counters = self.counters()
        started = execution.started_at
        state = execution.state
        if self.live:
            started = started if started is not None else now
            state = ExecutionState.RUNNING if state is ExecutionState.PENDING else state
        if (counters, started, state) != (
            execution.counters,
            execution.started_at,
            execution.state,
        ):
            self.execution = changed(execution, counters=counters, started_at=started, state=state)

    # ------------------------------------------------------------ inside

    def _live(self, key: AttemptKey) -> Attempt | None:
        """The live attempt ``key``; ``None`` for a late word about an earlier one."""
        attempt = self.live.get(key.index)
        return attempt if attempt is not None and attempt.number == key.number else None

    def _due(self, attempt: Attempt) -> float:
        assert self.timeout is not None
        return _began(attempt) + self.timeout

    def _watch(self, attempt: Attempt) -> None:
        if self.timeout is not None and attempt.launched_at is not None:
            heapq.heappush(self.overdue_heap, (self._due(attempt), attempt.key))

    def _enqueue(self, task: Task) -> None:
        if task.not_before is None:
            self.ready.append(task.index)
        else:
            heapq.heappush(self.delayed, (task.not_before, task.index))

    def _ripen(self, now: float) -> None:
        while self.delayed and self.delayed[0][0] <= now:
            self.ready.append(heapq.heappop(self.delayed)[1])

    def _retask(self, before: Task, after: Task) -> None:
        self._count(before, -1)
        self._count(after, +1)
        self.tasks[after.index] = after

    def _count(self, task: Task, sign: int) -> None:
        state = task.state
        if state is TaskState.RUNNING:
            self._running += sign
        elif state is TaskState.SUCCEEDED:
            self._succeeded += sign
        elif state is TaskState.FAILED:
            self._failed += sign
        elif state in ENDED_TASKS:
            self._cancelled += sign
        if task.attempts > 1:
            self._retried += sign


def _began(attempt: Attempt) -> float:
    return attempt.launched_at if attempt.launched_at is not None else attempt.claimed_at


def _completed(ended: Attempt, now: float) -> float:
    """When the task was complete of which this was the last attempt: when it ended, which may be
    long ago. Clocks of others, and real ones beside a virtual one, count within bounds."""
    at = now if ended.ended_at is None else ended.ended_at
    return min(max(at, _began(ended)), now)
