"""Sees at every opening, for one read, that our tables are those that this version knows."""

from __future__ import annotations

import os

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Database, DatabaseError, Fault, Session
from triggers.store.revisions import HEAD, REVISIONS, VERSION_TABLE

SNAPSHOT = os.path.join(os.path.dirname(__file__), "schema.sqlite.sql")


def ensure(database: Database) -> None:
    """Creates or upgrades our tables if needed; whoever comes second waits and finds it done.

    Raises StoreFault for tables that a newer version has written.
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
                f" (its schema of deliveries is {found}, this version knows {HEAD}).",
                hint="Upgrade jobrunner; see docs/howto/run-as-a-service.md.",
            )
        if found is None and database.kind == "sqlite":
            # What the migrations would make, without the half second that alembic takes to load.
            with open(SNAPSHOT, encoding="utf-8") as script:
                database.run_script(script.read())
            return
        from triggers.store.migrate import upgrade

        upgrade(database)


def revision(database: Database) -> str | None:
    """What the database says of our tables; ``None`` if nothing."""
    try:
        row = database.read(_revision)
    except DatabaseError as error:
        if error.fault is Fault.NO_TABLE:
            return None
        raise
    return None if row is None else str(row[0])


def _revision(session: Session) -> tuple[object, ...] | None:
    return session.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
