"""Rows of resources that cannot be read: they keep nobody from reading the others.

A row begins with uid, project, region and name, which are plain text and always readable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Row
from triggers.core.records import Unreadable
from triggers.errors import DamagedRow

T = TypeVar("T")

log = logging.getLogger("jobrunner.store")


class Reader(Generic[T]):
    """Makes values of rows; ``noun`` is what they are called, with a capital."""

    def __init__(self, noun: str, decode: Callable[[Row], T]) -> None:
        self._noun = noun
        self._decode = decode
        self._told: set[str] = set()

    def one(self, row: Row) -> T:
        """Raises DamagedRow."""
        try:
            return self._decode(row)
        except StoreFault as error:
            raise self._damaged(row, error.message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(row, f"{type(error).__name__}: {error}") from error

    def readable(self, rows: Iterable[Row]) -> list[T]:
        """Those that can be read; of each of the others the log says it once."""
        found = []
        for row in rows:
            try:
                found.append(self.one(row))
            except DamagedRow as error:
                if error.uid not in self._told:
                    self._told.add(error.uid)
                    log.error("It is left out: %s", error)
        return found

    def survey(self, rows: Iterable[Row]) -> list[T | Unreadable]:
        """All of them, each in its place."""
        found: list[T | Unreadable] = []
        for row in rows:
            try:
                found.append(self.one(row))
            except DamagedRow as error:
                uid, project, region, name = row[:4]
                found.append(Unreadable(uid, project, region, name, f"{error} {error.hint}"))
        return found

    def _damaged(self, row: Row, why: str) -> DamagedRow:
        uid, project, region, name = row[:4]
        message = f"{self._noun} '{name}' in {region} of project {project} is damaged: {why}"
        hint = "Delete it and make it again, or restore the last backup of the database."
        return DamagedRow(message, uid=uid, hint=hint)
