"""PostgreSQL: a connection that is opened again when the server was restarted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobrunner.lib.database.nesting import BAD_VALUES, Nesting, bad_value
from jobrunner.lib.database.protocol import (
    BUSY_SECONDS,
    FORMS,
    FROZEN_SECONDS,
    Broken,
    Cursor,
    DatabaseError,
    Fault,
    Finish,
    Row,
    Session,
    T,
)

if TYPE_CHECKING:
    import psycopg

_SCHEMA_LOCK = 0x6A6F6272756E6E65
"""Key of the advisory lock: "jobrunne" in ASCII."""

_TURN_LOCK = _SCHEMA_LOCK + 1

# The server itself ends those that are silent between two statements. Not between two of one batch,
# nor while they do not read what is sent to them: those it takes for busy. And not when something
# has come that is no statement (Flush, Describe, Close): that stops the watch that it had set.
_FREE_FROZEN = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = 'jobrunner'
AND pid NOT IN (pg_backend_pid(), ?) AND wait_event_type = 'Client' AND xact_start IS NOT NULL
AND state IN ('active', 'idle in transaction', 'idle in transaction (aborted)')
AND greatest(query_start, state_change) < clock_timestamp() - make_interval(secs => ?)"""

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


class PostgresDatabase(Nesting):
    """A PostgreSQL database, by a URL as libpq reads it."""

    kind = "postgresql"
    shared = True
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

    def beside(self) -> PostgresDatabase:
        return PostgresDatabase(self._url)

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
                    raise bad_value(error) from error
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
