"""A second connection to a database, for who reads long."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from jobrunner.lib.database import Database, Session, connect


@pytest.fixture
def database(shared_url: str) -> Iterator[Database]:
    opened = connect(shared_url)
    opened.run_script("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);")
    yield opened
    opened.close()


def rows(session: Session) -> list[int]:
    return [row[0] for row in session.execute("SELECT a FROM t").fetchall()]


def add(session: Session) -> None:
    session.execute("INSERT INTO t VALUES (2)")


def test_it_sees_what_is_durable_and_nothing_else(database: Database) -> None:
    with closing(database.beside()) as beside:

        def write(session: Session) -> None:
            add(session)
            assert beside.read(rows) == [1]

        database.write(write)
        assert beside.read(rows) == [1, 2]


def test_who_reads_there_keeps_nobody_from_writing(database: Database) -> None:
    with closing(database.beside()) as beside:

        def read(session: Session) -> None:
            rows(session)
            database.write(add)
            assert database.read(rows) == [1, 2]

        beside.read(read)
        assert beside.read(rows) == [1, 2]
