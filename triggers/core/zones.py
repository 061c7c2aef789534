"""What a wall time means in a time zone: no instant, one, or two.

Zones are those of the IANA database as the machine has it. That database is the one thing that is
read here; it is data, the same for every call.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from jobrunner.core.nearest import nearest
from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cron import show

DEFAULT_ZONE = "Etc/UTC"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (wall times have no zone)


def zone_of(name: str, field: str = "timeZone") -> tzinfo:
    """The zone of that name; an empty one is UTC. Raises InvalidSpec for one that is unknown."""
    zone = _zone(name)
    if zone is None and not available_timezones():
        problem = f"'{show(name)}': this machine knows no time zones"
        raise InvalidSpec([Violation(field, f"{problem}; install tzdata, or use UTC")])
    if zone is None:
        close = nearest(name, sorted(available_timezones()))
        meant = f"; did you mean {close}?" if close else ""
        problem = f"'{show(name)}' is not a time zone{meant}"
        allowed = "allowed: a name of the IANA database, such as Europe/Berlin, or UTC"
        raise InvalidSpec([Violation(field, f"{problem}; {allowed}")])
    return zone


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo | None:
    if name in {"", "utc", "UTC", "Etc/UTC"}:
        return UTC
    if not name.isascii() or name.startswith(_NOT_ZONES):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


_NOT_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory")
"""In the same directories, and not names of the database; ``right`` counts leap seconds."""


class Shift(NamedTuple):
    """The clocks of a zone are set at the instant ``at``, from the wall time ``before`` to the
    wall time ``after``."""

    at: int
    before: datetime
    after: datetime

    @property
    def forward(self) -> bool:
        return self.after > self.before


class Place(NamedTuple):
    """Where a wall time lies. ``first`` and ``second`` are equal for a time that comes once; the
    second is later for one that is shown twice. In a gap both are the first instant after it."""

    first: int
    second: int
    in_gap: bool = False


def wall_of(at: int, zone: tzinfo) -> datetime:
    """What the clock shows at ``at`` (Unix seconds): naive, with its ``fold``."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None)


def clock_seconds(wall: datetime) -> int:
    """``wall`` (naive) as seconds since 1970 by the clock on the wall, whatever the zone."""
    since = wall - _EPOCH
    return since.days * 86_400 + since.seconds


def offset_at(at: int, zone: tzinfo) -> int:
    """Seconds east of Greenwich at the instant ``at``."""
    return _offset(zone, datetime.fromtimestamp(at, zone))


def place(wall: datetime, zone: tzinfo) -> Place:
    """Where the naive ``wall`` lies."""
    seconds = clock_seconds(wall)
    if zone is UTC:
        return Place(seconds, seconds)
    early, late = _offsets(zone, wall)
    if early == late:
        at = seconds - early
        return Place(at, at)
    if early > late:
        return Place(seconds - early, seconds - late)
    at = _change(zone, seconds - late, seconds - early)
    return Place(at, at, in_gap=True)


def shift_at(wall: datetime, zone: tzinfo) -> Shift | None:
    """The setting of the clocks that makes ``wall`` come twice or not at all; ``None`` if it comes
    once."""
    seconds = clock_seconds(wall)
    early, late = _offsets(zone, wall)
    if early == late:
        return None
    low, high = sorted((seconds - early, seconds - late))
    at = _change(zone, low, high)
    return Shift(at, _EPOCH + timedelta(seconds=at + early), _EPOCH + timedelta(seconds=at + late))


def offset_text(at: int, zone: tzinfo) -> str:
    """ISO 8601 with the offset of the zone: ``2026-03-08T03:00:00-04:00``."""
    return datetime.fromtimestamp(at, zone).isoformat()


def _offset(zone: tzinfo, wall: datetime) -> int:
    offset = zone.utcoffset(wall)
    assert offset is not None
    return offset.days * 86_400 + offset.seconds


def _offsets(zone: tzinfo, wall: datetime) -> tuple[int, int]:
    """Before and after the setting of the clocks that ``wall`` falls into; equal if there is none.
    That is what ``fold`` means also for a wall time that does not exist."""
    if wall.fold:
        wall = wall.replace(fold=0)
    return _offset(zone, wall), _offset(zone, wall.replace(fold=1))


def _change(zone: tzinfo, low: int, high: int) -> int:
    """The first second in (low, high] whose offset is that of ``high``."""
    goal = datetime.fromtimestamp(high, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == goal:
            high = middle
        else:
            low = middle
    return high
