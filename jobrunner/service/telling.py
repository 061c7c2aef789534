"""Whoever watches a server hears of causes before their effects."""

from __future__ import annotations

from collections.abc import Callable

from jobrunner.core.news import News

EFFECTS = frozenset({"run"})
"""What may have been caused by something that is durable and not told yet."""


class Telling:
    """``hear`` takes what has just become durable, and returns at once. So does ``__call__``."""

    def __init__(self, hear: Callable[[News], None]) -> None:
        self._hear = hear
        self._causes: list[Callable[[], None]] = []

    def first(self, cause: Callable[[], None]) -> None:
        """``cause`` tells what else there is, if anything, before each effect is told."""
        self._causes.append(cause)

    def __call__(self, news: News) -> None:
        if news.what in EFFECTS:
            for cause in self._causes:
                cause()
        self._hear(news)
