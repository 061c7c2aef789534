"""From wall times to instants: zones, days on which clocks are set, and nothing lost or doubled."""

# ruff: noqa: DTZ001  (wall times have no zone)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from tests.support.cron_lines import lines
from tests.support.cron_oracle import Oracle
from triggers.core.occurrences import (
    LAST_INSTANT,
    Kind,
    Moment,
    Timing,
    moments,
    next_after,
    timing,
)
from triggers.core.records import Gap, Repeat
from triggers.core.zones import offset_text, place, shift_at, wall_of, zone_of

# Zones and days on which their clocks are set: by an hour, half an hour, two hours and a whole day,
# at midnight, and with a winter time that is the odd one.
SET_DAYS = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("America/Sao_Paulo", "2017-10-15"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("America/Havana", "2026-03-08"),
    ("Europe/Dublin", "2026-10-25"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Pacific/Chatham", "2026-04-05"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("Asia/Kolkata", "2026-03-29"),
    ("Etc/UTC", "2026-03-29"),
]


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@st.composite
def hour_fields(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from(["*", "*/2", "*/3", "*/1"]))
    if kind == 1:
        first = draw(st.integers(0, 5))
        return f"{first}-{draw(st.integers(first, 23))}"
    return ",".join(str(hour) for hour in draw(st.sets(st.integers(0, 4), min_size=1, max_size=3)))


@st.composite
def minute_fields(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from(["*", "*/7", "*/15", "*/30"]))
    if kind == 1:
        return draw(st.sampled_from(["0-20/5", "10-50/20", "59-59"]))
    return ",".join(str(m) for m in draw(st.sets(st.integers(0, 59), min_size=1, max_size=3)))


near_settings = st.tuples(
    minute_fields(),
    hour_fields(),
    st.sampled_from(["* * *", "* * */2", "*/2 * 0", "1-31 * *"]),
).map(" ".join)


@settings(max_examples=120)
@given(
    near_settings,
    st.sampled_from(SET_DAYS),
    st.integers(-30 * 60, 12 * 60),
    st.sampled_from(list(Gap)),
    st.sampled_from(list(Repeat)),
)
def test_cron_fires_as_an_oracle_says_that_asks_every_minute_around_a_setting_of_the_clocks(
    line: str, day: tuple[str, str], offset: int, gap: Gap, repeat: Repeat
) -> None:
    name, date = day
    zone = ZoneInfo(name)
    start = unix(f"{date}T00:00:00+00:00") + offset * 60
    end = start + 40 * 3600
    when = timing(line, name, gap=gap, repeat=repeat)
    expected = list(
        Oracle(line).instants(zone, start, end, run_gap=gap is Gap.RUN, both=repeat is Repeat.BOTH)
    )
    assert chained(when, start, end) == expected
    listed = [m.at for m in until(when, start, end) if m.kind.fires]
    assert listed == expected


ZONES = sorted({name for name, _ in SET_DAYS} | {"Asia/Tehran", "America/St_Johns", "Asia/Gaza"})


@settings(max_examples=150)
@given(
    lines,
    st.sampled_from(ZONES),
    st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from(list(Gap)),
    st.sampled_from(list(Repeat)),
)
def test_any_expression_in_any_zone_and_year_fires_as_an_oracle_says_that_asks_every_minute(
    line: str, name: str, begin: datetime, gap: Gap, repeat: Repeat
) -> None:
    """Up to a year ahead, so that clocks are set between now and then."""
    try:
        when = timing(line, name, gap=gap, repeat=repeat)
    except InvalidSpec:
        return
    start, days, count = int(begin.replace(tzinfo=UTC).timestamp()), 370, 3
    expected = Oracle(line).first_instants(
        ZoneInfo(name),
        start,
        count,
        days=days,
        run_gap=gap is Gap.RUN,
        both=repeat is Repeat.BOTH,
    )
    end = expected[-1] if len(expected) == count else start + days * 86_400
    assert chained(when, start, end) == expected


def chained(when: Timing, start: int, end: int) -> list[int]:
    """As the ticker goes: always the first one after the last."""
    found: list[int] = []
    at = next_after(when, start)
    while at is not None and at <= end:
        found.append(at)
        at = next_after(when, at)
    return found


def until(when: Timing, start: int, end: int) -> list[Moment]:
    found: list[Moment] = []
    for moment in moments(when, start):
        if moment.at > end:
            break
        found.append(moment)
    return found


expressions = st.sampled_from(
    [
        "*/5 * * * *",
        "30 2 * * *",
        "0 */6 * * *",
        "15,45 1-3 * * 0",
        "0 0 1 * *",
        "every 7 minutes",
        "every 25 hours",
        "every day 02:30",
        "1st sunday of month 01:30",
        "every 20 minutes from 22:00 to 03:30",
        "every 45 minutes synchronized",
        "every 10 minutes on sun",
        "every 90 minutes from 23:00 to 05:00 on sat,sun",
    ]
)
zones = st.sampled_from(sorted({name for name, _ in SET_DAYS}))
instants = st.integers(unix("1995-01-01T00:00:00Z"), unix("2037-12-01T00:00:00Z"))


@settings(max_examples=150)
@given(expressions, zones, instants, st.integers(0, 40_000))
def test_the_next_one_is_after_now_and_the_same_from_anywhere_before_it(
    text: str, zone: str, now: int, share: int
) -> None:
    when = timing(text, zone, anchor=unix("1995-01-01T00:00:00Z"))
    after = next_after(when, now)
    assert after is not None
    assert after > now
    assert after % 60 == 0
    between = now + (after - 1 - now) * share // 40_000
    assert next_after(when, between) == after


@settings(max_examples=100)
@given(expressions, zones, st.sampled_from(SET_DAYS), st.integers(-48, 12))
def test_one_by_one_and_in_a_row_give_the_same_in_order_and_without_doubles(
    text: str, zone: str, day: tuple[str, str], hours: int
) -> None:
    start = unix(f"{day[1]}T00:00:00+00:00") + hours * 3600
    when = timing(text, zone, anchor=start - 12_345)
    fires = [m.at for m in islice((m for m in moments(when, start) if m.kind.fires), 80)]
    assert all(first < second for first, second in pairwise(fires))
    at: int | None = start
    for expected in fires:
        assert at is not None
        at = next_after(when, at)
        assert at == expected


def table(text: str, zone: str, start: str, count: int, **how: Gap | Repeat) -> list[str]:
    when = timing(text, zone, anchor=unix(start), **how)  # type: ignore[arg-type]
    fires = (m for m in moments(when, unix(start)) if m.kind.fires)
    return [offset_text(m.at, when.zone)[5:] for m in islice(fires, count)]


NY, BERLIN = "America/New_York", "Europe/Berlin"
SPRING, AUTUMN = "2026-03-08T00:00:00-05:00", "2026-11-01T00:00:00-04:00"


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("30 2 * * *", SPRING, "03-08T03:00:00-04:00 03-09T02:30:00-04:00"),
        ("0 2 * * *", SPRING, "03-08T03:00:00-04:00 03-09T02:00:00-04:00"),
        ("0,30 2 * * *", SPRING, "03-08T03:00:00-04:00 03-09T02:00:00-04:00"),
        ("0 2,3 * * *", SPRING, "03-08T03:00:00-04:00 03-09T02:00:00-04:00"),
        (
            "30 1-3 * * *",
            SPRING,
            "03-08T01:30:00-05:00 03-08T03:00:00-04:00 03-08T03:30:00-04:00",
        ),
        (
            "*/30 1-3 * * *",
            SPRING,
            "03-08T01:00:00-05:00 03-08T01:30:00-05:00 03-08T03:00:00-04:00",
        ),
        ("*/30 2 * * *", SPRING, "03-09T02:00:00-04:00"),
        ("30 1 * * *", AUTUMN, "11-01T01:30:00-04:00 11-02T01:30:00-05:00"),
        ("0 * * * *", AUTUMN, "11-01T01:00:00-04:00 11-01T01:00:00-05:00 11-01T02:00:00-05:00"),
        ("every day 02:30", SPRING, "03-09T02:30:00-04:00"),
        (
            "every day 01:30",
            AUTUMN,
            "11-01T01:30:00-04:00 11-01T01:30:00-05:00 11-02T01:30:00-05:00",
        ),
        (
            "every 15 minutes from 02:15 to 02:45",
            SPRING,
            "03-08T03:00:00-04:00 03-09T02:15:00-04:00",
        ),
        (
            "every 15 minutes from 01:15 to 01:45",
            AUTUMN,
            "11-01T01:15:00-04:00 11-01T01:30:00-04:00 11-01T01:45:00-04:00 11-02T01:15:00-05:00",
        ),
        (
            "every 1 hours from 00:30 to 04:30",
            SPRING,
            "03-08T00:30:00-05:00 03-08T01:30:00-05:00 03-08T03:30:00-04:00 03-08T04:30:00-04:00",
        ),
        (
            "every 12 hours synchronized",
            AUTUMN,
            "11-01T11:00:00-05:00 11-01T23:00:00-05:00 11-02T00:00:00-05:00",
        ),
    ],
)
def test_the_days_on_which_clocks_are_set_in_new_york(text: str, start: str, expected: str) -> None:
    assert table(text, NY, start, expected.count(" ") + 1) == expected.split()


