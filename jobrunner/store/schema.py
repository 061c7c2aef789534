"""Sees at every opening, for one read, that the schema is the one this version knows."""

from __future__ import annotations

import os

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Database, DatabaseError, Fault, Session
from jobrunner.store.revisions import HEAD, REVISIONS

SNAPSHOT = os.path.join(os.path.dirname(__file__), "schema.sqlite.sql")


def ensure(database: Database, url: str) -> None:
    """Creates or upgrades the schema if needed; whoever comes second waits and finds it done.

    Raises StoreFault for a database that a newer version has written.
    """
    if revision(database) == HEAD:
        return
    with database.lock_schema():
        found = revision(database)
        if found == HEAD:
            return
        if found is not None and found not in REVISIONS:
            raise StoreFault(
                f"The database {database.place} was written by a newer version of jobrunner"
                f" (its schema is {found}, this version knows {HEAD}).",
                hint="Upgrade jobrunner; see docs/howto/run-as-a-service.md.",
            )
        if database.kind == "sqlite" and database.read(_is_empty):
            # What the migrations would make, without the half second that alembic takes to load.
            with open(SNAPSHOT, encoding="utf-8") as script:
                database.run_script(script.read())
            return
        from jobrunner.store.migrate import upgrade

        upgrade(url)


def revision(database: Database) -> str | None:
    """What the database says of itself; ``None`` if nothing."""
    try:
        row = database.read(_revision)
    except DatabaseError as error:
        if error.fault is Fault.NO_TABLE:
            return None
        raise
    return None if row is None else str(row[0])


def _revision(session: Session) -> tuple[object, ...] | None:
    return session.execute("SELECT version_num FROM alembic_version").fetchone()


def _is_empty(session: Session) -> bool:
    return session.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
