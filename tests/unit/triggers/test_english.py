"""The English syntax: what is read, when it is due, and what is refused with which words."""

# ruff: noqa: DTZ001  (wall times have no zone)
# ruff: noqa: E501  (a row of a table is one line)
# ruff: noqa: RUF001  (letters that only look like others are a part of what is refused)

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.cron import CronLine
from triggers.core.english import (
    MONTHS,
    ORDINALS,
    PERIODS,
    WEEKDAYS,
    EnglishInterval,
    EnglishTime,
    looks_english,
    next_wall_time,
    parse_english,
)
from triggers.core.occurrences import moments, parse_expression, timing

START = "2026-01-01T00:07:30+00:00"


def fires(text: str, count: int, start: str = START) -> list[str]:
    begin = datetime.fromisoformat(start).timestamp()
    found = islice(moments(timing(text, anchor=begin), begin), count)
    return [f"{datetime.fromtimestamp(m.at, UTC):%a %b %d %H:%M}" for m in found]


# Each is read, and due at these moments after 2026-01-01 00:07:30 UTC.
DUE = """
every 5 minutes | Thu Jan 01 00:12, Thu Jan 01 00:17
every 5 mins | Thu Jan 01 00:12, Thu Jan 01 00:17
every 24 hours | Fri Jan 02 00:07, Sat Jan 03 00:07
every 36 hours | Fri Jan 02 12:07, Sun Jan 04 00:07
every 30 minutes synchronized | Thu Jan 01 00:30, Thu Jan 01 01:00
every 90 minutes synchronized | Thu Jan 01 01:30, Thu Jan 01 03:00
every 24 hours synchronized | Fri Jan 02 00:00, Sat Jan 03 00:00
every 5 minutes from 10:00 to 14:00 | Thu Jan 01 10:00, Thu Jan 01 10:05
every 2 hours from 10:00 to 14:00 | Thu Jan 01 10:00, Thu Jan 01 12:00, Thu Jan 01 14:00, Fri Jan 02 10:00
every 3 hours from 10:00 to 14:00 | Thu Jan 01 10:00, Thu Jan 01 13:00, Fri Jan 02 10:00
every 30 minutes from 22:00 to 02:00 | Thu Jan 01 00:30, Thu Jan 01 01:00, Thu Jan 01 01:30, Thu Jan 01 02:00, Thu Jan 01 22:00
every 5 hours from 9:00 to 10:00 | Thu Jan 01 09:00, Fri Jan 02 09:00
every 10 minutes from 08:00 to 08:00 | Thu Jan 01 08:00, Fri Jan 02 08:00
every 48 hours from 09:00 to 17:00 | Thu Jan 01 09:00, Fri Jan 02 09:00
every 10 minutes on mon,tue | Mon Jan 05 00:07, Mon Jan 05 00:17
every 8 hours synchronized on sat,sun | Sat Jan 03 00:00, Sat Jan 03 08:00, Sat Jan 03 16:00, Sun Jan 04 00:00
every 2 hours from 22:00 to 02:00 on fri | Fri Jan 02 00:00, Fri Jan 02 02:00, Fri Jan 02 22:00, Fri Jan 09 00:00
every 12 hours on day | Thu Jan 01 12:07, Fri Jan 02 00:07
every day 00:00 | Fri Jan 02 00:00, Sat Jan 03 00:00
every day 9:05 | Thu Jan 01 09:05, Fri Jan 02 09:05
EVERY Day 23:59 | Thu Jan 01 23:59, Fri Jan 02 23:59
every mon,wed 09:00 | Mon Jan 05 09:00, Wed Jan 07 09:00, Mon Jan 12 09:00
every monday, wednesday 09:00 | Mon Jan 05 09:00, Wed Jan 07 09:00
every monday of month 09:00 | Mon Jan 05 09:00, Mon Jan 12 09:00
every sat of feb,mar 12:00 | Sat Feb 07 12:00, Sat Feb 14 12:00
every day of march 06:00 | Sun Mar 01 06:00, Mon Mar 02 06:00
1st,third mon of month 10:00 | Mon Jan 05 10:00, Mon Jan 19 10:00, Mon Feb 02 10:00, Mon Feb 16 10:00
2nd monday of jan,april 09:00 | Mon Jan 12 09:00, Mon Apr 13 09:00, Mon Jan 11 09:00
2nd,third mon,wed,thu of march 17:00 | Mon Mar 09 17:00, Wed Mar 11 17:00, Thu Mar 12 17:00, Mon Mar 16 17:00
fourth fri 18:30 | Fri Jan 23 18:30, Fri Feb 27 18:30
first sunday of quarter 00:00 | Sun Jan 04 00:00, Sun Apr 05 00:00, Sun Jul 05 00:00, Sun Oct 04 00:00
first tue of second month of quarter 12:00 | Tue Feb 03 12:00, Tue May 05 12:00, Tue Aug 04 12:00
1st wed of 1st,3rd month of quarter 12:00 | Wed Jan 07 12:00, Wed Mar 04 12:00, Wed Apr 01 12:00
fifth mon of month 10:00 | Mon Mar 30 10:00, Mon Jun 29 10:00
31 of month 08:00 | Sat Jan 31 08:00, Tue Mar 31 08:00, Sun May 31 08:00
1,15 of month 08:00 | Thu Jan 01 08:00, Thu Jan 15 08:00, Sun Feb 01 08:00
1 of jan,april,july,oct 00:00 | Wed Apr 01 00:00, Wed Jul 01 00:00, Thu Oct 01 00:00
29 of feb 00:00 | Tue Feb 29 00:00, Sun Feb 29 00:00
30,31 of february,april 00:00 | Thu Apr 30 00:00, Fri Apr 30 00:00
first day of month 10:00 | Thu Jan 01 10:00, Sun Feb 01 10:00
2nd,5th day of quarter 10:00 | Fri Jan 02 10:00, Mon Jan 05 10:00, Thu Apr 02 10:00
third day 10:00 | Sat Jan 03 10:00, Tue Feb 03 10:00
"""


