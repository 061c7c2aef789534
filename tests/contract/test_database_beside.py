"""A second connection to a database, for who reads long."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from jobrunner.lib.database import Database, Session
from tests.support.tables import rows, table_in


@pytest.fixture
def database(shared_url: str) -> Iterator[Database]:
    with table_in(shared_url, 1) as opened:
        yield opened


def add(session: Session) -> None:
    session.execute("INSERT INTO t VALUES (2)")


LOOKS = """
import sys
from jobrunner.lib.database import connect
opened = connect(sys.argv[1])
print([row[0] for row in opened.read(lambda s: s.execute("SELECT a FROM t").fetchall())])
opened.close()
"""


def looked(url: str) -> str:
    """What another process finds, which leaves then."""
    run = subprocess.run([sys.executable, "-c", LOOKS, url], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_what_is_written_after_it_was_closed_is_kept_whoever_comes_and_goes(
    database: Database, shared_url: str
) -> None:
    database.beside().close()
    assert looked(shared_url) == "[1]"
    database.write(add)
    assert looked(shared_url) == "[1, 2]"


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
