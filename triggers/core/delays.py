"""How much later than its nominal instant an occurrence runs: spread by name, and jitter.

Both are pure functions of names: every runner, and every preview, finds the same.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from triggers.core.records import OccurrenceKey, Schedule

_RANGE = float(2**64)


class Delay(NamedTuple):
    """Seconds. ``spread`` is the same for all occurrences of a schedule."""

    spread: int
    jitter: float

    @property
    def total(self) -> float:
        return self.spread + self.jitter


def spread_of(name: str, most: int) -> int:
    """Whole seconds from 0 to ``most``; the same for the same ``name``, now and after it was
    deleted and made again."""
    return _number(f"spread/{name}") % (most + 1) if most > 0 else 0


def jitter_of(key: OccurrenceKey, most: float) -> float:
    """Seconds from 0 up to ``most``, in milliseconds; another for each occurrence."""
    return int(_number(f"jitter/{key}") / _RANGE * most * 1000) / 1000 if most > 0 else 0.0


def delay_of(schedule: Schedule, key: OccurrenceKey) -> Delay:
    name = f"{schedule.project}/{schedule.region}/{schedule.name}"
    return Delay(spread_of(name, schedule.spread), jitter_of(key, schedule.jitter))


def due_at(schedule: Schedule, nominal: int, backfill: str | None = None) -> float:
    """When the occurrence of ``nominal`` is to be opened (Unix seconds)."""
    if not schedule.spread and not schedule.jitter:
        return float(nominal)
    return nominal + delay_of(schedule, OccurrenceKey(schedule.uid, nominal, backfill)).total


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")
