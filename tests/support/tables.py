"""A database with a small table, for what does not need those of the product."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from jobrunner.lib.database import Database, Session, connect


@contextmanager
def table_in(url: str, *numbers: int) -> Iterator[Database]:
    """``t`` with the key ``a``, which holds ``numbers``."""
    with closing(connect(url)) as opened:
        values = ", ".join(f"({number})" for number in numbers)
        opened.run_script(f"CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES {values};")
        yield opened


def rows(session: Session) -> list[int]:
    return [row[0] for row in session.execute("SELECT a FROM t ORDER BY a").fetchall()]
