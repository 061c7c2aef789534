"""Documents that are shown again and again, kept as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_BYTES = 4 * 1024**2
"""Of one kind of document."""


class Remembered(Generic[T]):
    """Shows a value as ``show`` does; a value that was shown before is known by its identity, which
    the store keeps for what has not changed. So ``show`` must depend on the value alone. For what
    is asked for again and again only."""

    def __init__(self, show: Callable[[T], bytes], *, most: int = MOST_BYTES) -> None:
        self._show = show
        self._most = most
        self._size = 0
        self._known: dict[int, tuple[T, bytes]] = {}

    def __call__(self, value: T) -> bytes:
        # The value is held, so that no other one can have its identity.
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        shown = self._show(value)
        self._size += len(shown)
        if self._size > self._most:
            self._known.clear()
            self._size = len(shown)
        if self._size <= self._most:
            self._known[id(value)] = value, shown
        return shown
