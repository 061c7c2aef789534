"""What a server has just done, for a person who watches: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Tone(Enum):
    """How a line is to be taken."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class News:
    """``what`` is event, delivery, run or file; ``name`` of what it is about, ``state`` one word,
    ``detail`` for people, ``fields`` for programs. ``at`` is an instant of planned time."""

    at: float
    what: str
    name: str
    state: str
    detail: str = ""
    tone: Tone = Tone.PLAIN
    fields: Mapping[str, Any] = field(default_factory=dict)
