"""One execution while a runner drives it: facts in, one durable turn out, then the orders.

The order of writes is what makes a crash safe: intents are in the store before anything is
launched, and results are in the store before their remains are discarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobrunner.core.planner import plan
from jobrunner.core.records import Abort, Attempt, AttemptKey, Execution, ExitStatus, Task
from jobrunner.core.snapshot import Snapshot
from jobrunner.core.states import (
    SETTLED_EXECUTIONS,
    AttemptState,
    ExecutionState,
    TaskState,
)
from jobrunner.core.steps import (
    AbandonRest,
    AbortExecution,
    SettleExecution,
    StartAttempt,
    StopAttempt,
)
from jobrunner.errors import LaunchFailed
from jobrunner.ports import Launched, Move, Turn


@dataclass(frozen=True, slots=True)
class LaunchedFact:
    key: AttemptKey
    answer: Launched


@dataclass(frozen=True, slots=True)
class LaunchFailedFact:
    key: AttemptKey
    error: LaunchFailed


@dataclass(frozen=True, slots=True)
class ExitedFact:
    key: AttemptKey
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class VanishedFact:
    key: AttemptKey
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AbortFact:
    abort: Abort


Fact = LaunchedFact | LaunchFailedFact | ExitedFact | VanishedFact | AbortFact


@dataclass(slots=True)
class Orders:
    """What is to be done after the turn is stored."""

    launch: list[AttemptKey] = field(default_factory=list)
    stop: list[Attempt] = field(default_factory=list)
    discard: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """Changes of this turn by attempt, with the state that the store still has."""

    expect: dict[tuple[int, int], AttemptState] = field(default_factory=dict)
    moved: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    opened: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    abandoned: bool = False
    orders: Orders = field(default_factory=Orders)


class Driver:
    """``facts`` may be appended to at any time from the event loop; ``turn`` consumes them."""

    def __init__(self, snapshot: Snapshot, *, order: float, memory: int = 0) -> None:
        self.snapshot = snapshot
        self.order = order
        self.memory = memory
        self.facts: list[Fact] = []
        self.notes: list[tuple[str, Mapping[str, str]]] = []
        """Entries for the feed that go with the next turn."""
        self._stored = snapshot.execution

    @property
    def execution(self) -> Execution:
        return self.snapshot.execution

    @property
    def uid(self) -> str:
        return self.snapshot.execution.uid

    def is_live(self, key: AttemptKey) -> bool:
        """Whether the attempt has not ended, as far as turns have told."""
        attempt = self.snapshot.live.get(key.index)
        return attempt is not None and attempt.number == key.number

    def is_stopping(self, key: AttemptKey) -> bool:
        return self.is_live(key) and key.index not in self.snapshot.unstopped

    def take_facts(self, now: float) -> Draft:
        """Applies what happened. Late words about attempts that have ended change nothing."""
        draft = Draft()
        facts, self.facts = self.facts, []
        for fact in facts:
            if isinstance(fact, AbortFact):
                self.snapshot.do_abort(fact.abort)
            else:
                self._take(draft, fact, now)
        return draft

    def _take(
        self,
        draft: Draft,
        fact: LaunchedFact | LaunchFailedFact | ExitedFact | VanishedFact,
        now: float,
    ) -> None:
        snapshot, key = self.snapshot, fact.key
        if not self.is_live(key):
            return
        before = snapshot.live[key.index]
        if isinstance(fact, LaunchedFact):
            launched = snapshot.take_launched(key, fact.answer.handle, fact.answer.at)
            if launched is not None:
                self._moved(draft, before, launched)
                if launched.state is AttemptState.STOPPING:
                    draft.orders.stop.append(launched)
            return
        if isinstance(fact, ExitedFact):
            ended = snapshot.take_exit(key, fact.status, now)
        elif isinstance(fact, VanishedFact):
            ended = snapshot.take_vanished(key, now)
        else:
            error = fact.error
            ended = snapshot.take_launch_failed(
                key, error.reason, error.message, permanent=error.permanent, now=now
            )
        if ended is not None:
            attempt, task = ended
            self._moved(draft, before, attempt)
            draft.tasks[task.index] = task
            if attempt.handle is not None:
                draft.orders.discard.append(attempt.handle)

    @staticmethod
    def _moved(draft: Draft, before: Attempt, after: Attempt) -> None:
        place = (after.index, after.number)
        draft.expect.setdefault(place, before.state)
        draft.moved[place] = after

    def plan_turn(self, draft: Draft, now: float, slots: int) -> None:
        """Plans and applies steps until a further look adds nothing."""
        snapshot = self.snapshot
        while steps := plan(snapshot, now, slots):
            for step in steps:
                if isinstance(step, StartAttempt):
                    slots -= 1
                    attempt, task = snapshot.do_start(step.index, now)
                    draft.opened[attempt.index, attempt.number] = attempt
                    draft.tasks[task.index] = task
                    draft.orders.launch.append(attempt.key)
                elif isinstance(step, StopAttempt):
                    before = snapshot.live[step.key.index]
                    stopping = snapshot.do_stop(step.key, step.reason, now)
                    self._moved(draft, before, stopping)
                    if stopping.handle is not None:
                        draft.orders.stop.append(stopping)
                elif isinstance(step, AbortExecution):
                    snapshot.do_abort(Abort(kind=step.kind, at=now, message=step.message))
                elif isinstance(step, AbandonRest):
                    for task in snapshot.do_abandon(now):
                        draft.tasks[task.index] = task
                    draft.abandoned = True
                elif isinstance(step, SettleExecution):
                    snapshot.do_settle(step.state, step.reason, step.message, now)

    def finish_turn(self, draft: Draft, now: float) -> Turn | None:
        """The turn to store, or ``None`` if nothing changed."""
        self.snapshot.refresh(now)
        execution = self.snapshot.execution
        changed = draft.opened or draft.moved or draft.tasks or self.notes
        if execution is self._stored and not changed:
            return None
        notes, self.notes = self.notes, []
        changes = [*notes, *execution_changes(self._stored, execution)]
        self._stored = execution
        return Turn(
            execution=execution,
            opened=list(draft.opened.values()),
            moved=[Move(draft.expect[place], a) for place, a in draft.moved.items()],
            tasks=list(draft.tasks.values()),
            abandoned=TaskState.ABANDONED if draft.abandoned else None,
            at=now,
            changes=changes,
        )


def execution_changes(before: Execution, after: Execution) -> list[tuple[str, Mapping[str, str]]]:
    """Entries of the life-cycle feed for what changed between two stored values."""
    found: list[tuple[str, Mapping[str, str]]] = []
    if before.started_at is None and after.started_at is not None:
        found.append(("started", {}))
    if before.abort is None and after.abort is not None:
        found.append(("stopping", {"kind": after.abort.kind, "message": after.abort.message}))
    if before.state not in SETTLED_EXECUTIONS and after.state in SETTLED_EXECUTIONS:
        counters = after.counters
        found.append(
            (
                {
                    ExecutionState.SUCCEEDED: "succeeded",
                    ExecutionState.CANCELLED: "cancelled",
                }.get(after.state, "failed"),
                {
                    "reason": after.reason,
                    "message": after.message,
                    "succeeded": str(counters.succeeded),
                    "failed": str(counters.failed),
                    "cancelled": str(counters.cancelled),
                },
            )
        )
    return found
