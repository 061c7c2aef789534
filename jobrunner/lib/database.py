"""One small door to SQLite and PostgreSQL: the same constant statements, run close to the driver.

A caller writes SQL once, with ``?`` for parameters, and hands over a function; the database calls
it inside one transaction and commits, or rolls everything back. Reads see one snapshot.

::

    db = connect("sqlite:////home/me/.jobrunner/jobrunner.db")
    db.write(lambda s: s.executemany("UPDATE t SET a = ? WHERE b = ?", rows))

Every failure is a :class:`DatabaseError` whose message a person can act on and which never holds
a password. An object may be used from several threads: its transactions take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
Row = tuple[Any, ...]
Finish = Callable[[], None]

BUSY_SECONDS = 30.0
"""How long a statement waits for a lock that somebody else holds."""

CACHE_KIB = 24 * 1024
"""Pages that a connection keeps in memory; taken as they are used."""

CHECKPOINT_PAGES = 4000
"""After so many pages of 4 KiB the log is moved into the file: a page that many commits have
changed is moved once."""

FROZEN_SECONDS = 5.0
"""A client that is silent for so long in the middle of a transaction is frozen or gone; its locks
must not keep the others from their work."""

OLDEST_SQLITE = (3, 35, 0)
"""The first one with ``RETURNING``."""

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

    def dbapi(self) -> Any:
        """A new connection of the driver to the same database, for the migrations."""
        ...

    def close(self) -> None: ...


def connect(url: str) -> Database:
    """Opens ``url``, one of :data:`FORMS`. Raises DatabaseError."""
    scheme, mark, rest = url.partition("://")
    if mark and scheme == "sqlite":
        return SqliteDatabase(_sqlite_path(rest))
    if mark and scheme in ("postgresql", "postgres"):
        return PostgresDatabase(url)
    shown = f"{scheme}://…" if mark else "(no scheme)"
    raise DatabaseError(
        Fault.BAD_URL,
        f"The database URL {shown} is of no known kind; allowed forms: {', '.join(FORMS)}.",
    )


def _sqlite_path(rest: str) -> str:
    if rest in ("", "/", ":memory:", "/:memory:"):
        return ":memory:"
    if not rest.startswith("//"):
        raise DatabaseError(
            Fault.BAD_URL,
            f"The database URL sqlite://{rest} is not an absolute path; write {FORMS[0]}"
            " (four slashes).",
        )
    return rest[1:]


# ------------------------------------------------------------------- transactions in transactions

_OF_ONE_WRITE = (Fault.INTEGRITY, Fault.OTHER)
"""What is wrong with a statement, not with the database: undone with its savepoint."""


class _Nesting(ABC):
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
            return _bad_value(error)
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


def _bad_value(error: Exception) -> DatabaseError:
    if isinstance(error, UnicodeEncodeError):
        return DatabaseError(
            Fault.OTHER,
            f"Text that is not valid Unicode cannot be stored: {error.object!r}.",
            "Encode the bytes (base64, percent) before they are handed over.",
        )
    return DatabaseError(Fault.OTHER, f"A number is too large to be stored: {error}.")


# ------------------------------------------------------------------------------------ SQLite

_BY_SQLITE_NAME = {
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

_SQLITE_SAYS: dict[Fault, tuple[str, str]] = {
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


class SqliteDatabase(_Nesting):
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
        if self.place != ":memory:":
            os.makedirs(os.path.dirname(self.place), mode=0o700, exist_ok=True)
            # Environment literals are stored: nobody else reads them. SQLite gives the files
            # beside this one the same mode.
            os.close(os.open(self.place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
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
        if self.place == ":memory:":
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
                raise _bad_value(error) from error

    @contextlib.contextmanager
    def lock_schema(self) -> Iterator[None]:
        if self.place == ":memory:":
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
        if self.place == ":memory:":
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
        if self.place != ":memory:":
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
        fault = _BY_SQLITE_NAME.get(name) or _BY_SQLITE_NAME.get(family, Fault.OTHER)
        if str(error).startswith("no such table"):
            fault = Fault.NO_TABLE
        return self._say(fault, str(error))

    def _say(self, fault: Fault, detail: str) -> DatabaseError:
        message, hint = _SQLITE_SAYS.get(fault, ("The database {place} refused: {detail}.", ""))
        return DatabaseError(
            fault,
            message.format(place=self.place, detail=detail),
            hint.format(place=self.place),
        )


# -------------------------------------------------------------------------------- PostgreSQL

_SCHEMA_LOCK = 0x6A6F6272756E6E65
"""Key of the advisory lock: "jobrunne" in ASCII."""

_TURN_LOCK = _SCHEMA_LOCK + 1

# The server itself ends those that are silent between two statements; between two of one batch,
# or while they do not read what is sent to them, it takes them for busy.
_FREE_FROZEN = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = 'jobrunner'
AND pid NOT IN (pg_backend_pid(), ?) AND state = 'active' AND wait_event_type = 'Client'
AND xact_start IS NOT NULL AND query_start < clock_timestamp() - make_interval(secs => ?)"""

