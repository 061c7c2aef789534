"""SQLite: a file in WAL mode, or memory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jobrunner.lib.database.nesting import BAD_VALUES, Nesting, bad_value
from jobrunner.lib.database.protocol import (
    BUSY_SECONDS,
    FROZEN_SECONDS,
    Broken,
    Cursor,
    DatabaseError,
    Fault,
    Finish,
    Session,
    T,
)

CACHE_KIB = 24 * 1024
"""Pages that a connection keeps in memory; taken as they are used."""

CHECKPOINT_PAGES = 4000
"""After so many pages of 4 KiB the log is moved into the file: a page that many commits have
changed is moved once."""

NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

OLDEST_SQLITE = (3, 35, 0)
"""The first one with ``RETURNING``."""

_BY_NAME = {
    "SQLITE_BUSY": Fault.BUSY,
    "SQLITE_LOCKED": Fault.BUSY,
    "SQLITE_FULL": Fault.FULL,
    "SQLITE_CANTOPEN": Fault.UNWRITABLE,
    "SQLITE_READONLY": Fault.UNWRITABLE,
    "SQLITE_PERM": Fault.UNWRITABLE,
    "SQLITE_NOTADB": Fault.NOT_A_DATABASE,
    "SQLITE_CORRUPT": Fault.DAMAGED,
    "SQLITE_IOERR": Fault.DAMAGED,
    # No room for the file of shared memory, without which not even reading works.
    "SQLITE_IOERR_SHMSIZE": Fault.FULL,
    "SQLITE_CONSTRAINT": Fault.INTEGRITY,
}

_SAYS: dict[Fault, tuple[str, str]] = {
    Fault.BUSY: (
        f"The database {{place}} was kept locked by another process for {BUSY_SECONDS:.0f} s.",
        "Look for a process that hangs while it holds the file: fuser -v {place}",
    ),
    Fault.FULL: (
        "The disk is full: the database {place} cannot be written.",
        "Free some space on the disk of {place} (jobrunner db prune removes what is old);"
        " nothing that was stored before is lost.",
    ),
    Fault.UNWRITABLE: (
        "The database {place} cannot be opened for writing: {detail}.",
        "Check that the directory exists and that you may write to it and to the file.",
    ),
    Fault.NOT_A_DATABASE: (
        "The file {place} is not a SQLite database.",
        "Name another file, or move this one away.",
    ),
    Fault.DAMAGED: (
        "The database {place} cannot be read or written: {detail}.",
        "Check the disk, then restore the last backup: docs/reference/state.md says how.",
    ),
}


class SqliteDatabase(Nesting):
    """A file in WAL mode with ``synchronous=FULL``, or memory."""

    kind = "sqlite"
    numbers = "(SELECT value AS n FROM json_each(?)) AS numbers"
    unlocked = ""
    texts = "(SELECT value AS t FROM json_each(?)) AS texts"
    locks = ""
    _driver_error = sqlite3.Error

    def __init__(self, path: str) -> None:
        super().__init__()
        self.place = path
        self.shared = path != ":memory:"
        self._lock = threading.RLock()
        self._told = 0
        self._finished = threading.Event()
        """Unless a transaction is open that somebody else is to commit."""
        self._finished.set()
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise DatabaseError(
                Fault.OTHER,
                f"the SQLite of this Python is {sqlite3.sqlite_version}; {oldest} is needed.",
                "Use a newer Python, or PostgreSQL.",
            )
        try:
            self._connection = self._open()
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except OSError as error:
            raise self._say(Fault.UNWRITABLE, error.strerror or str(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self.shared:
            os.makedirs(os.path.dirname(self.place), mode=0o700, exist_ok=True)
            # Environment literals are stored: nobody else reads them. SQLite gives the files
            # beside this one the same mode. A file that is there must not be opened by anybody but
            # SQLite: closing it would drop the locks of all connections that this process has,
            # and the next process to leave would delete the log that they go on writing to.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.place, NEW, 0o600))
        connection: sqlite3.Connection = self.dbapi()
        try:
            self._wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            # What a savepoint may have to bring back would go to a file of its own.
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _wal(self, connection: sqlite3.Connection) -> None:
        if not self.shared:
            return
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            # The switch wants the file for itself and does not wait for its turn.
            with self.lock_schema():
                connection.execute("PRAGMA journal_mode=WAL")

    def dbapi(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.place, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    def beside(self) -> SqliteDatabase:
        return SqliteDatabase(self.place)

    def execute(self, sql: str, params: Sequence[object] = ()) -> Cursor:
        return self._connection.execute(sql, params)

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        return self._connection.executemany(sql, rows).rowcount

    def read(self, work: Callable[[Session], T]) -> T:
        return self._transact("BEGIN", work)

    def write(self, work: Callable[[Session], T]) -> T:
        return self._transact("BEGIN IMMEDIATE", work)

    def relax(self) -> None:
        """From now on a commit outlives this process, but not a loss of power."""
        self._connection.execute("PRAGMA synchronous=NORMAL")

    @property
    def changes(self) -> int:
        """How many rows this object has written, so far."""
        return self._connection.total_changes

    def begin(self, work: Callable[[Session], T]) -> tuple[T, Finish | None]:
        with self._lock:
            if self._inside:
                return self._inner(work, writes=True), None
            result = self._transact("BEGIN IMMEDIATE", work, commits=False)
            self._finished.clear()
            return result, self._commit_later

    def _commit_later(self) -> None:
        # Without the lock: whoever has it waits for this.
        try:
            try:
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._explain(error) from error
        finally:
            self._finished.set()
        self._tell()

    def _tell(self) -> None:
        if self.committed is not None and self._told != self._connection.total_changes:
            self._told = self._connection.total_changes
            self.committed()

    def in_turn(self) -> None:
        """There is one writer at a time anyway."""

    def _goes_on(self) -> bool:
        return self._connection.in_transaction

    _can_go_back = _goes_on

    def _transact(self, begin: str, work: Callable[[Session], T], *, commits: bool = True) -> T:
        with self._lock:
            if self._inside:
                return self._inner(work, writes=begin != "BEGIN")
            self._finished.wait()
            connection = self._connection
            self._begun()
            try:
                connection.execute(begin)
                try:
                    result = work(self)
                    self._finish()
                    if commits:
                        connection.execute("COMMIT")
                        self._tell()
                except BaseException:
                    # A full disk has rolled back already.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                return result
            except sqlite3.Error as error:
                raise self._explain(error) from error
            except Broken as broken:
                raise self._explain(broken.error) from broken.error
            except BAD_VALUES as error:
                raise bad_value(error) from error

    @contextlib.contextmanager
    def lock_schema(self) -> Iterator[None]:
        if not self.shared:
            yield
            return
        try:
            lock = os.open(self.place + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._say(Fault.UNWRITABLE, error.strerror or str(error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def run_script(self, script: str) -> None:
        with self._lock:
            self._finished.wait()
            try:
                self._connection.executescript(script)
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise self._explain(error) from error

    def put_away(self) -> None:
        if not self.shared:
            return
        # On a connection of its own: no transaction waits for it.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self.dbapi()) as connection:
            # The log is opened by the first read.
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def free_frozen(self, after: float = FROZEN_SECONDS) -> int:
        return 0

    def facts(self) -> Mapping[str, str]:
        with self._lock:
            self._finished.wait()
            (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        size = 0
        if self.shared:
            for end in ("", "-wal"):
                with contextlib.suppress(OSError):
                    size += os.stat(self.place + end).st_size
        return {
            "kind": "SQLite",
            "version": sqlite3.sqlite_version,
            "place": self.place,
            "size": str(size),
            "journal_mode": str(mode),
        }

    def close(self) -> None:
        with self._lock:
            self._finished.wait()
            self._connection.close()

    def _explain(self, error: Any) -> DatabaseError:
        # The extended names (SQLITE_IOERR_WRITE) begin with the plain one.
        name = getattr(error, "sqlite_errorname", "")
        family = "_".join(name.split("_")[:2])
        fault = _BY_NAME.get(name) or _BY_NAME.get(family, Fault.OTHER)
        if str(error).startswith("no such table"):
            fault = Fault.NO_TABLE
        return self._say(fault, str(error))

    def _say(self, fault: Fault, detail: str) -> DatabaseError:
        message, hint = _SAYS.get(fault, ("The database {place} refused: {detail}.", ""))
        return DatabaseError(
            fault,
            message.format(place=self.place, detail=detail),
            hint.format(place=self.place),
        )