@pytest.mark.parametrize(
    ("text", "expected"), [row.split(" | ") for row in DUE.strip().splitlines()]
)
def test_each_form_is_due_when_it_says(text: str, expected: str) -> None:
    assert ", ".join(fires(text, expected.count(",") + 1)) == expected


# Each is refused; the words are a part of the message.
REFUSED = """
every monday | the time is missing at the end; write it as 09:00
every day | the time is missing at the end
first monday of month | the time is missing at the end
every weekday 09:00 | 'weekday' is not allowed here; allowed: 'day' or weekdays, sun to sat
last day of month 09:00 | 'last' is not allowed here
every 0 minutes | the interval is 0; allowed: 1 or more
every 000000 minutes | the interval is 0
every 100000 minutes | the interval 100000 is too long; allowed: 5 digits
every minute | a number is missing before 'minute'; write every 1 minutes
every hour | a number is missing before 'hour'; write every 1 hours
every hours | a number is missing before 'hours'; write every 1 hours
every 1 minute | 'minute' is not a period; write minutes
every 1 hour | 'hour' is not a period; write hours
every 1 min | 'min' is not a period; write mins
every 5 seconds | 'seconds' is not a period; allowed: hours, minutes or mins
every 2 days | 'days' is not a period
every 5 | the end is not a period
every | the end is not allowed here; allowed: 'day' or weekdays
every day 24:00 | '24:00' is not allowed here; allowed: a time from 00:00 to 23:59
every day 9:60 | '9:60' is not allowed here
every day 9 | '9' is not allowed here; allowed: a time
every day 09:00am | 'am' is one word too many; the time comes last
every day 09:00 on mon | 'on' is one word too many
every day at 09:00 | 'at' is not allowed here
every 5 minutes from 10:00 | 'to TIME' is missing after 'from'; found the end
every 5 minutes from 10:00 until 14:00 | 'to TIME' is missing after 'from'; found 'until'
every 5 minutes to 14:00 | 'to' comes after 'from TIME'
every 5 minutes from 10 to 14 | '10' is not allowed here; allowed: a time
every 5 minutes from 24:00 to 02:00 | '24:00' is not allowed here
every 5 minutes from 10:00 to 14:00 synchronized | exclude each other
every 5 minutes synchronized from 10:00 to 14:00 | exclude each other
every 7 minutes synchronized | synchronized needs a period that divides 24 hours evenly
every 48 hours synchronized | synchronized needs a period that divides 24 hours evenly
every 25 hours on mon | with 'on' the period is at most 24 hours
every 5 minutes on | the end is not allowed here; allowed: 'day' or weekdays
every 5 minutes on mon from 10:00 to 12:00 | 'from' is one word too many
every 5 minutes 10:00 | '10:00' is one word too many
every mon wed 09:00 | 'wed' is not allowed here
every mon, 09:00 | '09:00' is not allowed here; allowed: 'day' or weekdays
every ,mon 09:00 | ',' is not allowed here
sixth monday of month 09:00 | 'sixth' is not allowed here; allowed: 'every' or an ordinal, first to fifth or 1st to 5th
6th monday of month 09:00 | '6th' is not allowed here
1st,every monday of month 09:00 | 'every' is not allowed here
1st monday of moth 09:00 | 'moth' is not allowed here; did you mean month?
1st monday of 09:00 | '09:00' is not allowed here; allowed: 'month', 'quarter' or months
1st monday of fourth month of quarter 09:00 | a quarter has no month 4; allowed: 1st to 3rd
1st monday of second month 09:00 | '09:00' is not allowed here; allowed: 'of'
1st monday of second quarter 09:00 | 'quarter' is not allowed here; allowed: 'month'
0 of month 09:00 | 0 is not a day of the month; allowed: 1-31
32 of month 09:00 | 32 is not a day of the month; allowed: 1-31
1st of month 09:00 | 'of' is not allowed here; allowed: 'day' or weekdays
15 09:00 | '09:00' is not allowed here; allowed: 'of month' or 'of' with months
30 of feb 09:00 | none of these months has a day 30
31 of feb,april 09:00 | none of these months has a day 31
monday 09:00 | 'monday' is not allowed here; allowed: 'every' or an ordinal
every day 09:00 09:00 | '09:00' is one word too many
every 5 minutes; rm | ';' is one word too many
every 5 mınutes | is not a period
"""


