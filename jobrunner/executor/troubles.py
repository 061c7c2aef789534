"""Executions that could not be driven on, and when each is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """``why`` is a sentence for people. ``until`` is monotonic, ``pause`` seconds."""

    why: str
    until: float
    pause: float


class Troubles:
    def __init__(self) -> None:
        self._by_uid: dict[str, Trouble] = {}

    def __contains__(self, uid: object) -> bool:
        return uid in self._by_uid

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._by_uid))

    def __len__(self) -> int:
        return len(self._by_uid)

    def add(self, uid: str, why: str, now: float) -> bool:
        """Each time in a row the pause is twice as long. Says whether this is news."""
        before = self._by_uid.get(uid)
        pause = FIRST_PAUSE if before is None else min(before.pause * 2, LONGEST_PAUSE)
        self._by_uid[uid] = Trouble(why, now + pause, pause)
        return before is None or before.why != why

    def over(self, uid: str) -> bool:
        """Says whether there was any."""
        return self._by_uid.pop(uid, None) is not None

    def due(self, now: float) -> list[str]:
        return [uid for uid, trouble in self._by_uid.items() if trouble.until <= now]

    def hasten(self, uid: str) -> None:
        """There is a reason to try again now."""
        before = self._by_uid[uid]
        self._by_uid[uid] = Trouble(before.why, 0.0, before.pause)

    def why(self, uid: str) -> str | None:
        found = self._by_uid.get(uid)
        return None if found is None else found.why

    def facts(self, limit: int = 10) -> dict[str, str]:
        """Sentences by execution uid, for people."""
        return {uid: self._by_uid[uid].why for uid in list(self._by_uid)[:limit]}
