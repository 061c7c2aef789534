"""unix-cron: a grammar of our own, and cronsim for the search.

Five fields, ``minute hour day-of-month month day-of-week``. What the contract does not document
(macros, ``?``, ``L``, ``W``, ``#``, ``a/n``, seconds, ranges that wrap around) is refused, each
with the way to write it. cronsim accepts some of that, and reads a zone by itself; so it is given
sets of numbers that were checked here, and wall times without a zone. What a wall time means in a
zone is in :mod:`triggers.core.zones`.

Where both day fields are restricted a day matches if *either* does. Where one of them starts with
``*`` (``*/2`` too, as in Vixie's cron) it matches if *both* do.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, cast

from cronsim import CronSim

from jobrunner.errors import InvalidSpec, Violation

LONGEST = 1000
"""Characters of an expression."""
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most there can be, from January on."""
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many values there are; the seventh day is Sunday again."""
        return 7 if self.names is WEEKDAYS else self.high - self.low + 1

    @property
    def allowed(self) -> str:
        text = f"{self.low}-{self.high}"
        return f"{text} or {self.names[0]}-{self.names[-1]}" if self.names else text


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day-of-week", 0, 7, WEEKDAYS),
)
_FORM = "minute hour day-of-month month day-of-week"


class CronLine(NamedTuple):
    """A checked expression: its five ``fields`` as written, and what each of them allows.
    ``weekdays`` counts from Sunday, 0 to 6. ``both_days``: day-of-month *and* day-of-week."""

    fields: tuple[str, ...]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool

    @property
    def follows_the_clock(self) -> bool:
        """Whether it goes by what the clock on the wall shows at each instant, and not by fixed
        times: the minute or the hour starts with ``*``."""
        return self.fields[0][0] == "*" or self.fields[1][0] == "*"


def parse_cron(text: str, field: str = "schedule") -> CronLine:
    """Raises InvalidSpec with one violation for each field that is wrong."""
    words = text.split() if len(text) <= LONGEST else []
    try:
        minute, hour, day, month, weekday = words
        line = CronLine(
            (minute, hour, day, month, weekday),
            _values(0, minute),
            _values(1, hour),
            days := _values(2, day),
            _values(3, month),
            _values(4, weekday),
            both := day[0] == "*" or weekday[0] == "*",
        )
    except ValueError:
        raise InvalidSpec(_violations(text, words, field)) from None
    if both and min(days) > 29:
        _check_date(line, field)
    return line


def next_wall(line: CronLine, after: datetime) -> datetime | None:
    """The first wall time (naive, whole minutes) after ``after`` that ``line`` matches; ``None``
    if there is none within fifty years, or before the calendar ends. A zone of ``after`` does not
    count."""
    try:
        minute = after.replace(second=0, microsecond=0, tzinfo=None, fold=0)
        search = _Search(line, minute + _MINUTE)
        search.advance()
    except (StopIteration, OverflowError):
        return None
    return search.dt


_MINUTE = timedelta(minutes=1)
_SECONDS = {0}


class _Search(CronSim):
    """cronsim's search from ``start`` on, over sets that are checked already."""

    def __init__(self, line: CronLine, start: datetime) -> None:
        self.dt = start
        self.tick_direction = 1
        self.fixup_tz = None
        self.day_and = line.both_days
        self.seconds = _SECONDS
        # It only ever asks whether a number is in them.
        self.minutes = cast("set[int]", line.minutes)
        self.hours = cast("set[int]", line.hours)
        self.days = cast("set[int]", line.days)
        self.months = cast("set[int]", line.months)
        self.weekdays = cast("set[int | tuple[int, int]]", line.weekdays)


@lru_cache(maxsize=4096)
def _values(place: int, text: str) -> frozenset[int]:
    """What one field allows. Raises ValueError that says what is wrong."""
    field = FIELDS[place]
    found: set[int] = set()
    # Upper case makes ASCII of some letters that are not.
    terms = text.upper().split(",") if text.isascii() else [text]
    for term in terms:
        if term[:1] == "*" and len(terms) > 1:
            raise ValueError(
                f"'{term}' cannot be part of a list; write {_spelled_out(field, term)}"
            )
        found.update(_term(field, term))
    if field.names is WEEKDAYS and 7 in found:
        found.remove(7)
        found.add(0)
    return frozenset(found)