def test_a_step_of_hours_leaves_out_the_one_that_does_not_exist() -> None:
    found = table("0 */2 * * *", BERLIN, "2026-03-29T00:00:00+01:00", 2)
    assert found == ["03-29T04:00:00+02:00", "03-29T06:00:00+02:00"]


# Scenarios of other schedulers' users.


def test_two_o_clock_runs_once_or_twice_when_clocks_go_back_as_chosen() -> None:
    """kubernetes#121594: 02:00 Europe/Berlin ran twice."""
    start = "2026-10-25T00:00:00+02:00"
    assert table("0 2 * * *", BERLIN, start, 2) == ["10-25T02:00:00+02:00", "10-26T02:00:00+01:00"]
    assert table("0 2 * * *", BERLIN, start, 3, repeat=Repeat.BOTH) == [
        "10-25T02:00:00+02:00",
        "10-25T02:00:00+01:00",
        "10-26T02:00:00+01:00",
    ]


def test_half_past_two_on_the_spring_day_runs_or_is_skipped_as_chosen_and_is_shown_either_way() -> (
    None
):
    """rundeck#6879."""
    for gap, kind in ((Gap.RUN, Kind.AFTER_GAP), (Gap.SKIP, Kind.SKIPPED_GAP)):
        when = timing("30 2 * * *", BERLIN, gap=gap)
        shown = next(moments(when, unix("2026-03-29T00:00:00+01:00")))
        assert (shown.kind, shown.wall) == (kind, datetime(2026, 3, 29, 2, 30))
    found = table("30 2 * * *", BERLIN, "2026-03-29T00:00:00+01:00", 1, gap=Gap.SKIP)
    assert found == ["03-30T02:30:00+02:00"]


