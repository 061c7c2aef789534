"""What all stores have in common: transactions, whose faults are faults of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Database, DatabaseError, Session

T = TypeVar("T")


class Transactions:
    """Raises StoreFault if the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _read(self, work: Callable[[Session], T]) -> T:
        try:
            return self._database.read(work)
        except DatabaseError as error:
            raise fault(error) from error

    def _write(self, work: Callable[[Session], T]) -> T:
        try:
            return self._database.write(work)
        except DatabaseError as error:
            raise fault(error) from error


def fault(error: DatabaseError) -> StoreFault:
    return StoreFault(error.message, hint=error.hint or None)
