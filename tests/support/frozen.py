"""A client of PostgreSQL that stands still between two statements of one batch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from jobrunner.lib.database import Database

_STANDS = (
    "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
    " AND wait_event_type = 'Client' AND query = %s"
)


@contextmanager
def frozen_after(
    database: Database, statement: str
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection whose client has sent ``statement`` of a transaction and nothing since: what
    the statement has locked is locked now. Whether others ended it is for them to say."""
    connection: psycopg.Connection[tuple[object, ...]] = database.dbapi()
    connection.autocommit = True
    connection.execute("BEGIN")
    with suppress(psycopg.OperationalError), connection, connection.pipeline():
        connection.execute(statement)
        connection.pgconn.send_flush_request()
        connection.pgconn.flush()
        _until_it_stands(database, connection.info.backend_pid, statement)
        yield connection


def _until_it_stands(database: Database, pid: int, statement: str) -> None:
    deadline = time.monotonic() + 10
    with database.dbapi() as looking:
        looking.autocommit = True
        while not looking.execute(_STANDS, (pid, statement)).fetchone():
            assert time.monotonic() < deadline


def is_gone(database: Database, pid: int) -> bool:
    with database.dbapi() as looking:
        found = looking.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return found is None
