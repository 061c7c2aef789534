"""Brings our tables to the newest schema. Imports alembic and SQLAlchemy: only when needed.

``python -m triggers.store.migrate`` writes ``schema.sqlite.sql`` anew after a change of the
migrations. Ours have a version table of their own and leave the tables of others alone.
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

import triggers.store.events_tables
import triggers.store.policies_tables
import triggers.store.queues_tables
import triggers.store.resources_tables
import triggers.store.schedules_tables
import triggers.store.sources_tables  # noqa: F401  (their tables are among those of Base)
from jobrunner.errors import StoreFault
from jobrunner.lib.alchemy import connection, tidy
from jobrunner.lib.database import Database, Session, connect
from triggers.store.revisions import VERSION_TABLE
from triggers.store.tables import Base

HERE = Path(__file__).parent
SNAPSHOT = HERE / "schema.sqlite.sql"


def upgrade(database: Database, *, to: str = "head") -> None:
    """Runs the migrations that ``database`` lacks, all or none. Raises StoreFault.

    The caller keeps others away (:meth:`jobrunner.lib.database.Database.lock_schema`).
    """
    with connection(database) as conn:
        config = _config()
        config.attributes["connection"] = conn
        try:
            command.upgrade(config, to)
        except DBAPIError as error:
            raise StoreFault(
                f"The schema of deliveries in the database {database.place} could not be brought"
                f" up to date: {str(error.orig).strip().rstrip('.')}.",
                hint="Nothing was changed; if other programs keep tables there, use a database"
                " of its own.",
            ) from None


def history() -> tuple[str, ...]:
    """The revisions that the migrations define, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(reversed([revision.revision for revision in script.walk_revisions()]))


def difference(database: Database) -> list[Any]:
    """What our tables say and ``database`` lacks, as alembic's operations."""
    options = {
        "compare_type": True,
        "version_table": VERSION_TABLE,
        "include_name": lambda name, kind, parents: kind != "table" or name in Base.metadata.tables,
    }
    with connection(database) as conn:
        context = MigrationContext.configure(conn, opts=options)
        return list(compare_metadata(context, Base.metadata))


def snapshot() -> str:
    """The script that makes what all migrations together make of an empty SQLite database."""
    with tempfile.TemporaryDirectory() as directory:
        database = connect(f"sqlite:///{directory}/snapshot.db")
        try:
            upgrade(database)
            return database.read(_script_of)
        finally:
            database.close()


def _script_of(session: Session) -> str:
    # Tables in the order in which they were made, so that each follows what it refers to.
    made = session.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    [(version,)] = session.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
    lines = ["-- Written by `python -m triggers.store.migrate`; do not edit.", "BEGIN IMMEDIATE;"]
    lines += [f"{tidy(sql)};" for (sql,) in made]
    lines += [f"INSERT INTO {VERSION_TABLE} VALUES ('{version}');", "COMMIT;"]
    return "\n".join(lines) + "\n"


def _config() -> Config:
    config = Config()
    # A per cent sign in the path of the installation would be read as interpolation.
    config.set_main_option("script_location", str(HERE / "migrations").replace("%", "%%"))
    return config


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
