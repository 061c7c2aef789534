"""Feeds of our own that are read from where the last reader stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Read:
    """``position`` is where the reader stands now, ``None`` if another runner reads at the
    moment."""

    position: int | None
    opened: int = 0


class Feed(Protocol):
    """Something whose entries have positions, which grow and become visible in their order."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def last(self) -> int:
        """The position of the newest entry. Cheap enough to ask for several times a second."""
        ...

    def read(self, now: float) -> Read:
        """Inside a transaction: goes on a bit. Raises StoreFault; then nothing was written."""
        ...
