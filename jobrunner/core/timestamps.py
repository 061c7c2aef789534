"""Instants as RFC 3339 text in UTC: ``2025-05-01T10:00:00.123456Z``.

Written without ``datetime``, which would double what importing these rules costs, and which
cannot read nanoseconds.
"""

from __future__ import annotations

import re
from functools import lru_cache

_DAY = 86_400
_LAST = 253_402_300_800
"""The first second of the year 10000."""


@lru_cache(maxsize=4096)
def format_time(at: float) -> str:
    """``at`` is Unix seconds in the years 1970 to 9999; six digits of fraction. Remembered: a
    document shows the same few instants again and again."""
    micros = min(max(0, round(at * 1_000_000)), _LAST * 1_000_000 - 1)
    seconds, fraction = divmod(micros, 1_000_000)
    days, clock = divmod(seconds, _DAY)
    year, month, day = _date(days)
    hours, rest = divmod(clock, 3600)
    minutes, second = divmod(rest, 60)
    return (
        f"{year:04d}-{month:02d}-{day:02d}T{hours:02d}:{minutes:02d}:{second:02d}.{fraction:06d}Z"
    )


def parse_time(text: str) -> float:
    """Unix seconds. Any offset and up to nine digits of fraction. Raises ValueError."""
    fraction = text[20:-1]
    # As most write it; many of one second come together.
    usual = text[19:20] == "." and text[-1] == "Z" and len(fraction) <= 9
    if usual and fraction.isascii() and fraction.isdigit():
        try:
            return _second(f"{text[:19]}Z") + int(fraction.ljust(9, "0")) / 1e9
        except ValueError:
            pass  # It names all of the text.
    return _parsed(text)


def _parsed(text: str) -> float:
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
        r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
        text,
    )
    if match is None:
        raise ValueError(f"'{text}' is not a time; write it as 2025-05-01T10:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    offset = int(match[9] or 0) * 3600 + int(match[10] or 0) * 60
    days = _days(year, month, day) if 1 <= month <= 12 else -1
    # 23:59:60 is a leap second: it reads as the second after it.
    if _date(days) != (year, month, day) or hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"'{text}' is not a time from 1970 on that the calendar has")
    whole = days * _DAY + hour * 3600 + minute * 60 + second
    whole += offset if match[8] == "-" else -offset
    return whole + int((match[7] or "0").ljust(9, "0")) / 1e9


_second = lru_cache(maxsize=256)(_parsed)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01. Years begin in March here, so that the leap day comes last."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        era * 146_097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + (day_of_year - 719_468)
    )


def _date(days: int) -> tuple[int, int, int]:
    if days < 0:
        return 0, 0, 0
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = era * 400 + year_of_era + (month <= 2)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1
