"""Faults that are made on purpose, so that tests of users meet them: what may happen, how often,
and to what. Which deliveries and attempts it happens to follows from the seed alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from types import MappingProxyType

from jobrunner.core.quantities import parse_duration

LONGEST_SECONDS = 60.0
FORM = "seed=7,duplicate=0.1,delay=0.2:100ms,reorder=0.1,drop=0.05,5xx=0.1:503,kill=0.1:50ms"

_SCALE = float(1 << 64)
_NAMES = MappingProxyType({"5xx": "error"})


@dataclass(frozen=True, slots=True)
class Faults:
    """Each fault is a probability. Of deliveries: ``duplicate`` sends twice, ``delay`` waits for
    ``delay_seconds`` first, ``reorder`` lets a later one to the same target go first, ``drop`` does
    not send, ``error`` answers ``status`` in place of the target. Of attempts: ``kill`` ends one by
    SIGKILL, ``kill_seconds`` after its start. Seconds are of real time."""

    seed: int = 0
    duplicate: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    drop: float = 0.0
    error: float = 0.0
    kill: float = 0.0
    delay_seconds: float = 0.1
    status: int = 503
    kill_seconds: float = 0.0

    def happens(self, fault: str, *to: object) -> bool:
        """Whether the fault of that field befalls what ``to`` names."""
        chance: float = getattr(self, fault)
        if chance <= 0:
            return False
        text = "\x1f".join(str(part) for part in (self.seed, fault, *to))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / _SCALE < chance

    @property
    def of_deliveries(self) -> bool:
        return any((self.duplicate, self.delay, self.reorder, self.drop, self.error))


def parse_faults(text: str) -> Faults:
    """From ``NAME=PROBABILITY[:MORE]`` after commas. Raises ValueError naming what is wrong and the
    allowed form."""
    found: dict[str, float | int] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        field = _NAMES.get(name, name)
        if not equals or field not in _READERS or name == "error":
            names = ", ".join(_NAME_OF.get(one, one) for one in _READERS)
            raise ValueError(
                f"'{part.strip()}' is not one of {names}, with '=' and a value; {FORM}"
            )
        if field in found:
            raise ValueError(f"{name} stands twice")
        chance, colon, more = value.partition(":")
        if colon and field not in _MORE:
            raise ValueError(f"{name}: nothing may follow the probability")
        found[field] = _READERS[field](name, chance)
        if colon:
            member, read = _MORE[field]
            found[member] = read(name, more)
    return Faults(**found)  # type: ignore[arg-type]


def _chance(name: str, text: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = -1.0
    if not 0 <= chance <= 1:
        raise ValueError(f"{name}: '{text}' is not a probability from 0 to 1")
    return chance


def _seed(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ValueError(f"{name}: '{text}' is not a whole number")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"{name}: '{text}' is longer than {LONGEST_SECONDS:g}s")
    return seconds


def _status(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 500 <= int(text[:4]) <= 599:
        raise ValueError(f"{name}: '{text}' is not a status from 500 to 599")
    return int(text)


_NAME_OF = {field: name for name, field in _NAMES.items()}
_READERS = {
    field.name: _seed if field.name == "seed" else _chance
    for field in fields(Faults)
    if field.name not in ("delay_seconds", "status", "kill_seconds")
}
_MORE = {
    "delay": ("delay_seconds", _seconds),
    "error": ("status", _status),
    "kill": ("kill_seconds", _seconds),
}