def test_every_minute_goes_on_through_the_hour_that_comes_twice() -> None:
    """cron-plus#108: an hour without a run in autumn."""
    start = unix("2026-10-25T00:00:00+02:00")
    for text in ("* * * * *", "every 1 minutes", "every 1 minutes synchronized"):
        when = timing(text, BERLIN, anchor=start)
        assert chained(when, start, start + 6 * 3600) == list(range(start + 60, start + 21_601, 60))


def test_a_second_pass_comes_before_a_fire_of_another_year_with_the_same_offset() -> None:
    """At 01:20 in the first pass, 01:15 comes again; it is summer time on that day a year later."""
    found = table("15 1 1 11 *", NY, "2026-11-01T01:20:00-04:00", 2, repeat=Repeat.BOTH)
    assert found == ["11-01T01:15:00-05:00", "11-01T01:15:00-04:00"]
    when = timing("15 1 1 11 *", NY, repeat=Repeat.BOTH)
    assert next_after(when, unix("2026-11-01T01:20:00-04:00")) == unix("2026-11-01T01:15:00-05:00")


def test_a_whole_day_that_does_not_exist_runs_its_fixed_time_once() -> None:
    """Samoa left out the 30th of December 2011."""
    found = table("0 9 * * *", "Pacific/Apia", "2011-12-29T08:00:00-10:00", 3)
    assert found == ["12-29T09:00:00-10:00", "12-31T00:00:00+14:00", "12-31T09:00:00+14:00"]


