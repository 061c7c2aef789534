"""Moments that nobody saw: each gets a decision, once, whatever the clock did meanwhile."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.core.delays import delay_of, due_at, jitter_of, spread_of
from triggers.core.missed import ON_TIME, Due, decide, due_between, look, next_due
from triggers.core.occurrences import next_after, timing, timing_of
from triggers.core.records import (
    CatchUp,
    HttpTarget,
    OccurrenceKey,
    Origin,
    Schedule,
    ScheduleState,
)

HOUR, DAY = 3600, 86_400
T0 = int(datetime.fromisoformat("2026-03-02T00:00:00+00:00").timestamp())


def schedule(expression: str = "0 * * * *", **fields: object) -> Schedule:
    given = {"uid": "s", "project": "local", "region": "r", "name": "hourly", **fields}
    return Schedule(expression=expression, target=HttpTarget("http://x"), **given)  # type: ignore[arg-type]


def ran(decisions: tuple[Due, ...]) -> list[int]:
    return [(decision.at - T0) // HOUR for decision in decisions if decision.runs]


def test_what_is_due_now_runs_on_time_whatever_the_policy() -> None:
    for policy in CatchUp:
        plan = schedule(catch_up=policy)
        seen = look(plan, timing_of(plan), T0, T0 + HOUR + 2)
        assert seen.decisions == (Due(T0 + HOUR, True, Origin.DUE, "on time"),)
        assert seen.last == T0 + HOUR


def test_latest_runs_the_newest_and_lists_the_rest_as_missed() -> None:
    """Cronicle#263, Foundatio#317: down for hours."""
    plan = schedule()
    seen = look(plan, timing_of(plan), T0, T0 + 5 * HOUR + 600)
    assert ran(seen.decisions) == [5]
    assert len(seen.decisions) == 5
    assert seen.decisions[-1].origin is Origin.CATCH_UP
    assert seen.decisions[-1].reason == "missed by 10 min; run late, as missed runs: latest"
    assert seen.decisions[0].reason == (
        "missed by 4 h 10 min; a later one stands in for it, as missed runs: latest"
    )


def test_a_restart_within_the_firing_second_is_one_run_and_no_false_miss() -> None:
    """argo-workflows#12625."""
    plan = schedule()
    when = timing_of(plan)
    first = look(plan, when, T0, T0 + HOUR + 0.2)
    again = look(plan, when, first.last, T0 + HOUR + 0.9)
    assert ran(first.decisions) == [1]
    assert again.decisions == ()


def test_what_is_on_time_stands_in_for_what_was_missed_before_it() -> None:
    plan = schedule()
    seen = look(plan, timing_of(plan), T0, T0 + 3 * HOUR + 1)
    assert ran(seen.decisions) == [3]
    assert seen.decisions[-1].reason == "on time"


def test_all_runs_as_many_as_the_limit_and_as_old_as_the_window_allow() -> None:
    plan = schedule(catch_up=CatchUp.ALL, catch_up_limit=3)
    seen = look(plan, timing_of(plan), T0, T0 + 8 * HOUR + 600)
    assert ran(seen.decisions) == [6, 7, 8]
    assert "more than the 3 that are made up for" in seen.decisions[0].reason
    plan = schedule(catch_up=CatchUp.ALL, catch_up_window=2.5 * HOUR)
    seen = look(plan, timing_of(plan), T0, T0 + 8 * HOUR + 600)
    assert ran(seen.decisions) == [6, 7, 8]
    assert "older than the window of 2 h 30 min" in seen.decisions[0].reason


def test_latest_runs_nothing_when_even_the_newest_is_older_than_the_window() -> None:
    plan = schedule("0 0 * * *", catch_up_window=HOUR)
    assert ran(look(plan, timing_of(plan), T0, T0 + 3 * DAY + 2 * HOUR).decisions) == []


