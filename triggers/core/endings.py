"""What the end of an occurrence means for its schedule: failures in a row can pause it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from triggers.core.records import Schedule, ScheduleState


@dataclass(frozen=True, slots=True)
class Aftermath:
    """``reason`` is empty where nothing follows."""

    schedule: Schedule
    reason: str = ""


def after_end(schedule: Schedule, succeeded: bool) -> Aftermath:
    """One success forgets all failures. A schedule that is not enabled keeps its state."""
    failures = 0 if succeeded else schedule.failures + 1
    counted = replace(schedule, failures=failures)
    limit = schedule.pause_after
    if limit is None or failures < limit or schedule.state is not ScheduleState.ENABLED:
        return Aftermath(counted)
    times = "1 failure" if failures == 1 else f"{failures} failures in a row"
    reason = f"paused after {times}; resume it when the cause is gone"
    return Aftermath(replace(counted, state=ScheduleState.DISABLED), reason)


def resumed(schedule: Schedule, now: float) -> Schedule:
    """Enabled again: failures are forgotten, and nothing is made up for the pause."""
    return replace(schedule, state=ScheduleState.ENABLED, failures=0, armed_from=now)


def paused(schedule: Schedule) -> Schedule:
    return replace(schedule, state=ScheduleState.PAUSED)