_TERM = re.compile(r"(?:(\*)|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,3}))?")


def _term(field: _Field, term: str) -> range:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(_why_not(field, term))
    star, first, last, step_text = match.groups()
    if star:
        low, high = field.low, field.low + field.size - 1
    else:
        low = _number(field, first)
        high = low if last is None else _number(field, last)
    if step_text is None:
        step = 1
    elif star or last is not None:
        step = int(step_text)
    else:
        raise ValueError(f"a step needs a range; write {first}-{field.high}/{step_text}")
    if low > high:
        parts = (low, field.low + field.size - 1), (field.low, high)
        split = ",".join(f"{a}-{b}" if a < b else str(a) for a, b in parts)
        raise ValueError(f"the range {first}-{last} runs backwards; write {split}")
    if not 1 <= step <= field.size:
        raise ValueError(f"the step {step} is not from 1 to {field.size}")
    return range(low, high + 1, step)


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.low
    if not text.isdigit():
        raise ValueError(f"'{text}' is not a value of this field; allowed: {field.allowed}")
    value = int(text)
    if not field.low <= value <= field.high:
        raise ValueError(f"{value} is out of bounds; allowed: {field.allowed}")
    return value


def _spelled_out(field: _Field, term: str) -> str:
    if term == "*":
        return "* alone"
    return f"{field.low}-{field.low + field.size - 1}{term[1:]} in its place"


def _why_not(field: _Field, term: str) -> str:
    form = f"allowed: *, a number, a-b, */n, a-b/n and lists, of {field.allowed}"
    if not term:
        return f"an item of the list is empty; {form}"
    if term == "?":
        return "? is not part of unix-cron; write *"
    if field.name in {"day-of-month", "day-of-week"} and re.search(r"#|^L|[0-9]L|[LW]$", term):
        return (
            f"'{show(term)}' is not part of unix-cron; the English syntax has ordinals, as in"
            " 'first monday of month 09:00'"
        )
    return f"'{show(term)}' is not understood; {form}"


def _violations(text: str, words: list[str], field: str) -> list[Violation]:
    if len(text) > LONGEST:
        return [Violation(field, f"it has {len(text)} characters; allowed: at most {LONGEST}")]
    if text.strip().startswith("@"):
        instead = MACROS.get(text.strip().lower())
        advice = f"write {instead}" if instead else f"allowed: {_FORM}"
        return [Violation(field, f"'{show(text.strip())}' is not part of unix-cron; {advice}")]
    if len(words) != len(FIELDS):
        extra = "; there is none for seconds or years" if len(words) > len(FIELDS) else ""
        count = "1 field" if len(words) == 1 else f"{len(words)} fields"
        problem = f"'{show(text)}' has {count}; allowed: 5, {_FORM}{extra}"
        if not words:
            problem = f"it is empty; allowed: {_FORM}, or English such as 'every 5 minutes'"
        return [Violation(field, problem)]
    found = []
    for place, word in enumerate(words):
        try:
            _values(place, word)
        except ValueError as error:
            name = FIELDS[place].name
            found.append(Violation(field, f"{name} '{show(word)}': {error}"))
    return found


def _check_date(line: CronLine, field: str) -> None:
    day = min(line.days)
    if day > max(DAYS_OF_MONTH[month - 1] for month in line.months):
        problem = (
            f"day-of-month '{show(line.fields[2])}' never comes in month '{show(line.fields[3])}';"
            " allowed: a date that exists in some year"
        )
        raise InvalidSpec([Violation(field, problem)])


def show(text: str) -> str:
    """``text`` for a message: one line, printable, not too long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= 60 else f"{clean[:59]}\N{HORIZONTAL ELLIPSIS}"
