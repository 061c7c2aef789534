"""How much may be on the wire, in all and to each place, and what waits for a slot there. Pure.

A place that is quick gets some deliveries ahead: they are claimed while all its slots are taken, so
that a slot that falls free is used at once and a commit carries more of them. A slow one gets none:
what waits here no other runner can take.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD_SECONDS = 0.02
"""What is claimed ahead is what a place gets through in so much time."""
MOST_AHEAD = 48
"""To one place."""
SLOW = 1.0
"""Seconds between two ends, taken for a place that nothing is known of, and for slower ones."""
SHARE = 1 / 8
"""Of the latest observation in the mean."""
MOST_PLACES = 256
"""Places that are remembered though nothing is sent there."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a claim may take, as :meth:`triggers.ports.DeliveryStore.claim` reads it. A place that
    gets some ahead counts as that much less busy."""

    most: int
    per_place: int
    busy: dict[str, int]


@dataclass(slots=True)
class _Place(Generic[T]):
    wire: int = 0
    ready: deque[T] = field(default_factory=deque)
    gap: float = SLOW
    """Mean seconds from one end to the next."""
    ended_at: float = 0.0

    def ended(self, now: float) -> None:
        latest = min(SLOW, max(0.0, now - self.ended_at))
        self.gap += (latest - self.gap) * SHARE
        self.ended_at = now

    def ahead(self, now: float) -> int:
        gap = max(self.gap, now - self.ended_at)
        return MOST_AHEAD if gap * MOST_AHEAD <= AHEAD_SECONDS else int(AHEAD_SECONDS / gap)


class Slots(Generic[T]):
    """``in_flight`` in all and ``per_place`` to one place are on the wire at once."""

    def __init__(self, in_flight: int, per_place: int) -> None:
        self._in_flight = in_flight
        self._per_place = per_place
        self._places: dict[str, _Place[T]] = {}
        self._turn: dict[str, None] = {}
        """Places with something ready, in the order of their turns."""
        self.wire = 0
        self.ready = 0

    def put(self, place: str, item: T) -> None:
        """Behind what is ready for that place."""
        self._place(place).ready.append(item)
        self._turn[place] = None
        self.ready += 1

    def take(self) -> T | None:
        """The next one that may go, which has a slot from now on; in turns between places."""
        if self.wire >= self._in_flight:
            return None
        for name in self._turn:
            place = self._places[name]
            if place.wire < self._per_place:
                del self._turn[name]
                item = place.ready.popleft()
                if place.ready:
                    self._turn[name] = None
                place.wire += 1
                self.wire += 1
                self.ready -= 1
                return item
        return None

    def free(self, name: str, now: float) -> None:
        """A call has come to its end, good or bad."""
        place = self._places[name]
        place.wire -= 1
        self.wire -= 1
        place.ended(now)

    def withdraw(self, name: str, item: T) -> None:
        """Takes back what is ready. Raises ValueError if it is not."""
        place = self._places[name]
        place.ready.remove(item)
        self.ready -= 1
        if not place.ready:
            del self._turn[name]

    def room(self, now: float) -> Room:
        self._forget(now)
        ahead = {name: place.ahead(now) for name, place in self._places.items()}
        free = self._in_flight - self.wire - self.ready
        if free > 0:
            return Room(free, self._per_place, {
                name: place.wire + len(place.ready) - ahead[name]
                for name, place in self._places.items()
            })  # fmt: skip
        # Every slot is taken: only where one falls free at once there is room for more.
        busy = {name: len(place.ready) - ahead[name] for name, place in self._places.items()}
        return Room(-sum(rest for rest in busy.values() if rest < 0), 0, busy)

    def _place(self, name: str) -> _Place[T]:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place()
        return place

    def _forget(self, now: float) -> None:
        if len(self._places) > MOST_PLACES:
            idle = [
                name
                for name, place in self._places.items()
                if not place.wire and not place.ready and now - place.ended_at > SLOW
            ]
            for name in idle:
                del self._places[name]
