"""A client of PostgreSQL that stands still in the middle of a transaction."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from jobrunner.lib.database import Database

_STANDS = (
    "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = %s"
    " AND wait_event_type = 'Client' AND query = %s"
)


@contextmanager
def frozen_after(
    database: Database, statement: str
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection whose client has sent ``statement`` of a transaction and nothing since: what
    the statement has locked is locked now. Whether others ended it is for them to say."""
    connection = _begun(database)
    with suppress(psycopg.OperationalError), connection, connection.pipeline():
        connection.execute(statement)
        _flush(connection)
        _until_it_stands(database, connection, "active", statement)
        yield connection


@contextmanager
def frozen_before_the_next(
    database: Database, statement: str
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """As :func:`frozen_after`, with the answer read and the first message of the next batch sent,
    which is no statement: PostgreSQL's own watch over silent clients is off."""
    connection = _begun(database)
    with suppress(psycopg.OperationalError), connection:
        connection.execute("SET idle_in_transaction_session_timeout = '5s'")
        connection.execute(statement)
        _flush(connection)
        _until_it_stands(database, connection, "idle in transaction", statement)
        yield connection


def _begun(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    connection: psycopg.Connection[tuple[object, ...]] = database.dbapi()
    connection.autocommit = True
    connection.execute("BEGIN")
    return connection


def _flush(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.pgconn.send_flush_request()
    connection.pgconn.flush()


def _until_it_stands(
    database: Database,
    connection: psycopg.Connection[tuple[object, ...]],
    state: str,
    statement: str,
) -> None:
    pid = connection.info.backend_pid
    deadline = time.monotonic() + 60
    with database.dbapi() as looking:
        looking.autocommit = True
        while not looking.execute(_STANDS, (pid, state, statement)).fetchone():
            assert time.monotonic() < deadline


def is_gone(database: Database, pid: int) -> bool:
    with database.dbapi() as looking:
        found = looking.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return found is None
