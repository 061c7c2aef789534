"""What a schedule will do and why is told by the rules that decide."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.core.explain import Away, Explained, explain
from triggers.core.missed import look
from triggers.core.occurrences import parse_expression, timing_of
from triggers.core.records import (
    CatchUp,
    Gap,
    HttpTarget,
    JobTarget,
    Overlap,
    Repeat,
    Schedule,
    ScheduleState,
)
from triggers.core.states import OccurrenceState
from triggers.core.words import describe

HOUR = 3600


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def schedule(expression: str, zone: str = "Europe/Berlin", **fields: object) -> Schedule:
    given = {"uid": "s", "project": "local", "region": "r", "name": "n", **fields}
    target = given.pop("target", HttpTarget("http://x"))
    return Schedule(expression=expression, time_zone=zone, target=target, **given)  # type: ignore[arg-type]


def told(plan: Schedule, start: str, count: int = 5, **how: object) -> list[Explained]:
    return explain(plan, timing_of(plan), unix(start), count=count, **how)  # type: ignore[arg-type]


def test_a_plain_fire_needs_no_reason() -> None:
    (row,) = told(schedule("0 9 * * *"), "2026-06-01T00:00:00+02:00", 1)
    assert (row.local, row.wall) == ("2026-06-01T09:00:00+02:00", "2026-06-01T09:00")
    assert (row.runs, row.due_at, row.reasons) == (True, row.nominal, ())


def test_the_spring_day_is_told_with_the_clocks_and_the_setting() -> None:
    start = "2026-03-29T00:00:00+01:00"
    (row,) = told(schedule("30 2 * * *"), start, 1)
    assert row.local == "2026-03-29T03:00:00+02:00"
    assert row.reasons == (
        "02:30 does not exist on 2026-03-29, clocks in Europe/Berlin go from 02:00 to 03:00;"
        " gap: run, at the first instant after",
    )
    (row,) = told(schedule("30 2 * * *", gap=Gap.SKIP), start, 1)
    assert (row.runs, row.state) == (False, OccurrenceState.SKIPPED)
    assert row.reasons[0].endswith("gap: skip")


def test_the_autumn_day_is_told_with_both_passes() -> None:
    start = "2026-10-25T00:00:00+02:00"
    first, second = told(schedule("30 2 * * *"), start, 2)
    assert (first.runs, second.runs) == (True, False)
    assert first.reasons[0].endswith(
        "clocks in Europe/Berlin go from 03:00 to 02:00; this is the first"
    )
    assert second.reasons[0].endswith("repeat: first, and this is the second")
    first, second = told(schedule("30 2 * * *", repeat=Repeat.BOTH), start, 2)
    assert (first.runs, second.runs) == (True, True)
    assert second.reasons[0].endswith("repeat: both, and this is the second")


def test_delays_are_told() -> None:
    (row,) = told(schedule("0 9 * * *", spread=900, jitter=5.0), "2026-06-01T00:00:00+02:00", 1)
    assert row.reasons[0].endswith("s later, by its name")
    assert row.reasons[1].startswith("jitter: ")
    assert row.nominal < row.due_at <= row.nominal + 905


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": ScheduleState.PAUSED}, "the schedule is PAUSED; nothing is made up for later"),
        ({"starts_at": float(unix("2027-01-01T00:00:00Z"))}, "before the start date"),
        ({"ends_at": float(unix("2026-01-01T00:00:00Z"))}, "after the end date"),
        (
            {"armed_from": float(unix("2027-01-01T00:00:00Z"))},
            "before the schedule was created, resumed or changed",
        ),
    ],
)
def test_what_lies_out_of_bounds_is_told_and_does_not_run(
    fields: dict[str, object], reason: str
) -> None:
    (row,) = told(schedule("0 9 * * *", **fields), "2026-06-01T00:00:00+02:00", 1)
    assert (row.runs, row.reasons) == (False, (reason,))


def test_overlap_is_told_for_runs_of_a_given_length() -> None:
    start = "2026-06-01T00:00:00+02:00"
    plan = schedule("0 * * * *", overlap=Overlap.FORBID)
    rows = told(plan, start, 4, run_seconds=1.5 * HOUR)
    assert [row.runs for row in rows] == [True, False, True, False]
    assert rows[1].reasons == ("overlap forbid: 1 open of this schedule, limit 1",)


def test_who_waits_starts_when_the_one_before_it_has_ended() -> None:
    """A start that is due at 16:00 while the run before lasts until 16:15 starts at 16:15."""
    plan = schedule("0 15,16 * * *")
    rows = told(plan, "2026-06-01T00:00:00+02:00", 2, run_seconds=75 * 60)
    assert rows[1].opens_at == rows[0].nominal + 75 * 60


def test_replace_tells_both_sides() -> None:
    plan = schedule("0 * * * *", overlap=Overlap.REPLACE)
    rows = told(plan, "2026-06-01T00:00:00+02:00", 2, run_seconds=1.5 * HOUR)
    assert rows[0].reasons[-1] == "cancelled for the one of 2026-06-01T02:00:00+02:00"
    assert rows[1].opens_at == rows[1].nominal


def test_a_job_may_overlap_itself_by_default() -> None:
    plan = schedule("0 * * * *", target=JobTarget("nightly"))
    rows = told(plan, "2026-06-01T00:00:00+02:00", 3, run_seconds=5 * HOUR)
    assert all(row.runs and row.reasons == ("overlap is allowed",) for row in rows)


def test_downtime_is_told_as_it_will_be_decided() -> None:
    start = "2026-06-01T00:00:00+02:00"
    away = Away(unix(start) + 1.5 * HOUR, unix(start) + 4.5 * HOUR)
    rows = told(schedule("0 * * * *"), start, 6, away=[away])
    assert [row.state.value for row in rows] == ["OPEN", "MISSED", "MISSED", "OPEN", "OPEN", "OPEN"]
    assert rows[3].opens_at == away.end
    assert "run late, as missed runs: latest" in rows[3].reasons[0]


def test_downtime_that_lasts_to_the_end_is_told_too() -> None:
    start = "2026-06-01T00:00:00+02:00"
    away = Away(unix(start), unix(start) + 100 * HOUR)
    rows = told(schedule("0 * * * *", catch_up=CatchUp.SKIP), start, 3, away=[away])
    assert [row.runs for row in rows] == [False, False, False]


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
LINES = st.sampled_from(
    ["*/20 * * * *", "30 2 * * *", "15 1-3 * * *", "every day 01:30", "every 50 minutes"]
)
STARTS = st.sampled_from(["2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31", "2026-04-04"])


@settings(max_examples=100)
@given(
    LINES,
    ZONES,
    STARTS,
    st.sampled_from(list(CatchUp)),
    st.sampled_from([0, 40]),
    st.lists(st.integers(1, 20 * HOUR), min_size=1, max_size=6),
)
def test_what_is_told_beforehand_is_what_the_looks_decide(
    line: str, zone: str, day: str, policy: CatchUp, spread: int, looks: list[int]
) -> None:
    """Looks come every minute, but for the times away that are told, too."""
    start = unix(f"{day}T00:00:00Z")
    plan = schedule(line, zone, catch_up=policy, anchor=float(start), spread=spread)
    when = timing_of(plan)
    now = looked = last = float(start)
    happened: dict[int, bool] = {}
    away = []
    for span in looks:
        away.append(Away(looked, now + span))
        now += span
        for _ in range(3):
            seen = look(plan, when, last, now)
            last = seen.last
            for decision in seen.decisions:
                assert decision.at not in happened
                happened[decision.at] = decision.runs
            looked = now
            now += 59
    rows = explain(plan, when, start, looked, away=away)
    told_runs = {row.nominal: row.runs for row in rows if row.nominal in happened}
    assert told_runs == happened


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0 * * * *", "at minute 0 of every hour"),
        ("5,35 * * * *", "at minute 5 and 35 of every hour"),
        ("0 9 * * *", "at 09:00, every day"),
        ("0 9 * * 1-5", "at 09:00, Monday to Friday"),
        ("0 9 * * 6,7", "at 09:00, Saturday and Sunday"),
        ("0 9 * * 0-6", "at 09:00, every day"),
        ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Friday"),
        ("0 0 1-31 * 5", "at 00:00, every day"),
        ("0 0 1-7 * */7", "at 00:00, on day 1 to 7 of the month if that is a Sunday"),
        (
            "0 0 */2 * 1",
            "at 00:00, on day 1, 3, 5 and so on to 31 of the month if that is a Monday",
        ),
        ("30 2 1 1,7 *", "at 02:30, on day 1 of the month, in January and July"),
        (
            "*/15 9-17 * * mon-fri",
            "every 15 minutes, in the hours from 09 to 17, Monday to Friday",
        ),
        ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00, every day"),
        ("0 */2 * * *", "every 2 hours"),
        ("*/7 3,5 * * *", "at minute 0, 7, 14 and so on to 56, in hour 3 and 5"),
        ("every 5 minutes", "every 5 minutes, counted from when it was set"),
        ("every 90 minutes synchronized", "every 90 minutes, counted from midnight"),
        (
            "every 1 hours from 09:00 to 17:00 on mon,tue",
            "every hour, from 09:00 to 17:00, Monday and Tuesday",
        ),
        ("1st,third mon of month 10:00", "at 10:00, on the first and third Monday of the month"),
        ("first day of quarter 00:00", "at 00:00, on day 1 of January, April, July and October"),
        ("every day 09:00", "at 09:00, every day"),
        ("every mon,wed of jan 09:00", "at 09:00, Monday and Wednesday, in January"),
    ],
)
def test_an_expression_can_be_said_in_plain_words(expression: str, words: str) -> None:
    assert describe(parse_expression(expression)) == words
