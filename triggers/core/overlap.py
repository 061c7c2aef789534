"""May another one start while some are open? One rule: the clock, a run by hand and a backfill ask
here, and all that they started counts, with its retries. A run by hand and a replay, which somebody
wants now, ask only where the owner of the schedule has set a rule; they always count.

An occurrence is open until what it started has ended. What is open and what waits comes in from
outside, oldest first; the answer is a value that says in words why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from triggers.core.records import JobTarget, Overlap, OverlapScope, Schedule, Target


class Action(StrEnum):
    OPEN = "open"
    WAIT = "wait"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Admission:
    """``cancels`` are open ones to be cancelled and ``drops`` waiting ones to be skipped, both in
    favour of this one."""

    action: Action
    reason: str
    cancels: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()


def default_overlap(target: Target) -> Overlap:
    """As at Google: a call waits for the one before it; a job may run beside itself."""
    return Overlap.ALLOW if isinstance(target, JobTarget) else Overlap.QUEUE_ONE


def overlap_of(schedule: Schedule) -> Overlap:
    return schedule.overlap or default_overlap(schedule.target)


def admit(
    policy: Overlap,
    limit: int,
    running: Sequence[str],
    waiting: Sequence[str] = (),
    scope: OverlapScope = OverlapScope.SCHEDULE,
) -> Admission:
    """``running`` are the open ones of the scope and ``waiting`` those held back, oldest first."""
    if policy is Overlap.ALLOW:
        return Admission(Action.OPEN, "overlap is allowed")
    count = _count(len(running), limit, scope)
    if len(running) < limit and not waiting:
        return Admission(Action.OPEN, f"overlap {policy}: {count}")
    behind = f", {len(waiting)} waiting before it" if waiting else ""
    match policy:
        case Overlap.FORBID:
            if len(running) < limit:
                return Admission(Action.OPEN, f"overlap {policy}: {count}")
            return Admission(Action.SKIP, f"overlap forbid: {count}")
        case Overlap.QUEUE_ALL:
            return Admission(Action.WAIT, f"overlap queue-all: {count}{behind}")
        case Overlap.QUEUE_ONE:
            # What waits goes first, into the room there is, and then does not wait any more.
            if len(waiting) > len(release(limit, len(running), waiting)):
                return Admission(Action.SKIP, f"overlap queue-one: {count}, and one waits already")
            return Admission(Action.WAIT, f"overlap queue-one: {count}{behind}")
        case Overlap.REPLACE:
            cancels = tuple(running[: max(0, len(running) + 1 - limit)])
            if not cancels:
                return Admission(Action.OPEN, f"overlap replace: {count}", drops=tuple(waiting))
            reason = f"overlap replace: {count}; starts when what it replaces has ended"
            return Admission(Action.WAIT, reason, cancels, tuple(waiting))


def release(limit: int, running: int, waiting: Sequence[str]) -> tuple[str, ...]:
    """Which of ``waiting`` (oldest first) open now: never more than there is room for."""
    return tuple(waiting[: max(0, limit - running)])


def _count(running: int, limit: int, scope: OverlapScope) -> str:
    what = "of this schedule" if scope is OverlapScope.SCHEDULE else "of the job, from any source"
    return f"{running} open {what}, limit {limit}"