VANISHED = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""What libpq is told if the URL does not say otherwise (seconds, and milliseconds): a machine that
vanished without a word is noticed in about ten seconds. The kernel's own patience is a quarter of
an hour, for which a server would answer nobody."""

_TRIES = 5
"""How often a transaction is begun that PostgreSQL broke off to resolve a collision."""


class PostgresDatabase(_Nesting):
    """A PostgreSQL database, by a URL as libpq reads it."""

    kind = "postgresql"
    numbers = "(SELECT value::bigint AS n FROM json_array_elements_text(?::json)) AS numbers"
    unlocked = " FOR UPDATE SKIP LOCKED"
    texts = "(SELECT value AS t FROM json_array_elements_text(?::json)) AS texts"
    locks = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise DatabaseError(
                Fault.OTHER,
                "PostgreSQL needs the package psycopg, which is not installed.",
                "pip install 'jobrunner[postgres]'",
            ) from None
        super().__init__()
        self._driver = psycopg
        self._driver_error = psycopg.Error
        self._url = url
        self._lock = threading.RLock()
        self._sql: dict[str, bytes] = {}
        self.place, self._password = self._read_url()
        self._connection: psycopg.Connection[Row] = self._open()
        self._lookout: psycopg.Connection[Row] | None = None

    def _read_url(self) -> tuple[str, str]:
        try:
            parts = self._driver.conninfo.conninfo_to_dict(self._url)
        except self._driver.Error:
            # The driver's message repeats the URL.
            raise DatabaseError(
                Fault.BAD_URL,
                f"The database URL postgresql://… cannot be read; write {FORMS[2]}.",
                "Percent-encode special characters of the password.",
            ) from None
        host = str(parts.get("host") or "the local socket")
        port = f":{parts['port']}" if parts.get("port") else ""
        user = f" as {parts['user']}" if parts.get("user") else ""
        name = parts.get("dbname") or parts.get("user") or "the user's own"
        return f"{name} at {host}{port}{user}", str(parts.get("password") or "")

    def _open(self) -> psycopg.Connection[Row]:
        connection: psycopg.Connection[Row] = self.dbapi()
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}".encode())
        connection.execute(
            f"SET idle_in_transaction_session_timeout = {int(FROZEN_SECONDS * 1000)}".encode()
        )
        return connection

    def dbapi(self) -> psycopg.Connection[Row]:
        limits = {key: value for key, value in VANISHED.items() if key not in self._url}
        try:
            return self._driver.connect(
                self._url,
                application_name="jobrunner",
                **limits,  # type: ignore[arg-type]
            )
        except self._driver.Error as error:
            raise self._explain(error) from None

    def execute(self, sql: str, params: Sequence[object] = ()) -> Cursor:
        return self._connection.execute(self._translate(sql), params)

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(self._translate(sql), rows)
            return cursor.rowcount

    def _translate(self, sql: str) -> bytes:
        known = self._sql.get(sql)
        if known is None:
            known = self._sql[sql] = sql.replace("?", "%s").encode()
        return known

    def read(self, work: Callable[[Session], T]) -> T:
        return self._transact(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)

    def write(self, work: Callable[[Session], T]) -> T:
        return self._transact(b"BEGIN", work)

    def begin(self, work: Callable[[Session], T]) -> tuple[T, Finish | None]:
        # A collision may be seen as late as at the commit, and then all is done again.
        return self.write(work), None

    def in_turn(self) -> None:
        self.execute("SELECT pg_advisory_xact_lock(?)", (_TURN_LOCK,))

    def _goes_on(self) -> bool:
        return self._status() is self._driver.pq.TransactionStatus.INTRANS

    def _can_go_back(self) -> bool:
        return self._goes_on() or self._status() is self._driver.pq.TransactionStatus.INERROR

    def _status(self) -> object:
        return self._connection.info.transaction_status

    def _transact(self, begin: bytes, work: Callable[[Session], T]) -> T:
        with self._lock:
            if self._inside:
                return self._inner(work, writes=begin == b"BEGIN")
            for left in reversed(range(_TRIES)):
                try:
                    return self._once(begin, work)
                except (self._driver.Error, Broken) as error:
                    explained = self._explain(error.error if isinstance(error, Broken) else error)
                    if explained.fault is not Fault.COLLISION or not left:
                        raise explained from None
                except BAD_VALUES as error:
                    raise _bad_value(error) from error
            raise AssertionError("unreachable")

    def _once(self, begin: bytes, work: Callable[[Session], T]) -> T:
        self._begin(begin)
        self._begun()
        connection = self._connection
        try:
            result = work(self)
            self._finish()
            if connection.execute(b"COMMIT").statusmessage != "COMMIT":
                # A transaction in which a statement has failed is undone without a word.
                raise self._driver.errors.InFailedSqlTransaction("the transaction was undone")
            if self.committed is not None and begin == b"BEGIN":
                self.committed()
        except BaseException:
            if connection.closed:
                raise
            with contextlib.suppress(self._driver.Error):
                connection.execute(b"ROLLBACK")
            raise
        return result

    def _begin(self, begin: bytes) -> None:
        """Nothing is at stake yet, so a server that was restarted is simply asked again."""
        try:
            if not self._connection.closed:
                self._connection.execute(begin)
                return
        except self._driver.OperationalError:
            if not self._connection.closed:
                raise
        self._connection = self._open()
        self._connection.execute(begin)

    @contextlib.contextmanager
    def lock_schema(self) -> Iterator[None]:
        with self._lock:
            try:
                self._connection.execute(b"SELECT pg_advisory_lock(%s)", (_SCHEMA_LOCK,))
            except self._driver.Error as error:
                raise self._explain(error) from None
            try:
                yield
            finally:
                if not self._connection.closed:
                    self._connection.execute(b"SELECT pg_advisory_unlock(%s)", (_SCHEMA_LOCK,))

    def run_script(self, script: str) -> None:
        with self._lock:
            try:
                self._connection.execute(script.encode())
            except self._driver.Error as error:
                raise self._explain(error) from None

    def put_away(self) -> None:
        """The server does that by itself."""

    def free_frozen(self, after: float = FROZEN_SECONDS) -> int:
        # On a connection of its own: who waits for a lock holds the other one.
        try:
            if self._lookout is None or self._lookout.closed:
                self._lookout = self._open()
            own = self._connection.info.backend_pid if not self._connection.closed else 0
            row = self._lookout.execute(self._translate(_FREE_FROZEN), (own, after)).fetchone()
        except self._driver.Error as error:
            raise self._explain(error) from None
        return int(row[0]) if row else 0

    def facts(self) -> Mapping[str, str]:
        def work(session: Session) -> Row | None:
            return session.execute(
                "SELECT current_setting('server_version'), pg_database_size(current_database())"
            ).fetchone()

        version, size = self.read(work) or ("", 0)
        return {
            "kind": "PostgreSQL",
            "version": str(version),
            "place": self.place,
            "size": str(size),
        }

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            if self._lookout is not None:
                self._lookout.close()

    def _explain(self, error: Any) -> DatabaseError:
        state = error.sqlstate or ""
        # Without a state the message is libpq's own, about the connection.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = lines[0].rstrip(".") if lines else type(error).__name__
        if self._password:
            detail = detail.replace(self._password, "…")
        fault, hint = self._classify(error, state, detail)
        if fault is Fault.UNREACHABLE:
            message = f"The PostgreSQL database {self.place} cannot be reached: {detail}."
        else:
            message = f"The PostgreSQL database {self.place} refused: {detail}."
        return DatabaseError(fault, message, hint)

    def _classify(self, error: psycopg.Error, state: str, detail: str) -> tuple[Fault, str]:
        if state in ("40001", "40P01"):
            return Fault.COLLISION, ""
        if state.startswith("23"):
            return Fault.INTEGRITY, ""
        if state == "42P01":
            return Fault.NO_TABLE, ""
        if state == "55P03":
            return Fault.BUSY, "Another process keeps a lock: see pg_stat_activity"
        if state == "53100":
            return Fault.FULL, "Free some space on the disk of the server."
        if state in ("28P01", "28000") or "password" in detail or "no pg_hba.conf" in detail:
            return Fault.UNREACHABLE, "Check the user and the password of the database URL."
        if state == "3D000" or "does not exist" in detail:
            return Fault.UNREACHABLE, "Make the database first: createdb NAME"
        if state in ("25006", "42501"):
            return Fault.UNWRITABLE, "Grant the user the right to create and write tables."
        if isinstance(error, self._driver.OperationalError):
            return Fault.UNREACHABLE, "Check that the server runs, and host and port of the URL."
        return Fault.OTHER, ""
