"""Durable state on SQLite and PostgreSQL, table classes private. May import ports and below."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobrunner.store.sql import SqlStore

__all__ = ["open_store"]


def open_store(url: str) -> SqlStore:
    """The store at ``url``, its schema created or brought up to date.

    Allowed: ``sqlite:////absolute/path.db``, ``sqlite:///:memory:`` (for tests, gone on close) and
    ``postgresql://…`` as libpq reads it. Raises UsageError for another form, StoreFault if the
    database cannot be used.
    """
    from jobrunner.errors import UsageError
    from jobrunner.lib.database import DatabaseError, Fault, connect
    from jobrunner.store.schema import ensure
    from jobrunner.store.sql import SqlStore
    from jobrunner.transactions import fault

    try:
        database = connect(url)
        try:
            ensure(database, url)
        except BaseException:
            database.close()
            raise
    except DatabaseError as error:
        if error.fault is Fault.BAD_URL:
            raise UsageError(error.message, hint=error.hint or None) from error
        raise fault(error) from error
    return SqlStore(database)
