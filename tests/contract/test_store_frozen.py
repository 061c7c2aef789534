"""A client that was stopped in the middle of a transaction keeps nobody from what it has locked."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from jobrunner.lib.database import Database, connect

LOCK = "SELECT a FROM t WHERE a < 3 ORDER BY a FOR UPDATE SKIP LOCKED"


@pytest.fixture
def database(fresh_postgres_url: str) -> Iterator[Database]:
    opened = connect(fresh_postgres_url)
    opened.run_script("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    yield opened
    opened.close()


def free(database: Database) -> list[int]:
    return [row[0] for row in database.write(lambda session: session.execute(LOCK).fetchall())]


def freed(database: Database) -> int:
    deadline = time.monotonic() + 10
    while not (found := database.free_frozen(after=0.05)):
        assert time.monotonic() < deadline
    return found


def test_who_stands_still_within_a_batch_of_statements_loses_its_locks(database: Database) -> None:
    frozen: psycopg.Connection[tuple[object, ...]] = database.dbapi()
    frozen.autocommit = True
    frozen.execute("BEGIN")
    batch = ExitStack()
    batch.enter_context(frozen.pipeline())
    frozen.execute("UPDATE t SET a = a WHERE a = 1")
    frozen.pgconn.send_flush_request()
    frozen.pgconn.flush()
    assert freed(database) == 1
    with pytest.raises(psycopg.OperationalError):
        batch.close()
    deadline = time.monotonic() + 10
    while free(database) != [1, 2]:
        assert time.monotonic() < deadline
    frozen.close()


def test_who_works_or_has_begun_nothing_is_left_alone(database: Database) -> None:
    other: psycopg.Connection[tuple[object, ...]] = database.dbapi()
    other.autocommit = True
    other.execute("SELECT 1")
    assert database.free_frozen(after=0.0) == 0
    assert other.execute("SELECT 2").fetchone() == (2,)
    other.close()


def test_sqlite_has_one_writer_and_nothing_to_free() -> None:
    memory = connect("sqlite:///:memory:")
    assert memory.free_frozen() == 0
    memory.close()
