"""Brings a database to the newest schema. Imports alembic and SQLAlchemy: only when needed.

``python -m jobrunner.store.migrate`` writes ``schema.sqlite.sql`` anew after a change of the
migrations. A new revision: ``alembic revision`` has no configuration file here; copy the last one,
or let :func:`difference` say what is missing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from jobrunner.errors import StoreFault
from jobrunner.lib.alchemy import connection, tidy
from jobrunner.lib.database import connect

HERE = Path(__file__).parent
SNAPSHOT = HERE / "schema.sqlite.sql"


def upgrade(url: str, *, to: str = "head") -> None:
    """Runs the migrations that ``url`` lacks, all or none. Raises StoreFault.

    The caller keeps others away (:meth:`jobrunner.lib.database.Database.lock_schema`).
    """
    database = connect(url)
    try:
        with connection(database) as conn:
            config = _config()
            config.attributes["connection"] = conn
            try:
                command.upgrade(config, to)
            except DBAPIError as error:
                raise StoreFault(
                    f"The schema of the database {database.place} could not be brought up to date:"
                    f" {str(error.orig).strip().rstrip('.')}.",
                    hint="Nothing was changed; if other programs keep tables there, use a database"
                    " of its own.",
                ) from None
    finally:
        database.close()


def history() -> tuple[str, ...]:
    """The revisions that the migrations define, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(reversed([revision.revision for revision in script.walk_revisions()]))


def difference(url: str) -> list[Any]:
    """What the tables say and the database at ``url`` lacks, as alembic's operations."""
    from jobrunner.store.tables import Base

    database = connect(url)
    try:
        with connection(database) as conn:
            context = MigrationContext.configure(conn, opts={"compare_type": True})
            return list(compare_metadata(context, Base.metadata))
    finally:
        database.close()


def snapshot() -> str:
    """The script that makes what all migrations together make of an empty SQLite database."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/snapshot.db"
        upgrade(url)
        database = connect(url)
        try:
            return database.read(_script_of)
        finally:
            database.close()


def _script_of(session: Any) -> str:
    # Tables in the order in which they were made, so that each follows what it refers to.
    made = session.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    lines = ["-- Written by `python -m jobrunner.store.migrate`; do not edit.", "BEGIN IMMEDIATE;"]
    lines += [f"{tidy(sql)};" for _, _, sql in made]
    for kind, name, _ in made:
        if kind == "table":
            for row in session.execute(f"SELECT * FROM {name}").fetchall():
                lines.append(f"INSERT INTO {name} VALUES ({', '.join(map(_literal, row))});")
    lines.append("COMMIT;")
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _config() -> Config:
    config = Config()
    # A per cent sign in the path of the installation would be read as interpolation.
    config.set_main_option("script_location", str(HERE / "migrations").replace("%", "%%"))
    return config


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