def test_an_interval_keeps_its_phase_from_the_anchor_on() -> None:
    """Days of downtime or a change of clocks do not move it."""
    when = timing("every 7 hours", BERLIN, anchor=unix("2026-01-01T00:07:30Z"))
    anchor = unix("2026-01-01T00:07:00Z")
    for days in (0, 1, 100, 300):
        after = next_after(when, anchor + days * 86_400)
        assert after is not None
        assert (after - anchor) % (7 * 3600) == 0


def test_an_anchor_in_the_future_is_where_an_interval_starts() -> None:
    when = timing("every 2 hours", anchor=unix("2026-06-01T00:00:00Z"))
    assert next_after(when, unix("2026-01-01T00:00:00Z")) == unix("2026-06-01T02:00:00Z")


@given(zones, instants)
def test_every_instant_is_found_again_where_its_wall_time_lies(name: str, at: int) -> None:
    zone = zone_of(name)
    wall = wall_of(at, zone)
    found = place(wall, zone)
    assert at == (found.second if wall.fold else found.first)
    assert not found.in_gap


@given(st.sampled_from(SET_DAYS), st.integers(0, 8 * 3600))
def test_a_wall_time_that_does_not_exist_lies_at_the_first_instant_after_the_gap(
    day: tuple[str, str], seconds: int
) -> None:
    zone = zone_of(day[0])
    wall = datetime.fromisoformat(day[1]) + timedelta(seconds=seconds)
    found = place(wall, zone)
    shift = shift_at(wall, zone)
    assert (shift is None) == (found.first == found.second and not found.in_gap)
    if not found.in_gap:
        return
    assert shift is not None
    assert shift.at == found.first
    assert shift.forward
    assert shift.before <= wall < shift.after
    assert wall_of(found.first, zone) == shift.after


def test_a_gap_is_found_to_the_second() -> None:
    shift = shift_at(datetime(2026, 3, 8, 2, 59, 59), zone_of(NY))
    assert shift is not None
    assert shift == (unix("2026-03-08T07:00:00Z"), datetime(2026, 3, 8, 2), datetime(2026, 3, 8, 3))
    assert shift_at(datetime(2026, 3, 8, 1, 59, 59), zone_of(NY)) is None
    assert shift_at(datetime(2026, 3, 8, 3), zone_of(NY)) is None


@pytest.mark.parametrize("name", ["", "utc", "UTC", "Etc/UTC"])
def test_the_names_of_utc_and_none_at_all_are_utc(name: str) -> None:
    assert zone_of(name) is UTC


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Berln", "'Europe/Berln' is not a time zone; did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Mars/Phobos", "allowed: a name of the IANA database"),
        ("../../etc/passwd", "is not a time zone"),
        ("/etc/localtime", "is not a time zone"),
        ("America", "is not a time zone"),
        ("right/Europe/Berlin", "is not a time zone"),
        ("GMT+25", "is not a time zone"),
        ("Europe/Berl\nin", "is not a time zone"),
        ("Zürich", "is not a time zone"),
        ("\x00", "is not a time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_what_was_meant(name: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        zone_of(name)
    assert str(error.value).startswith("timeZone: ")
    assert words in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "0 0 1 1 *", "every day 10:00", "every 5 minutes", "every 1 hours synchronized"],
)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_at_the_end_of_the_calendar_nothing_is_due_any_more(text: str, zone: str) -> None:
    when = timing(text, zone)
    assert next_after(when, LAST_INSTANT + 1) is None
    assert list(moments(when, LAST_INSTANT + 1)) == []
    assert len(list(islice(moments(when, LAST_INSTANT - 3600), 100))) <= 61