@pytest.mark.parametrize(
    ("text", "words"), [row.split(" | ") for row in REFUSED.strip().splitlines()]
)
def test_what_the_grammar_has_not_is_refused_with_what_it_has(text: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_english(text, "--schedule")
    assert str(error.value).startswith(f"--schedule: '{text}': ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text",
    [row.split(" | ")[0] for row in DUE.strip().splitlines()]
    + ["every monday", "first monday of month", "last day of month", "every hour", "12:00"],
)
def test_what_is_meant_in_english_is_read_as_english(text: str) -> None:
    assert looks_english(text)


@pytest.mark.parametrize(
    "text", ["* * * * *", "0 9 * * MON-FRI", "0 0 1 jan sun", "@daily", "", "5 4 * * sat,sun"]
)
def test_everything_else_is_read_as_cron(text: str) -> None:
    assert not looks_english(text)


def test_either_syntax_becomes_its_own_kind_of_pattern() -> None:
    assert isinstance(parse_expression("0 9 * * *"), CronLine)
    assert isinstance(parse_expression("every day 09:00"), EnglishTime)
    assert isinstance(parse_expression("every 5 minutes"), EnglishInterval)


words = st.sampled_from(
    [
        *ORDINALS,
        *WEEKDAYS,
        *MONTHS,
        *PERIODS,
        *["every", "of", "from", "to", "on", "day", "month", "quarter"],
        *["synchronized", "5", "90", "09:00", "23:59", ",", "x", "é"],
    ]
)


@given(st.lists(words, max_size=9).map(" ".join) | st.text(max_size=40))
def test_any_words_are_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_english(text)
    except InvalidSpec as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()


@st.composite
def times(draw: st.DrawFn) -> tuple[str, set[int], set[int], set[int], int, int]:
    """A specific time as text, with its ordinals, weekdays and months as numbers."""
    ordinals = draw(st.sets(st.sampled_from(sorted(ORDINALS)), min_size=1, max_size=3))
    weekdays = draw(st.sets(st.sampled_from(sorted(WEEKDAYS)), min_size=1, max_size=3))
    months = draw(st.sets(st.sampled_from(sorted(MONTHS)), min_size=1, max_size=3))
    hour, minute = draw(st.integers(0, 23)), draw(st.integers(0, 59))
    text = f"{','.join(ordinals)} {','.join(weekdays)} of {','.join(months)} {hour}:{minute:02}"
    return (
        text,
        {ORDINALS[word] for word in ordinals},
        {WEEKDAYS[word] for word in weekdays},
        {MONTHS[word] for word in months},
        hour,
        minute,
    )


@settings(max_examples=100)
@given(times(), st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1)))
def test_ordinals_of_weekdays_are_counted_as_on_a_calendar(
    written: tuple[str, set[int], set[int], set[int], int, int], after: datetime
) -> None:
    text, ordinals, weekdays, months, hour, minute = written
    spec = parse_english(text)
    assert isinstance(spec, EnglishTime)
    expected = None
    day = after.replace(hour=hour, minute=minute, second=0, microsecond=0)
    for _ in range(366 * 45):
        # The how manieth of its weekday: count those before it in the month.
        nth = sum(1 for before in range(day.day, 0, -7))
        if (
            day > after
            and day.month in months
            and day.isoweekday() % 7 in weekdays
            and nth in ordinals
        ):
            expected = day
            break
        day += timedelta(days=1)
    assert next_wall_time(spec, after) == expected


@settings(max_examples=100)
@given(
    st.integers(1, 23 * 60),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 3 * 1440),
)
def test_a_window_begins_anew_each_day_and_includes_both_of_its_ends(
    period: int, first: int, last: int, now: int
) -> None:
    def clock(minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    text = f"every {period} minutes from {clock(first)} to {clock(last)}"
    length = (last - first) % 1440
    day = 1440 * 60
    expected = [
        (start + step) * 60
        for start in range(first - 1440, 10 * 1440, 1440)
        for step in range(0, length + 1, period)
        if (start + step) > now
    ]
    found = [m.at for m in islice(moments(timing(text), now * 60), 5)]
    assert found == expected[:5]
    assert all(at < 12 * day for at in found)


def test_days_that_a_month_has_not_are_left_out() -> None:
    spec = parse_english("29,30,31 of month 12:00")
    assert isinstance(spec, EnglishTime)
    at, found = datetime(2026, 1, 31, 12), []
    for _ in range(4):
        after = next_wall_time(spec, at)
        assert after is not None
        assert after.day <= monthrange(after.year, after.month)[1]
        found.append((after.month, after.day))
        at = after
    assert found == [(3, 29), (3, 30), (3, 31), (4, 29)]
