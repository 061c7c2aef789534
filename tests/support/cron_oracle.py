"""unix-cron once more, written to be obviously right and not to be fast: no library, day by day and
minute by minute. It takes nothing from the code that it judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

BOUNDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MINUTE = timedelta(minutes=1)


def allowed(place: int, text: str) -> set[int]:
    low, high = BOUNDS[place]

    def number(word: str) -> int:
        if place == 3 and word in MONTHS:
            return MONTHS.index(word) + 1
        if place == 4 and word in DAYS:
            return DAYS.index(word)
        return int(word)

    found: set[int] = set()
    for term in text.lower().split(","):
        body, _, step = term.partition("/")
        first, dash, last = body.partition("-")
        if body == "*":
            begin, end = low, high
        else:
            begin = number(first)
            end = number(last) if dash else begin
        for value in range(begin, end + 1):
            if (value - begin) % int(step or 1) == 0:
                found.add(0 if place == 4 and value == 7 else value)
    return found


class Oracle:
    def __init__(self, expression: str) -> None:
        self.fields = expression.split()
        self.sets = [allowed(place, text) for place, text in enumerate(self.fields)]

    def day(self, at: datetime) -> bool:
        _, _, days, months, weekdays = self.sets
        if at.month not in months:
            return False
        by_date = at.day in days
        by_weekday = at.isoweekday() % 7 in weekdays
        if self.fields[2].startswith("*") or self.fields[4].startswith("*"):
            return by_date and by_weekday
        return by_date or by_weekday

    def wall(self, at: datetime) -> bool:
        return at.minute in self.sets[0] and at.hour in self.sets[1] and self.day(at)

    def next_wall(self, after: datetime, years: int = 45) -> datetime | None:
        """By wall times alone, without a zone."""
        at = after.replace(second=0, microsecond=0) + MINUTE
        end = at + timedelta(days=366 * years)
        while at < end:
            if not self.day(at):
                at = at.replace(hour=0, minute=0) + timedelta(days=1)
            elif self.wall(at):
                return at
            else:
                at += MINUTE
        return None

    @property
    def stars(self) -> bool:
        return self.fields[0].startswith("*") or self.fields[1].startswith("*")

    def first_instants(
        self, zone: tzinfo, start: int, count: int, *, days: int, run_gap: bool, both: bool
    ) -> list[int]:
        """The first ``count`` after ``start``, of as many days; a day is passed over if neither its
        date nor the ones beside it allow any."""
        found: list[int] = []
        at, end = start, start + days * 86_400
        while at < end and len(found) < count:
            until = min(end, at // 86_400 * 86_400 + 86_400)
            around = [datetime.fromtimestamp(at, UTC) + timedelta(days=n) for n in (-1, 0, 1)]
            if any(self.day(day) for day in around):
                found += self.instants(zone, at, until, run_gap=run_gap, both=both)
            at = until
        return found[:count]

    def instants(
        self, zone: tzinfo, start: int, end: int, *, run_gap: bool = True, both: bool = False
    ) -> Iterator[int]:
        """Every whole minute of (start, end] (Unix seconds) that is due, asked one by one."""
        for at in range(start // 60 * 60 + 60, end + 1, 60):
            now = datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None)
            before = datetime.fromtimestamp(at - 60, UTC).astimezone(zone).replace(tzinfo=None)
            due = self.wall(now)
            if not self.stars:
                if now.fold and not both:
                    due = False
                if run_gap:
                    # Minutes that the clock has jumped over since a minute ago.
                    jumped = before.replace(fold=0) + MINUTE
                    while jumped < now.replace(fold=0):
                        due = due or self.wall(jumped)
                        jumped += MINUTE
            if due:
                yield at
