"""Planned side effects, as values. The planner writes them, the executor carries them out."""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.core.records import AttemptKey
from jobrunner.core.states import ExecutionState, StopReason


@dataclass(frozen=True, slots=True)
class StartAttempt:
    index: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    key: AttemptKey
    reason: StopReason


@dataclass(frozen=True, slots=True)
class AbortExecution:
    """``kind`` is one of :class:`jobrunner.core.records.AbortKind`."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class AbandonRest:
    """Every task without a live attempt that has not ended is not going to be tried."""


@dataclass(frozen=True, slots=True)
class SettleExecution:
    state: ExecutionState
    reason: str
    message: str


Step = StartAttempt | StopAttempt | AbortExecution | AbandonRest | SettleExecution