def test_skip_runs_nothing_that_was_missed_and_lists_it() -> None:
    plan = schedule(catch_up=CatchUp.SKIP)
    seen = look(plan, timing_of(plan), T0, T0 + 3 * HOUR + 600)
    assert (ran(seen.decisions), len(seen.decisions)) == ([], 3)
    assert "missed runs are skipped" in seen.decisions[0].reason


def test_nothing_is_made_up_for_a_pause() -> None:
    plan = schedule(state=ScheduleState.PAUSED)
    when = timing_of(plan)
    assert look(plan, when, T0, T0 + DAY).decisions == ()
    assert next_due(plan, when, T0) is None
    resumed = schedule(armed_from=T0 + DAY - 600.0, catch_up=CatchUp.ALL)
    assert ran(look(resumed, when, T0, T0 + DAY + 1).decisions) == [24]


def test_a_new_expression_makes_up_for_nothing_before_it_was_set() -> None:
    plan = schedule("*/5 * * * *", armed_from=T0 + HOUR + 1.0, catch_up=CatchUp.ALL)
    seen = look(plan, timing_of(plan), T0, T0 + HOUR + 301)
    assert [decision.at for decision in seen.decisions] == [T0 + HOUR + 300]


def test_the_start_and_the_end_are_due_themselves_and_nothing_outside_them_is() -> None:
    plan = schedule(starts_at=T0 + 2.0 * HOUR, ends_at=T0 + 4.0 * HOUR, catch_up=CatchUp.ALL)
    when = timing_of(plan)
    assert ran(look(plan, when, T0, T0 + DAY).decisions) == [2, 3, 4]
    assert next_due(plan, when, T0) == T0 + 2 * HOUR
    assert next_due(plan, when, T0 + 4 * HOUR) is None


def test_a_clock_that_goes_back_repeats_nothing() -> None:
    plan = schedule()
    when = timing_of(plan)
    seen = look(plan, when, T0, T0 + 5 * HOUR)
    back = look(plan, when, seen.last, T0 + 2 * HOUR)
    assert (back.decisions, back.last) == ((), seen.last)
    assert next_due(plan, when, max(seen.last, T0 + 2 * HOUR)) == T0 + 6 * HOUR


moves = st.lists(st.integers(-3 * HOUR, 12 * HOUR), min_size=1, max_size=25)


@settings(max_examples=100)
@given(
    moves,
    st.sampled_from(["*/10 * * * *", "17 */2 * * *", "every 25 minutes", "every day 02:30"]),
    st.sampled_from(list(CatchUp)),
    st.sampled_from([0, 90]),
    st.sampled_from([0.0, 45.0]),
)
def test_however_the_clock_jumps_each_moment_is_decided_once_and_none_is_lost(
    jumps: list[int], expression: str, policy: CatchUp, spread: int, jitter: float
) -> None:
    plan = schedule(expression, catch_up=policy, anchor=float(T0), spread=spread, jitter=jitter)
    when = timing_of(plan)
    now, last, decided = float(T0), float(T0), []
    furthest = now
    for jump in jumps:
        now += jump
        furthest = max(furthest, now)
        seen = look(plan, when, last, now)
        assert seen.last >= last
        last = seen.last
        decided += [decision.at for decision in seen.decisions]
    expected, at = [], next_after(when, T0)
    while at is not None and due_at(plan, at) <= furthest:
        expected.append(at)
        at = next_after(when, at)
    assert decided == expected


