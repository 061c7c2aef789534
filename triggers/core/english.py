"""Cloud Scheduler's English syntax, which it has from App Engine.

::

    timespec     : specific | interval
    specific     : ( ordinals weekdays | monthdays ) "of" ( months | quarter ) TIME
                 | ordinals weekdays TIME
    interval     : "every" N ( "hours" | "minutes" | "mins" )
                   [ "from" TIME "to" TIME | "synchronized" ] [ "on" weekdays ]
    ordinals     : "every" | ordinal { "," ordinal }         1st or first … 5th or fifth
    monthdays    : N { "," N }
    weekdays     : "day" | weekday { "," weekday }           mon or monday … sun or sunday
    months       : "month" | month { "," month }             jan or january … dec or december
    quarter      : "quarter" | ordinal { "," ordinal } "month of quarter"      1st … 3rd
    TIME         : H:MM or HH:MM, 00:00 to 23:59

``first day of month`` is the first of the month. Letter case does not count. This module knows the
days and times that are meant; :mod:`triggers.core.occurrences` knows when that is.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NoReturn

from jobrunner.core.nearest import nearest
from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cron import DAYS_OF_MONTH, LONGEST, show

DAY = 86_400
_YEARS = 50
"""How far a search looks; the fifth Monday of February comes every 28 or 40 years."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NUMBERED = ("1st", "2nd", "3rd", "4th", "5th")
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip

ORDINALS = {word: n for words in (_ORDINALS, _NUMBERED) for n, word in enumerate(words, 1)}
WEEKDAYS = {word[:size]: n for size in (3, 9) for n, word in enumerate(_WEEKDAYS)}
MONTHS = {word[:size]: n for size in (3, 9) for n, word in enumerate(_MONTHS, 1)}
PERIODS = {"hours": 3600, "minutes": 60, "mins": 60}
_GLUE = {"every", "of", "from", "to", "on", "day", "month", "quarter", "synchronized"}
_WORDS = (*ORDINALS, *WEEKDAYS, *MONTHS, *PERIODS, *sorted(_GLUE))

ALL_ORDINALS = frozenset(range(1, 6))
ALL_WEEKDAYS = frozenset(range(7))
ALL_MONTHS = frozenset(range(1, 13))


@dataclass(frozen=True, slots=True)
class EnglishTime:
    """A time of day on certain days. ``days`` of the month win where there are any; else it is the
    ``ordinals`` (1 to 5) of the ``weekdays`` (from Sunday, 0 to 6) in the month."""

    hour: int
    minute: int
    months: frozenset[int] = ALL_MONTHS
    days: frozenset[int] = frozenset()
    ordinals: frozenset[int] = ALL_ORDINALS
    weekdays: frozenset[int] = ALL_WEEKDAYS


@dataclass(frozen=True, slots=True)
class EnglishInterval:
    """Each ``period`` seconds. ``window`` is the part of the day in minutes from midnight, both
    inclusive, that begins anew each day; it wraps around midnight where its end comes first.
    Without one it counts from the schedule's anchor."""

    period: int
    window: tuple[int, int] | None = None
    synchronized: bool = False
    weekdays: frozenset[int] | None = None


English = EnglishTime | EnglishInterval

_ENGLISH = re.compile(
    rf":|\b(?:{'|'.join(sorted(_GLUE | ORDINALS.keys()))}|hours?|minutes?|mins?|last|weekdays?)\b",
    re.IGNORECASE,
)


def looks_english(text: str) -> bool:
    """Whether ``text`` is meant in this syntax; everything else is meant as unix-cron."""
    if text.upper() == text.lower():
        return ":" in text
    return _ENGLISH.search(text) is not None


def parse_english(text: str, field: str = "schedule") -> English:
    """Raises InvalidSpec that names what was found and what is allowed there."""
    if len(text) > LONGEST:
        problem = f"it has {len(text)} characters; allowed: at most {LONGEST}"
        raise InvalidSpec([Violation(field, problem)])
    try:
        return _Reader(text).timespec()
    except ValueError as error:
        raise InvalidSpec([Violation(field, f"'{show(text)}': {error}")]) from None


