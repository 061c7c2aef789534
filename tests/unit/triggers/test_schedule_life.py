"""Failures in a row, pauses, backfills, and what was told against what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from jobrunner.errors import InvalidSpec
from triggers.core.backfill import plan_backfill
from triggers.core.endings import after_end, paused, resumed
from triggers.core.explain import explain
from triggers.core.history import Match, compare
from triggers.core.missed import look
from triggers.core.occurrences import timing_of
from triggers.core.records import (
    HttpTarget,
    Occurrence,
    OccurrenceKey,
    Schedule,
    ScheduleRetry,
    ScheduleState,
)
from triggers.core.retry import Exhausted, History, RetryAt, after_unknown, next_attempt
from triggers.core.states import OccurrenceState

HOUR = 3600
T0 = int(datetime.fromisoformat("2026-03-02T00:00:00+00:00").timestamp())
PLAN = Schedule("s", "local", "r", "hourly", "0 * * * *", HttpTarget("http://x"))
WHEN = timing_of(PLAN)


def test_so_many_failures_in_a_row_pause_a_schedule() -> None:
    plan = replace(PLAN, pause_after=3)
    for expected in (ScheduleState.ENABLED, ScheduleState.ENABLED, ScheduleState.DISABLED):
        after = after_end(plan, succeeded=False)
        plan = after.schedule
        assert plan.state is expected
    assert after.reason == "paused after 3 failures in a row; resume it when the cause is gone"


def test_one_success_forgets_the_failures_before_it() -> None:
    plan = replace(PLAN, pause_after=2)
    for succeeded in (False, True, False, True, False):
        plan = after_end(plan, succeeded).schedule
    assert (plan.state, plan.failures) == (ScheduleState.ENABLED, 1)


def test_without_a_limit_failures_are_only_counted() -> None:
    plan = PLAN
    for _ in range(50):
        plan = after_end(plan, succeeded=False).schedule
    assert (plan.state, plan.failures) == (ScheduleState.ENABLED, 50)


def test_a_run_that_ends_after_somebody_paused_the_schedule_leaves_it_paused() -> None:
    plan = replace(paused(PLAN), pause_after=1)
    assert after_end(plan, succeeded=False).schedule.state is ScheduleState.PAUSED


def test_who_resumes_begins_anew_and_makes_up_for_nothing() -> None:
    plan = resumed(replace(PLAN, state=ScheduleState.DISABLED, failures=5), T0 + 5.5 * HOUR)
    assert (plan.state, plan.failures) == (ScheduleState.ENABLED, 0)
    assert [d.at for d in look(plan, WHEN, T0, T0 + 6 * HOUR).decisions] == [T0 + 6 * HOUR]


def test_a_backfill_holds_both_ends_of_its_range_under_keys_of_its_own() -> None:
    found = plan_backfill(PLAN, WHEN, "b1", T0, T0 + 3 * HOUR)
    assert [(key.nominal - T0) // HOUR for key in found.keys] == [0, 1, 2, 3]
    assert {key.backfill for key in found.keys} == {"b1"}


def test_a_backfill_asked_for_twice_has_the_same_keys_and_another_one_has_others() -> None:
    """trigger.dev PR#4098: what was asked for twice adds nothing the second time."""
    first = plan_backfill(PLAN, WHEN, "b1", T0, T0 + HOUR)
    assert plan_backfill(PLAN, WHEN, "b1", T0, T0 + HOUR) == first
    other = plan_backfill(PLAN, WHEN, "b2", T0, T0 + HOUR)
    assert not set(first.keys) & set(other.keys)


def test_a_backfill_does_not_ask_for_the_state_and_the_dates_of_the_schedule() -> None:
    plan = replace(PLAN, state=ScheduleState.PAUSED, armed_from=T0 + 1e9, starts_at=T0 + 1e9)
    assert len(plan_backfill(plan, WHEN, "b", T0, T0 + 3 * HOUR).keys) == 4


@pytest.mark.parametrize(
    ("hours", "words"),
    [(-1, "to: it lies before 'from'"), (10**6, "holds more than 10000 occurrences")],
)
def test_a_range_that_is_empty_or_too_long_is_refused(hours: int, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        plan_backfill(PLAN, WHEN, "b", T0, T0 + hours * HOUR)


def test_a_catch_up_run_without_retries_that_times_out_has_one_attempt() -> None:
    """Cronicle#369."""
    after = next_attempt(ScheduleRetry(retry_count=0), History(1, T0), T0 + 180)
    assert isinstance(after, Exhausted)


def test_an_attempt_of_unknown_end_is_sent_again_three_times_and_no_more() -> None:
    assert [isinstance(after_unknown(n, T0), RetryAt) for n in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert after_unknown(4, T0) == Exhausted("4 attempts of unknown end")


def seen(hour: int, state: OccurrenceState, backfill: str | None = None) -> Occurrence:
    at = T0 + hour * HOUR
    return Occurrence(OccurrenceKey("s", at, backfill), float(at), state)


def test_what_was_told_is_set_against_what_happened() -> None:
    told = explain(PLAN, WHEN, T0, T0 + 4 * HOUR)
    happened = [
        seen(1, OccurrenceState.CLOSED),
        seen(2, OccurrenceState.MISSED),
        seen(4, OccurrenceState.WAITING),
        seen(4, OccurrenceState.CLOSED, "by-hand"),
        seen(9, OccurrenceState.CLOSED),
    ]
    found = [((row.nominal - T0) // HOUR, row.match) for row in compare(told, happened)]
    assert found == [
        (1, Match.AS_TOLD),
        (2, Match.OTHERWISE),
        (3, Match.NOT_SEEN),
        (4, Match.AS_TOLD),
        (4, Match.NOT_TOLD),
        (9, Match.NOT_TOLD),
    ]


def test_what_was_not_to_run_and_left_no_record_is_as_told() -> None:
    told = explain(replace(PLAN, state=ScheduleState.PAUSED), WHEN, T0, T0 + 2 * HOUR)
    assert [row.match for row in compare(told, [])] == [Match.AS_TOLD, Match.AS_TOLD]
