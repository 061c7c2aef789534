"""unix-cron as the contract has it: what is read, what is refused, and with which words."""

# ruff: noqa: DTZ001  (wall times have no zone)
# ruff: noqa: RUF001  (letters that only look like others are a part of what is refused)

from __future__ import annotations

from datetime import datetime

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from tests.support.cron_lines import lines
from tests.support.cron_oracle import Oracle
from triggers.core.cron import MACROS, CronLine, next_wall, parse_cron

START = datetime(2026, 1, 1)


moments = st.datetimes(datetime(1975, 1, 1), datetime(2090, 1, 1))


def read(line: str) -> CronLine | InvalidSpec:
    try:
        return parse_cron(line)
    except InvalidSpec as error:
        return error


@settings(max_examples=300)
@given(lines, moments)
def test_the_next_wall_time_is_that_of_an_oracle_that_asks_minute_by_minute(
    line: str, after: datetime
) -> None:
    parsed = read(line)
    if isinstance(parsed, InvalidSpec):
        assert "never comes in month" in str(parsed)
        assert Oracle(line).next_wall(after, years=9) is None
        return
    assert next_wall(parsed, after) == Oracle(line).next_wall(after)


@settings(max_examples=300)
@given(lines, moments)
def test_the_search_is_that_of_cronsim_over_its_own_reading(line: str, after: datetime) -> None:
    """We hand cronsim sets of our own; a release that wants to be handed more shows up here. Its
    reading of ``3-3/5`` is another: 3/5, that is 3, 8, 13 and so on."""
    ours = read(line)
    assume(isinstance(ours, CronLine))
    assert isinstance(ours, CronLine)
    try:
        theirs = CronSim(line, after)
    except CronSimError:
        return
    assume(theirs.minutes == ours.minutes and theirs.hours == ours.hours)
    assume(theirs.days == ours.days and theirs.months == ours.months)
    assume({day % 7 for day in theirs.weekdays if isinstance(day, int)} == ours.weekdays)
    assert next_wall(ours, after) == next(theirs, None)


@given(lines, moments)
def test_letter_case_and_blanks_make_no_difference(line: str, after: datetime) -> None:
    parsed = read(line)
    assume(isinstance(parsed, CronLine))
    assert isinstance(parsed, CronLine)
    spread = parse_cron(f" \t{line.upper().replace(' ', '   ')} ")
    assert next_wall(spread, after) == next_wall(parsed, after)


@given(st.text("0123456789*/-,LW#?@ MONSUNJAFEB", max_size=30))
def test_whatever_is_written_is_read_or_refused_in_one_line_per_field(text: str) -> None:
    found = read(text)
    if isinstance(found, InvalidSpec):
        assert 1 <= len(found.violations) <= 5
        assert all("\n" not in v.message and v.field == "schedule" for v in found.violations)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = read(text)
    if isinstance(found, InvalidSpec):
        assert str(found).replace("\n", "").isprintable()


def dates(line: str, count: int, start: datetime = START) -> str:
    parsed, at, found = parse_cron(line), start, []
    for _ in range(count):
        after = next_wall(parsed, at)
        assert after is not None
        found.append(f"{after:%a %b} {after.day}")
        at = after
    return ", ".join(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 9 * * 0", "Sun Jan 4, Sun Jan 11"),
        ("0 9 * * 7", "Sun Jan 4, Sun Jan 11"),
        ("0 9 * * 1", "Mon Jan 5, Mon Jan 12"),
        ("0 9 * * 6", "Sat Jan 3, Sat Jan 10"),
        ("0 9 * * 1-5", "Thu Jan 1, Fri Jan 2, Mon Jan 5"),
        ("0 9 * * 5-7", "Fri Jan 2, Sat Jan 3, Sun Jan 4, Fri Jan 9"),
        ("0 9 * * SUN-TUE", "Sun Jan 4, Mon Jan 5, Tue Jan 6, Sun Jan 11"),
        # Both day fields restricted: either will do.
        ("0 9 13 * 5", "Fri Jan 2, Fri Jan 9, Tue Jan 13, Fri Jan 16, Fri Jan 23, Fri Jan 30"),
        ("0 9 1,15 * 1", "Thu Jan 1, Mon Jan 5, Mon Jan 12, Thu Jan 15"),
        ("0 9 1-7 * 1", "Thu Jan 1, Fri Jan 2, Sat Jan 3, Sun Jan 4"),
        ("0 9 30 2 1", "Mon Feb 2, Mon Feb 9"),
        # One of them starts with a star: both must match.
        ("0 9 */2 * 1", "Mon Jan 5, Mon Jan 19"),
        ("0 9 2 * */2", "Thu Apr 2, Sat May 2"),
        ("0 9 31 * *", "Sat Jan 31, Tue Mar 31, Sun May 31"),
    ],
)
def test_day_of_month_and_day_of_week_go_together_as_in_vixie_s_cron(
    line: str, expected: str
) -> None:
    assert dates(line, expected.count(",") + 1) == expected


def test_a_leap_day_is_waited_for() -> None:
    assert next_wall(parse_cron("0 0 29 2 *"), START) == datetime(2028, 2, 29)
    assert next_wall(parse_cron("0 0 29 2 *"), datetime(2096, 3, 1)) == datetime(2104, 2, 29)
    assert next_wall(parse_cron("0 0 29 2 */7"), START) == datetime(2032, 2, 29)


def test_there_is_no_wall_time_after_the_calendar_s_last() -> None:
    assert next_wall(parse_cron("0 0 1 1 *"), datetime(9999, 6, 1)) is None
    assert next_wall(parse_cron("* * * * *"), datetime(9999, 12, 31, 23, 59)) is None


