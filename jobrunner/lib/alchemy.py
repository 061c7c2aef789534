"""SQLAlchemy on a database of ours, for migrations. Heavy: imported only where they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from jobrunner.lib.database import Database

_ENGINES = {"sqlite": "sqlite+pysqlite://", "postgresql": "postgresql+psycopg://"}


@contextmanager
def connection(database: Database) -> Iterator[Connection]:
    """SQLAlchemy on a second connection to ``database``, in one transaction."""
    engine = create_engine(_ENGINES[database.kind], creator=database.dbapi, poolclass=NullPool)
    if database.kind == "sqlite":
        # The driver would begin too late, and a broken migration would leave half a schema.
        @event.listens_for(engine, "begin")
        def _begin(conn: Connection) -> None:
            conn.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as conn:
            yield conn
    finally:
        engine.dispose()


def tidy(sql: str) -> str:
    """The statement without the white space at the ends of its lines."""
    return "\n".join(line.rstrip() for line in sql.strip().expandtabs(4).splitlines())