def next_wall_time(spec: EnglishTime, after: datetime) -> datetime | None:
    """The first wall time (naive) after ``after``; ``None`` if there is none within fifty years.
    A zone of ``after`` does not count."""
    after = after.replace(tzinfo=None, fold=0)
    year, month = after.year, after.month
    for _ in range(_YEARS * 12):
        if month in spec.months:
            for day in matching_days(spec, year, month):
                found = after.replace(
                    year=year, month=month, day=day, hour=spec.hour, minute=spec.minute,
                    second=0, microsecond=0,
                )  # fmt: skip
                if found > after:
                    return found
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        if year > 9999:
            break
    return None


def matching_days(spec: EnglishTime, year: int, month: int) -> list[int]:
    """Days of one month, in order."""
    weekday_of_first, length = monthrange(year, month)
    if spec.days:
        return sorted(day for day in spec.days if day <= length)
    found = []
    for day in range(1, length + 1):
        weekday = (weekday_of_first + day) % 7
        if weekday in spec.weekdays and (day + 6) // 7 in spec.ordinals:
            found.append(day)
    return found


def weekday_of(day: date) -> int:
    """From Sunday, 0 to 6."""
    return day.isoweekday() % 7


_TOKEN = re.compile(r"[0-9]+:[0-9]+|[0-9]+[a-z]*|[a-z]+|,|\S")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class _Reader:
    """Reads from left to right with one token of sight; each ValueError says what was expected."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text.lower() if text.isascii() else text)
        self.at = 0

    def timespec(self) -> English:
        if not self.tokens:
            raise ValueError("it is empty; allowed: for example 'every 5 minutes'")
        if self.peek() == "every" and self.peek(1).isdigit():
            spec: English = self.interval()
        else:
            spec = self.specific()
        if self.at < len(self.tokens):
            raise ValueError(f"'{show(self.peek())}' is one word too many{self.extra(spec)}")
        return spec

    def extra(self, spec: English) -> str:
        word = self.peek()
        if isinstance(spec, EnglishTime):
            return "; the time comes last"
        if spec.synchronized and word == "from":
            return "; synchronized and from … to … exclude each other"
        if spec.window and word == "synchronized":
            return "; synchronized and from … to … exclude each other"
        return "; allowed after the period: from TIME to TIME or synchronized, then on WEEKDAYS"

    def interval(self) -> EnglishInterval:
        self.take("every")
        count = self.number()
        if count < 1:
            raise ValueError("the interval is 0; allowed: 1 or more")
        if len(str(count)) > 5:
            raise ValueError(f"the interval {show(str(count))} is too long; allowed: 5 digits")
        word = self.peek()
        if word not in PERIODS:
            plural = f"{word}s"
            advice = f"write {plural}" if plural in PERIODS else "allowed: hours, minutes or mins"
            raise ValueError(f"{self.found()} is not a period; {advice}")
        self.at += 1
        period = count * PERIODS[word]
        window, synchronized = None, False
        if self.peek() == "from":
            self.at += 1
            start = self.time()
            if self.peek() != "to":
                raise ValueError(f"'to TIME' is missing after 'from'; found {self.found()}")
            self.at += 1
            window = (start, self.time())
        elif self.peek() == "to":
            raise ValueError("'to' comes after 'from TIME'")
        elif self.peek() == "synchronized":
            self.at += 1
            if DAY % period:
                raise ValueError("synchronized needs a period that divides 24 hours evenly")
            window, synchronized = (0, 23 * 60 + 59), True
        weekdays = None
        if self.peek() == "on":
            self.at += 1
            weekdays = self.weekdays()
            if period > DAY:
                raise ValueError("with 'on' the period is at most 24 hours")
        return EnglishInterval(period, window, synchronized, weekdays)

    def specific(self) -> EnglishTime:
        if self.peek().isdigit():
            days, ordinals, weekdays = self.month_days(), ALL_ORDINALS, ALL_WEEKDAYS
            if self.peek() != "of":
                self.expected("'of month' or 'of' with months after days of the month")
        else:
            days, ordinals, weekdays = self.ordinal_days()
        months = ALL_MONTHS
        if self.peek() == "of":
            self.at += 1
            months = self.months()
        if self.at == len(self.tokens):
            raise ValueError("the time is missing at the end; write it as 09:00")
        minutes = self.time()
        if days and min(days) > max(DAYS_OF_MONTH[month - 1] for month in months):
            raise ValueError(f"none of these months has a day {min(days)}")
        return EnglishTime(*divmod(minutes, 60), months, days, ordinals, weekdays)

    def ordinal_days(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        ordinals = ALL_ORDINALS
        every = self.peek() == "every"
        if every:
            self.at += 1
        else:
            ordinals = self.series(ORDINALS, "'every' or an ordinal, first to fifth or 1st to 5th")
        if self.peek() == "day" and not every:
            self.at += 1
            return ordinals, ALL_ORDINALS, ALL_WEEKDAYS
        return frozenset(), ordinals, self.weekdays()

    def weekdays(self) -> frozenset[int]:
        if self.peek() == "day":
            self.at += 1
            return ALL_WEEKDAYS
        if self.peek() in PERIODS or f"{self.peek()}s" in PERIODS:
            word = self.peek() if self.peek() in PERIODS else f"{self.peek()}s"
            raise ValueError(f"a number is missing before {self.found()}; write every 1 {word}")
        return self.series(WEEKDAYS, "'day' or weekdays, sun to sat or sunday to saturday")

    def months(self) -> frozenset[int]:
        if self.peek() == "month":
            self.at += 1
            return ALL_MONTHS
        if self.peek() == "quarter":
            self.at += 1
            return frozenset({1, 4, 7, 10})
        if self.peek() in ORDINALS:
            ordinals = self.series(ORDINALS, "an ordinal")
            if max(ordinals) > 3:
                raise ValueError(f"a quarter has no month {max(ordinals)}; allowed: 1st to 3rd")
            for word in ("month", "of", "quarter"):
                self.take(word)
            return frozenset(n + start for n in ordinals for start in (0, 3, 6, 9))
        return self.series(
            MONTHS, "'month', 'quarter' or months, jan to dec or january to december"
        )

    def month_days(self) -> frozenset[int]:
        def day() -> int:
            value = self.number()
            if not 1 <= value <= 31:
                raise ValueError(f"{show(str(value))} is not a day of the month; allowed: 1-31")
            return value

        return frozenset(self.listed(day))

    def series(self, words: dict[str, int], allowed: str) -> frozenset[int]:
        def one() -> int:
            word = self.peek()
            if word not in words:
                self.expected(allowed)
            self.at += 1
            return words[word]

        return frozenset(self.listed(one))

    def listed(self, one: Callable[[], int]) -> Iterable[int]:
        found = [one()]
        while self.peek() == ",":
            self.at += 1
            found.append(one())
        return found

    def number(self) -> int:
        word = self.peek()
        if not word.isdigit() or not word.isascii() or len(word) > 9:
            self.expected("a number")
        self.at += 1
        return int(word)

    def time(self) -> int:
        """Minutes from midnight."""
        match = _TIME.fullmatch(self.peek())
        if match is None:
            self.expected("a time from 00:00 to 23:59")
        self.at += 1
        return int(match[1]) * 60 + int(match[2])

    def take(self, word: str) -> None:
        if self.peek() != word:
            self.expected(f"'{word}'")
        self.at += 1

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else ""

    def found(self) -> str:
        return f"'{show(self.peek())}'" if self.peek() else "the end"

    def expected(self, allowed: str) -> NoReturn:
        word = self.peek()
        close = nearest(word, _WORDS) if word.isalpha() and word not in _WORDS else None
        meant = f"; did you mean {close}?" if close else ""
        raise ValueError(f"{self.found()} is not allowed here{meant}; allowed: {allowed}")


def window_length(window: tuple[int, int]) -> timedelta:
    """From the start of a daily window to its end, by the clock."""
    start, end = window
    return timedelta(minutes=(end - start) % (24 * 60))