# Each is refused; the words are a part of the message.
REFUSED = """
| it is empty
* * * * | has 4 fields; allowed: 5, minute hour day-of-month month day-of-week
0 0 * * * * | has 6 fields
0 0 * * * 2026 | there is none for seconds or years
0 0 0 * * * * | has 7 fields
hello | has 1 field;
@daily | write 0 0 * * *
@hourly | write 0 * * * *
@weekly | write 0 0 * * 0
@monthly | write 0 0 1 * *
@YEARLY | write 0 0 1 1 *
@reboot | is not part of unix-cron; allowed: minute hour
@every 5m | is not part of unix-cron
60 * * * * | minute '60': 60 is out of bounds; allowed: 0-59
-1 * * * * | minute '-1': '-1' is not understood
+1 * * * * | minute '+1'
1.5 * * * * | minute '1.5'
100 * * * * | minute '100'
* 24 * * * | hour '24': 24 is out of bounds; allowed: 0-23
* 9:30 * * * | hour '9:30'
* * 0 * * | day-of-month '0': 0 is out of bounds; allowed: 1-31
* * 32 * * | day-of-month '32'
* * * 0 * | month '0': 0 is out of bounds; allowed: 1-12 or JAN-DEC
* * * 13 * | month '13'
* * * * 8 | day-of-week '8': 8 is out of bounds; allowed: 0-7 or SUN-SAT
* * * january * | month 'january'
* * * * monday | day-of-week 'monday'
* * * foo * | 'FOO' is not a value of this field; allowed: 1-12 or JAN-DEC
* * * mon * | 'MON' is not a value of this field; allowed: 1-12 or JAN-DEC
* * * * jan | 'JAN' is not a value of this field; allowed: 0-7 or SUN-SAT
mon * * * * | 'MON' is not a value of this field; allowed: 0-59
*/0 * * * * | the step 0 is not from 1 to 60
*/61 * * * * | the step 61 is not from 1 to 60
*/90 * * * * | the step 90 is not from 1 to 60
* */25 * * * | the step 25 is not from 1 to 24
* * */32 * * | the step 32 is not from 1 to 31
* * * */13 * | the step 13 is not from 1 to 12
* * * * */8 | the step 8 is not from 1 to 7
*/ * * * * | minute '*/'
*/-5 * * * * | minute '*/-5'
*/5/5 * * * * | minute '*/5/5'
5/15 * * * * | a step needs a range; write 5-59/15
* * * * mon/2 | a step needs a range
1-10/0 * * * * | the step 0
1--5 * * * * | minute '1--5'
1-5-9 * * * * | minute '1-5-9'
5- * * * * | minute '5-'
* 22-2 * * * | the range 22-2 runs backwards; write 22-23,0-2
50-10 * * * * | write 50-59,0-10
* * 28-3 * * | write 28-31,1-3
* * * NOV-FEB * | the range NOV-FEB runs backwards; write 11-12,1-2
* * * * FRI-MON | the range FRI-MON runs backwards; write 5-6,0-1
* * * * FRI-SUN | the range FRI-SUN runs backwards; write 5-6,0
1,,2 * * * * | an item of the list is empty
,1 * * * * | an item of the list is empty
1, * * * * | an item of the list is empty
*,5 * * * * | '*' cannot be part of a list; write * alone
*/20,5 * * * * | '*/20' cannot be part of a list; write 0-59/20 in its place
* * ? * * | ? is not part of unix-cron; write *
* * * * ? | ? is not part of unix-cron; write *
* * L * * | 'L' is not part of unix-cron; the English syntax has ordinals
* * LW * * | 'LW' is not part of unix-cron
* * 15W * * | '15W' is not part of unix-cron
* * * * 5L | '5L' is not part of unix-cron
* * * * 5#2 | '5#2' is not part of unix-cron
* * * * mon#1 | 'MON#1' is not part of unix-cron
H * * * * | minute 'H': 'H' is not understood
~ * * * * | minute '~'
0 0 30 2 * | day-of-month '30' never comes in month '2'
0 0 31 4 * | day-of-month '31' never comes in month '4'
0 0 31 2,4,6,9,11 * | never comes in month '2,4,6,9,11'
0 0 30-31 feb * | never comes in month 'feb'
0 0 31 jun */2 | never comes in month 'jun'
٣ * * * * | minute '٣'
* * * * ſun | day-of-week 'ſun'
"""
REFUSALS = [
    tuple(row.split(" | ")) for row in REFUSED.replace("\n|", "\n |").strip("\n").splitlines()
]


def test_the_table_of_what_is_refused_is_long_enough_to_mean_something() -> None:
    assert len({line for line, _ in REFUSALS}) >= 60


@pytest.mark.parametrize(("line", "words"), REFUSALS)
def test_what_is_not_documented_is_refused_with_field_value_and_allowed_form(
    line: str, words: str
) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_cron(line)
    assert str(error.value).startswith("schedule: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_cron("60 24 0 13 8")
    assert [str(v).split("'")[0] for v in error.value.violations] == [
        "schedule: minute ",
        "schedule: hour ",
        "schedule: day-of-month ",
        "schedule: month ",
        "schedule: day-of-week ",
    ]


def test_a_very_long_expression_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidSpec, match="it has 2008 characters; allowed: at most 1000"):
        parse_cron("0," * 1000 + "0 * * * *"[1:])


def test_the_field_of_the_caller_is_named() -> None:
    with pytest.raises(InvalidSpec, match=r"^--schedule: "):
        parse_cron("", "--schedule")


def test_what_a_macro_stands_for_can_be_read() -> None:
    for instead in MACROS.values():
        parse_cron(instead)
