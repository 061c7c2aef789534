"""A client that was stopped in the middle of a transaction keeps nobody from what it has locked."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from jobrunner.app.frozen import FrozenWatch
from jobrunner.lib.database import BUSY_SECONDS, Database, connect
from tests.support.frozen import frozen_after, frozen_before_the_next, is_gone
from tests.support.tables import table_in
from tests.support.waiting import until

LOCK = "SELECT a FROM t WHERE a < 3 ORDER BY a FOR UPDATE SKIP LOCKED"


@pytest.fixture
def database(fresh_postgres_url: str) -> Iterator[Database]:
    with table_in(fresh_postgres_url, 1, 2) as opened:
        yield opened


def free(database: Database) -> list[int]:
    return [row[0] for row in database.write(lambda session: session.execute(LOCK).fetchall())]


def freed(database: Database) -> int:
    return int(until(lambda: database.free_frozen(after=0.05), 60))


def test_who_stands_still_within_a_batch_of_statements_loses_its_locks(database: Database) -> None:
    with frozen_after(database, "UPDATE t SET a = a WHERE a = 1") as frozen:
        assert freed(database) == 1
        until(lambda: is_gone(database, frozen.info.backend_pid))
        assert free(database) == [1, 2]


def test_who_stands_still_with_a_batch_just_begun_loses_its_locks(database: Database) -> None:
    with frozen_before_the_next(database, "UPDATE t SET a = a WHERE a = 1") as frozen:
        assert freed(database) == 1
        until(lambda: is_gone(database, frozen.info.backend_pid))
        assert free(database) == [1, 2]


def test_who_waits_for_what_a_frozen_one_has_locked_goes_on_when_that_is_freed(
    database: Database,
) -> None:
    with frozen_after(database, "UPDATE t SET a = a WHERE a = 1") as frozen:
        watch = FrozenWatch(database, every=0.05, after=0.05)
        watch.start()
        began = time.monotonic()
        database.write(lambda session: session.execute("UPDATE t SET a = 3 WHERE a = 1"))
        assert time.monotonic() - began < BUSY_SECONDS / 2
        watch.stop()
        assert is_gone(database, frozen.info.backend_pid)
        assert free(database) == [2]


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
