"""An expression in plain words, for people who read a schedule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from triggers.core.cron import CronLine
from triggers.core.english import (
    ALL_MONTHS,
    ALL_ORDINALS,
    ALL_WEEKDAYS,
    EnglishInterval,
    EnglishTime,
)
from triggers.core.occurrences import Pattern

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MOST_TIMES = 6
"""Times of day that are listed one by one."""


def describe(pattern: Pattern) -> str:
    """``at 09:00, Monday to Friday``."""
    match pattern:
        case CronLine():
            return _cron(pattern)
        case EnglishTime():
            return _english_time(pattern)
        case EnglishInterval():
            return _interval(pattern)


def _cron(line: CronLine) -> str:
    parts = [_times(line)]
    by_date = len(line.days) < 31
    by_weekday = len(line.weekdays) < 7
    days = f"on day {_numbers(line.days)} of the month"
    weekdays = _weekdays(line.weekdays)
    if by_date and by_weekday:
        if line.both_days:
            parts.append(f"{days} if that is a {_names(line.weekdays, _WEEKDAYS, 'or')}")
        else:
            parts.append(f"{days} or on {_names(line.weekdays, _WEEKDAYS, 'or')}")
    elif by_date and (line.both_days or not _restricts(line.fields[4])):
        parts.append(days)
    elif by_weekday and (line.both_days or not _restricts(line.fields[2])):
        parts.append(weekdays)
    elif parts[0].startswith("at ") and ":" in parts[0]:
        parts.append("every day")
    if len(line.months) < 12:
        parts.append(f"in {_names(line.months, ('', *_MONTHS), 'and')}")
    return ", ".join(parts)


def _restricts(field: str) -> bool:
    return not field.startswith("*")


def _times(line: CronLine) -> str:
    minutes, hours = sorted(line.minutes), sorted(line.hours)
    if len(minutes) * len(hours) <= _MOST_TIMES:
        times = [f"{hour:02}:{minute:02}" for hour in hours for minute in minutes]
        return f"at {_joined(times, 'and')}"
    if len(minutes) == 60:
        often = "every minute"
    elif _even(minutes, 60):
        often = f"every {60 // len(minutes)} minutes"
    else:
        often = f"at minute {_numbers(minutes)}"
    if len(hours) == 24:
        return often if often.startswith("every") else f"{often} of every hour"
    if _even(hours, 24) and minutes == [0]:
        return f"every {24 // len(hours)} hours"
    if hours == list(range(hours[0], hours[-1] + 1)) and len(hours) > 1:
        return f"{often}, in the hours from {hours[0]:02} to {hours[-1]:02}"
    return f"{often}, in hour {_numbers(hours)}"


def _even(values: Sequence[int], size: int) -> bool:
    step = size // len(values)
    return len(values) > 1 and list(values) == list(range(0, size, step))


def _english_time(spec: EnglishTime) -> str:
    at = f"at {spec.hour:02}:{spec.minute:02}"
    months = "" if spec.months == ALL_MONTHS else _names(spec.months, ("", *_MONTHS), "and")
    if spec.days:
        return f"{at}, on day {_numbers(spec.days)} of {months or 'the month'}"
    if spec.ordinals != ALL_ORDINALS:
        which = _names(spec.ordinals, ("", *_ORDINALS), "and")
        names = _names(spec.weekdays, _WEEKDAYS, "and")
        return f"{at}, on the {which} {names} of {months or 'the month'}"
    days = "every day" if spec.weekdays == ALL_WEEKDAYS else _weekdays(spec.weekdays)
    return f"{at}, {days}" + (f", in {months}" if months else "")


def _interval(spec: EnglishInterval) -> str:
    minutes = spec.period // 60
    unit = "hour" if minutes % 60 == 0 else "minute"
    count = minutes // 60 if unit == "hour" else minutes
    parts = [f"every {count} {unit}s" if count > 1 else f"every {unit}"]
    if spec.synchronized:
        parts.append("counted from midnight")
    elif spec.window:
        start, end = (f"{at // 60:02}:{at % 60:02}" for at in spec.window)
        parts.append(f"from {start} to {end}")
    else:
        parts.append("counted from when it was set")
    if spec.weekdays is not None and spec.weekdays != ALL_WEEKDAYS:
        parts.append(_weekdays(spec.weekdays))
    return ", ".join(parts)


def _weekdays(days: Iterable[int]) -> str:
    """A week begins with Monday here."""
    return _names({(day - 1) % 7 for day in days}, (*_WEEKDAYS[1:], _WEEKDAYS[0]), "and")


def _numbers(values: Iterable[int]) -> str:
    return _names(values, tuple(str(n) for n in range(60)), "and")


def _names(values: Iterable[int], names: Sequence[str], link: str) -> str:
    """``Monday to Wednesday and Friday``; three in a row or more become one range."""
    runs: list[list[int]] = []
    ordered = sorted(values)
    steps = {second - first for first, second in pairwise(ordered)}
    if len(ordered) > _MOST_TIMES and len(steps) == 1 and steps != {1}:
        first = ", ".join(names[value] for value in ordered[:3])
        return f"{first} and so on to {names[ordered[-1]]}"
    for value in ordered:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    shown: list[str] = []
    for run in runs:
        if len(run) > 2:
            shown.append(f"{names[run[0]]} to {names[run[-1]]}")
        else:
            shown.extend(names[value] for value in run)
    return _joined(shown, link)


def _joined(parts: Sequence[str], link: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {link} {parts[-1]}"
