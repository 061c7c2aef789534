"""Transactions in transactions, and what both drivers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

from jobrunner.lib.database.protocol import Broken, Cursor, DatabaseError, Fault, Session, T

_OF_ONE_WRITE = (Fault.INTEGRITY, Fault.OTHER)
"""What is wrong with a statement, not with the database: undone with its savepoint."""


class Nesting(ABC):
    """Works inside an open transaction, kept apart by savepoints.

    A work gets its savepoint with its first write, which thereby has one of its own: most works
    write once, and reading costs nothing. Later writes of the same work get one each.
    """

    _driver_error: type[Exception]

    def __init__(self) -> None:
        self.later: list[Any] = []
        self.before_commit: Callable[[Session, list[Any]], None] | None = None
        self.committed: Callable[[], None] | None = None
        self._inside = False
        self._marked = False
        self._lost: Broken | None = None

    @abstractmethod
    def execute(self, sql: str, params: Sequence[object] = ()) -> Cursor: ...

    @abstractmethod
    def _explain(self, error: Any) -> DatabaseError: ...

    @abstractmethod
    def _goes_on(self) -> bool:
        """Whether a transaction is open that can still be committed."""

    @abstractmethod
    def _can_go_back(self) -> bool:
        """Whether a transaction is open, of which a failed part can be undone."""

    def nested(self, work: Callable[[], T]) -> T:
        before = self._inside, self._marked
        self._inside, self._marked = True, False
        waiting = len(self.later)
        try:
            result = work()
            self._check()
        except Exception:
            del self.later[waiting:]
            if self._marked:
                self._back()
            self._check()
            raise
        else:
            if self._marked:
                self._keep()
            return result
        finally:
            self._inside, self._marked = before

    def _inner(self, work: Callable[[Session], T], *, writes: bool) -> T:
        """A read or write of a work."""
        self._check()
        first = writes and not self._marked
        waiting = len(self.later)
        if writes:
            self._mark()
            self._marked = True
        try:
            result = work(self._session())
        except Exception as error:
            del self.later[waiting:]
            if writes:
                self._back()
                self._marked = not first
            raise self._own(error) from error
        if writes and not first:
            self._keep()
        return result

    def _own(self, error: Exception) -> Exception | Broken:
        """What a work sees of an error of its statement."""
        if isinstance(error, BAD_VALUES):
            return bad_value(error)
        if not isinstance(error, self._driver_error):
            return error
        explained = self._explain(error)
        if explained.fault in _OF_ONE_WRITE and self._lost is None and self._goes_on():
            return explained
        return self._lose(error)

    def _begun(self) -> None:
        self._lost = None
        self.later.clear()

    def _finish(self) -> None:
        """What comes before the commit."""
        self._check()
        if self.later and self.before_commit is not None:
            self.before_commit(self._session(), self.later)

    def _mark(self) -> None:
        self._plainly("SAVEPOINT work")

    def _keep(self) -> None:
        self._plainly("RELEASE work")

    def _back(self) -> None:
        # A full disk makes SQLite roll everything back by itself.
        if self._lost is None and self._can_go_back():
            self._plainly("ROLLBACK TO work")
            self._plainly("RELEASE work")

    def _plainly(self, sql: str) -> None:
        try:
            self.execute(sql)
        except self._driver_error as error:
            raise self._lose(error) from error

    def _lose(self, error: Exception) -> Broken:
        if self._lost is None:
            self._lost = Broken(error)
        return self._lost

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _session(self) -> Session:
        return cast("Session", self)


BAD_VALUES = (UnicodeEncodeError, OverflowError)
"""What the drivers raise for values that no column takes."""


def bad_value(error: Exception) -> DatabaseError:
    if isinstance(error, UnicodeEncodeError):
        return DatabaseError(
            Fault.OTHER,
            f"Text that is not valid Unicode cannot be stored: {error.object!r}.",
            "Encode the bytes (base64, percent) before they are handed over.",
        )
    return DatabaseError(Fault.OTHER, f"A number is too large to be stored: {error}.")
