"""One small door to SQLite and PostgreSQL: the same constant statements, run close to the driver.

A caller writes SQL once, with ``?`` for parameters, and hands over a function; the database calls
it inside one transaction and commits, or rolls everything back. Reads see one snapshot.

::

    db = connect("sqlite:////home/me/.jobrunner/jobrunner.db")
    db.write(lambda s: s.executemany("UPDATE t SET a = ? WHERE b = ?", rows))

Every failure is a :class:`DatabaseError` whose message a person can act on and which never holds
a password. An object may be used from several threads: its transactions take turns.
"""

from __future__ import annotations

from jobrunner.lib.database.protocol import (
    BUSY_SECONDS,
    FORMS,
    FROZEN_SECONDS,
    Broken,
    Cursor,
    Database,
    DatabaseError,
    Fault,
    Finish,
    Row,
    Session,
)

__all__ = [
    "BUSY_SECONDS",
    "FROZEN_SECONDS",
    "Broken",
    "Cursor",
    "Database",
    "DatabaseError",
    "Fault",
    "Finish",
    "Row",
    "Session",
    "connect",
]


def connect(url: str) -> Database:
    """Opens ``url``, one of :data:`FORMS`. Raises DatabaseError."""
    scheme, mark, rest = url.partition("://")
    if mark and scheme == "sqlite":
        from jobrunner.lib.database.sqlite import SqliteDatabase

        return SqliteDatabase(_sqlite_path(rest))
    if mark and scheme in ("postgresql", "postgres"):
        from jobrunner.lib.database.postgres import PostgresDatabase

        return PostgresDatabase(url)
    shown = f"{scheme}://…" if mark else "(no scheme)"
    raise DatabaseError(
        Fault.BAD_URL,
        f"The database URL {shown} is of no known kind; allowed forms: {', '.join(FORMS)}.",
    )


def _sqlite_path(rest: str) -> str:
    if rest in ("", "/", ":memory:", "/:memory:"):
        return ":memory:"
    if not rest.startswith("//"):
        raise DatabaseError(
            Fault.BAD_URL,
            f"The database URL sqlite://{rest} is not an absolute path; write {FORMS[0]}"
            " (four slashes).",
        )
    return rest[1:]
