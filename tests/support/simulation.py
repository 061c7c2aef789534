"""Drives the pure rules through a generated history, with no store, no backend and no time but
the one it is told. What a property test may ask of planner, snapshot and driver is asked here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jobrunner.core.records import (
    Abort,
    AttemptKey,
    Execution,
    ExitStatus,
    Lease,
    Task,
)
from jobrunner.core.retry import RetryPolicy
from jobrunner.core.snapshot import Snapshot
from jobrunner.core.spec import ExecutionTemplate
from jobrunner.core.states import AttemptState, TaskState
from jobrunner.errors import LaunchFailed
from jobrunner.executor.driver import (
    AbortFact,
    Driver,
    ExitedFact,
    Fact,
    LaunchedFact,
    LaunchFailedFact,
    VanishedFact,
)
from jobrunner.ports import Launched, Turn

NOW = 1_750_000_000.0


def execution_of(tasks: int, parallelism: int = 0, **fields: object) -> Execution:
    values: dict[str, object] = {
        "uid": "e-1",
        "project": "local",
        "region": "us-central1",
        "name": "job-abcde",
        "job_uid": "j-1",
        "job_name": "job",
        "job_generation": 1,
        "template": ExecutionTemplate(),
        "task_count": tasks,
        "parallelism": parallelism or tasks,
        "backend": "scripted",
        "created_at": NOW,
        "env_task_count": tasks,
        "lease": Lease("me", 1, NOW + 15),
    }
    return Execution(**(values | fields))  # type: ignore[arg-type]


def snapshot_of(
    execution: Execution,
    *,
    policy: RetryPolicy | None = None,
    timeout: float | None = None,
    fail_fast: bool = False,
    deadline: float | None = None,
) -> Snapshot:
    return Snapshot(
        execution,
        [Task(execution.uid, index) for index in execution.task_indices()],
        [],
        policy=policy or RetryPolicy(max_retries=0),
        timeout=timeout,
        fail_fast=fail_fast,
        deadline=deadline,
    )


@dataclass
class Simulation:
    """``running`` holds attempts that were launched and have not ended; every turn stored is in
    ``turns``. Checks the invariants of the design after every turn."""

    driver: Driver
    now: float = NOW
    slots: int = 64
    launching: list[AttemptKey] = field(default_factory=list)
    running: list[AttemptKey] = field(default_factory=list)
    stopping: set[AttemptKey] = field(default_factory=set)
    turns: list[Turn] = field(default_factory=list)
    opened: Counter[int] = field(default_factory=Counter)
    counted: Counter[int] = field(default_factory=Counter)

    @property
    def snapshot(self) -> Snapshot:
        return self.driver.snapshot

    def turn(self, *facts: Fact) -> Turn | None:
        self.driver.facts += facts
        draft = self.driver.take_facts(self.now)
        self.driver.plan_turn(draft, self.now, self.slots - len(self.snapshot.live))
        turn = self.driver.finish_turn(draft, self.now)
        self.launching += draft.orders.launch
        for attempt in draft.orders.stop:
            self.stopping.add(attempt.key)
        if turn is not None:
            self.turns.append(turn)
            for attempt in turn.opened:
                self.opened[attempt.index] += 1
            for move in turn.moved:
                if move.attempt.state in (AttemptState.FAILED, AttemptState.TIMED_OUT):
                    self.counted[move.attempt.index] += 1
        self.check()
        return turn

    def check(self) -> None:
        snapshot = self.snapshot
        execution = snapshot.execution
        assert len(snapshot.live) <= execution.parallelism
        assert len(snapshot.live) <= self.slots
        budget = snapshot.policy.max_retries + 1
        assert all(count <= budget for count in self.counted.values())
        states = Counter(task.state for task in snapshot.tasks.values())
        counters = snapshot.counters()
        assert counters.running == states[TaskState.RUNNING] == len(snapshot.live)
        assert counters.succeeded == states[TaskState.SUCCEEDED]
        assert counters.failed == states[TaskState.FAILED]
        assert counters.cancelled == states[TaskState.CANCELLED] + states[TaskState.ABANDONED]

    def launched(self, key: AttemptKey) -> Turn | None:
        self.launching.remove(key)
        self.running.append(key)
        return self.turn(LaunchedFact(key, Launched(f"h:{key}", self.now)))

    def launch_failed(self, key: AttemptKey, *, permanent: bool = False) -> Turn | None:
        self.launching.remove(key)
        return self.turn(LaunchFailedFact(key, LaunchFailed("no", permanent=permanent)))

    def launch_all(self) -> None:
        for key in list(self.launching):
            self.launched(key)

    def exited(self, key: AttemptKey, code: int | None = 0, **fields: object) -> Turn | None:
        self.running.remove(key)
        self.stopping.discard(key)
        status = ExitStatus(code=code, **fields)  # type: ignore[arg-type]
        return self.turn(ExitedFact(key, status))

    def vanished(self, key: AttemptKey) -> Turn | None:
        for place in (self.running, self.launching):
            if key in place:
                place.remove(key)
        return self.turn(VanishedFact(key))

    def abort(self, kind: str = "cancel", message: str = "Cancelled by user.") -> Turn | None:
        return self.turn(AbortFact(Abort(kind, self.now, message)))


def simulate(
    tasks: int,
    parallelism: int = 0,
    *,
    policy: RetryPolicy | None = None,
    timeout: float | None = None,
    fail_fast: bool = False,
    deadline: float | None = None,
    slots: int = 64,
) -> Simulation:
    """A simulation after its first turn: the first attempts wait for their launch."""
    snapshot = snapshot_of(
        execution_of(tasks, parallelism),
        policy=policy,
        timeout=timeout,
        fail_fast=fail_fast,
        deadline=deadline,
    )
    simulation = Simulation(Driver(snapshot, order=0.0), slots=slots)
    simulation.turn()
    return simulation
