"""What a database promises, whichever it is: its transactions, its words and its faults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]
Finish = Callable[[], None]

BUSY_SECONDS = 30.0
"""How long a statement waits for a lock that somebody else holds."""

FROZEN_SECONDS = 5.0
"""A client that is silent for so long in the middle of a transaction is frozen or gone; its locks
must not keep the others from their work."""

FORMS = (
    "sqlite:////absolute/path.db",
    "sqlite:///:memory:",
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
)


class Fault(StrEnum):
    """What kind of thing went wrong."""

    BUSY = "busy"
    FULL = "full"
    UNREACHABLE = "unreachable"
    UNWRITABLE = "unwritable"
    NOT_A_DATABASE = "not a database"
    DAMAGED = "damaged"
    INTEGRITY = "integrity"
    NO_TABLE = "no table"
    COLLISION = "collision"
    BAD_URL = "bad url"
    OTHER = "other"


class DatabaseError(Exception):
    """``message`` says what happened, ``hint`` what to do (may be empty)."""

    def __init__(self, fault: Fault, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.hint = hint


class Broken(BaseException):
    """The open transaction is lost, by ``error`` of the driver. Not an Exception, so that no work
    inside takes it for a failure of its own and goes on writing outside of any transaction."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Cursor(Protocol):
    """The part of a driver's cursor that both drivers share."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Session(Protocol):
    """An open transaction."""

    numbers: str
    """What follows FROM to read the whole numbers ``n`` of one parameter, a JSON array as text."""

    unlocked: str
    """What ends a SELECT inside a write to leave out rows that another transaction has locked, and
    to lock the others."""

    texts: str
    """The same for texts ``t``."""

    locks: str
    """What ends a SELECT in a :meth:`Database.write` that keeps others from changing its rows until
    the transaction ends; nothing where there is one writer at a time anyway."""

    later: list[Any]
    """What :attr:`Database.before_commit` gets; what a failed work has put there is taken out."""

    def in_turn(self) -> None:
        """Waits until no other transaction is open that has asked the same: for those that lock
        many rows in any order, and would lock each other out."""
        ...

    def execute(self, sql: str, params: Sequence[object] = ()) -> Cursor: ...

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        """Runs ``sql`` for each row; returns how many rows of the table were touched in all."""
        ...


class Database(Protocol):
    """One connection, opened by :func:`connect`."""

    kind: str
    place: str
    """Where it is, for people: a path, or host, port and name; no secrets."""

    before_commit: Callable[[Session, list[Any]], None] | None
    """Called as the last thing of a transaction that has put something into ``Session.later``:
    what all its works need once, and a lock that is to be held for moments only."""

    committed: Callable[[], None] | None
    """Called after each commit of this object that may have changed something, in the thread that
    committed. It must be quick, and raise nothing."""

    def read(self, work: Callable[[Session], T]) -> T:
        """Calls ``work`` on one consistent snapshot. Raises DatabaseError."""
        ...

    def write(self, work: Callable[[Session], T]) -> T:
        """Calls ``work`` in a transaction that is durable when this returns; if ``work`` raises,
        nothing was written. ``work`` may be called again after a collision with another writer,
        so it must have no effect but on the session. Raises DatabaseError."""
        ...

    def begin(self, work: Callable[[Session], T]) -> tuple[T, Finish | None]:
        """As :meth:`write`, but nothing is durable before the second value has been called, once
        and in any thread: it waits for the disk, and raises DatabaseError if nothing was written.
        Until it has returned every other transaction on this object waits. ``None`` where there is
        nothing left to wait for."""
        ...

    def nested(self, work: Callable[[], T]) -> T:
        """Inside :meth:`write`: calls ``work``, whose :meth:`read` and :meth:`write` on this object
        belong to the open transaction. If it raises an Exception, what it wrote is undone and the
        rest stays, and so it is with each single write in it. Raises :class:`Broken`, which is no
        Exception, if the transaction itself is lost; nobody but :meth:`write` catches that."""
        ...

    def lock_schema(self) -> contextlib.AbstractContextManager[None]:
        """Keeps every other process from changing the schema of this database."""
        ...

    def run_script(self, script: str) -> None:
        """Runs several statements, which bring their own BEGIN and COMMIT."""
        ...

    def put_away(self) -> None:
        """Does now, in any thread and beside transactions, what commits would have to do later.
        It may do nothing, and raises nothing: they do it then."""
        ...

    def free_frozen(self, after: float = FROZEN_SECONDS) -> int:
        """Ends the transactions of other clients of ours that have stood still in the middle of one
        for ``after`` seconds, and returns how many: what they have locked would stay locked.
        Works while another thread waits for such a lock; one thread at a time may ask.
        Raises DatabaseError."""
        ...

    def facts(self) -> Mapping[str, str]: ...

    shared: bool
    """Whether others can connect to it: not to one in memory."""

    def beside(self) -> Database:
        """A connection of its own to the same database, where it is ``shared``. Raises
        DatabaseError."""
        ...

    def dbapi(self) -> Any:
        """A new connection of the driver to the same database, for the migrations."""
        ...

    def close(self) -> None: ...