@given(
    st.lists(st.integers(0, 10_000), max_size=30, unique=True).map(sorted),
    st.integers(0, 5000),
    st.sampled_from(list(CatchUp)),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_decisions_are_as_many_as_moments_and_keep_to_limit_and_window(
    minutes: list[int], after: int, policy: CatchUp, limit: int, window: int | None
) -> None:
    instants = [minute * 60 for minute in minutes]
    now = (instants[-1] if instants else 0) + after
    found = decide(instants, now, policy=policy, limit=limit, window=window)
    assert [decision.at for decision in found] == instants
    late = [decision for decision in found if decision.origin is Origin.CATCH_UP]
    most = {CatchUp.ALL: limit, CatchUp.LATEST: 1, CatchUp.SKIP: 0}[policy]
    assert len(late) <= most
    assert all(decision.runs and now - decision.at >= ON_TIME for decision in late)
    assert window is None or all(now - decision.at <= window for decision in late)
    on_time = [decision for decision in found if now - decision.at < ON_TIME]
    assert all(decision.runs for decision in on_time)
    assert all(decision.reason for decision in found)


def test_a_list_is_bounded_holds_the_newest_and_says_that_there_were_more() -> None:
    when = timing("* * * * *")
    found = due_between(when, T0, T0 + 30 * DAY, most=50)
    assert found.more
    assert list(found.instants) == list(range(T0 + 30 * DAY - 49 * 60, T0 + 30 * DAY + 1, 60))
    few = due_between(when, T0, T0 + 600, most=50)
    assert (len(few.instants), few.more) == (10, False)


def test_a_list_that_is_dense_long_ago_and_rare_since_is_still_full() -> None:
    """Each minute of January, then once a month."""
    when = timing("* * * 1 *")
    start, end = T0 - 61 * DAY, T0 + 200 * DAY
    found = due_between(when, start, end, most=50)
    assert found.more
    assert len(found.instants) == 50
    assert found.instants[-1] == T0 - 29 * DAY - 60


def test_ten_years_of_minutes_are_looked_at_in_no_time() -> None:
    when = timing("* * * * *", "Europe/Berlin")
    before = perf_counter()
    found = due_between(when, T0 - 3650 * DAY, T0)
    assert len(found.instants) == 1000
    assert perf_counter() - before < 30


# Delays


def test_spread_is_the_same_for_all_occurrences_and_jitter_is_not() -> None:
    plan = schedule(spread=600, jitter=30.0)
    delays = [delay_of(plan, OccurrenceKey("s", T0 + hour * HOUR)) for hour in range(20)]
    assert len({delay.spread for delay in delays}) == 1
    assert len({delay.jitter for delay in delays}) > 15


def test_without_spread_and_jitter_an_occurrence_runs_when_it_is_due() -> None:
    assert due_at(schedule(), T0) == T0


@given(st.text(), st.integers(0, 10**6), st.floats(0, 10**5), st.integers(0, 2**33))
def test_delays_stay_within_bounds_and_are_the_same_each_time(
    name: str, spread: int, jitter: float, at: int
) -> None:
    key = OccurrenceKey("s", at)
    assert 0 <= spread_of(name, spread) <= spread
    assert spread_of(name, spread) == spread_of(name, spread)
    assert 0 <= jitter_of(key, jitter) <= jitter
    assert jitter_of(key, jitter) == jitter_of(key, jitter)


def test_a_thousand_names_spread_evenly() -> None:
    offsets = [spread_of(f"job-{number}", 59) for number in range(1000)]
    assert set(offsets) == set(range(60))
    assert max(offsets.count(offset) for offset in range(60)) < 40


def test_one_whose_delay_is_not_over_is_not_due_yet_and_is_not_late_by_its_delay() -> None:
    plan = schedule(spread=1800)
    delay = delay_of(plan, OccurrenceKey("s", T0 + HOUR)).spread
    assert delay > ON_TIME
    when = timing_of(plan)
    assert look(plan, when, T0, T0 + HOUR + delay - 1).decisions == ()
    seen = look(plan, when, T0, T0 + HOUR + delay + 1)
    assert [decision.reason for decision in seen.decisions] == ["on time"]


@pytest.mark.parametrize("state", [ScheduleState.PAUSED, ScheduleState.DISABLED])
def test_a_look_at_a_schedule_that_is_not_enabled_deals_with_nothing(state: ScheduleState) -> None:
    plan = schedule(state=state)
    assert look(plan, timing_of(plan), T0, T0 + DAY).last == T0
