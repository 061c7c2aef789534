"""The schema: tables, migrations and snapshot say the same, and any start finds it in place."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from jobrunner.core.records import AuditEntry, Scope, Task
from jobrunner.errors import AlreadyExists, StoreFault
from jobrunner.lib.database import Database, Session, connect
from jobrunner.store import migrate, open_store, schema
from jobrunner.store.revisions import HEAD, REVISIONS
from jobrunner.store.tables import Base
from tests.support.stores import a_job, answer, start_python, tell


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres_url"))
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = connect(url)
    try:
        yield database
    finally:
        database.close()


def lines(sql: str | None) -> list[str]:
    return migrate.tidy(sql or "").splitlines()


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    return database.read(lambda session: session.execute(sql).fetchall())


def structure(database: Database) -> list[tuple[Any, ...]]:
    """Everything that makes up the schema, in the words of the database."""
    if database.kind == "sqlite":
        made = rows(database, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2")
        # The order of columns and constraints is no part of what a table promises.
        return [(*row[:3], sorted(line.strip(" ,") for line in lines(row[3]))) for row in made]
    mine = "table_schema = 'public'"
    return [
        *rows(
            database,
            "SELECT table_name, column_name, data_type, is_nullable,"
            f" column_default FROM information_schema.columns WHERE {mine} ORDER BY 1, 2",
        ),
        *rows(database, "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                        " ORDER BY 1"),
        *rows(
            database,
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1",
        ),
    ]  # fmt: skip


def without_version(made: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in made if "alembic_version" not in f"{row[0]} {row[1]} {row[2:3]}"]


def test_alembic_finds_no_difference_between_tables_and_migrations(url: str) -> None:
    migrate.upgrade(url)
    assert migrate.difference(url) == []


def test_the_tables_and_the_migrations_make_the_same_schema(url: str) -> None:
    with opened(url) as database:
        with migrate.connection(database) as connection:
            Base.metadata.create_all(connection)
        by_tables = structure(database)
        with migrate.connection(database) as connection:
            Base.metadata.drop_all(connection)
    migrate.upgrade(url)
    with opened(url) as database:
        by_migrations = without_version(structure(database))
    assert sorted(map(str, by_tables)) == sorted(map(str, by_migrations))


def test_a_missing_index_would_be_noticed(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    migrate.upgrade(url)
    with sqlite3.connect(sqlite_path) as connection:
        connection.execute("DROP INDEX ix_executions_lease")
    connection.close()
    assert len(migrate.difference(url)) == 1


def test_the_snapshot_for_fresh_sqlite_files_is_what_the_migrations_make(tmp_path: Path) -> None:
    assert migrate.SNAPSHOT.read_text() == migrate.snapshot(), (
        "python -m jobrunner.store.migrate writes it anew"
    )
    migrated, fresh = f"sqlite:///{tmp_path}/migrated.db", f"sqlite:///{tmp_path}/fresh.db"
    migrate.upgrade(migrated)
    open_store(fresh).close()
    with opened(migrated) as one, opened(fresh) as other:
        assert structure(one) == structure(other)
        for table in ("alembic_version", "counters", "projects"):
            assert rows(one, f"SELECT * FROM {table}") == rows(other, f"SELECT * FROM {table}")


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    assert migrate.history() == REVISIONS


def test_a_fresh_database_is_ready_after_opening_and_a_second_opening_changes_nothing(
    url: str,
) -> None:
    store = open_store(url)
    store.create_job(a_job())
    store.close()
    with opened(url) as database:
        before = structure(database)
        assert schema.revision(database) == HEAD
    again = open_store(url)
    assert again.list_jobs(None) == [a_job()]
    again.close()
    with opened(url) as database:
        assert structure(database) == before


OPEN = """
import sys
from jobrunner.store import open_store
print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1])
print(store.facts()["schema"], flush=True)
"""


def test_processes_that_open_a_fresh_database_at_once_all_succeed(url: str) -> None:
    openers = [start_python(OPEN, url) for _ in range(4)]
    try:
        assert {answer(opener) for opener in openers} == {"ready"}
        for opener in openers:
            tell(opener)
        assert [answer(opener) for opener in openers] == [HEAD] * 4
    finally:
        for opener in openers:
            opener.communicate()
    assert [opener.returncode for opener in openers] == [0] * 4


def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    open_store(url).close()
    with opened(url) as database:
        database.write(lambda s: s.execute("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreFault, match="written by a newer version of jobrunner") as caught:
        open_store(url)
    assert caught.value.hint is not None
    assert "Upgrade jobrunner" in caught.value.hint
    with opened(url) as database:
        assert schema.revision(database) == "9999"


def test_a_database_without_a_version_gets_its_tables_beside_those_of_others(url: str) -> None:
    with opened(url) as database:
        database.write(lambda s: s.execute("CREATE TABLE theirs (a INTEGER)"))
    store = open_store(url)
    store.create_job(a_job())
    store.close()
    with opened(url) as database:
        assert rows(database, "SELECT a FROM theirs") == []


def test_a_schema_that_cannot_be_made_is_a_clear_fault_and_leaves_nothing_half_done(
    url: str,
) -> None:
    def occupy(session: Session) -> None:
        session.execute("CREATE TABLE tasks (a INTEGER)")

    with opened(url) as database:
        database.write(occupy)
        before = structure(database)
    with pytest.raises(StoreFault, match="could not be brought up to date") as caught:
        open_store(url)
    assert "already exists" in caught.value.message
    with opened(url) as database:
        assert structure(database) == before


DATA_AT_0001 = (
    "INSERT INTO jobs (uid, project, region, name, spec, generation, resource_version, created_at,"
    " updated_at, creator, last_modifier, execution_count, hidden, latest_uid) VALUES"
    " ('j', 'local', 'us-central1', 'job', '{}', 1, 1, 1, 1, 'me', 'me', 2, FALSE, 'e2')",
    *(
        "INSERT INTO executions (uid, project, region, name, job_uid, job_name, job_generation,"
        " template, task_count, parallelism, backend, state, running, succeeded, failed, cancelled,"
        " retried, labels, annotations, created_at, creator, env_task_count, reason, message,"
        " lease_epoch, generation, resource_version, hidden, idempotency_key, change_count) VALUES"
        f" ('e{i}', 'local', 'us-central1', 'job-{i}', 'j', 'job', 1, '{{}}', 1, 1, 'process',"
        f" 'PENDING', 0, 0, 0, 0, 0, '{{}}', '{{}}', {i}, 'me', 1, '', '', 0, 1, 1, FALSE, {key},"
        " 1)"
        for i, key in ((1, "'key'"), (2, "NULL"))
    ),
    "INSERT INTO tasks (execution, idx, state, attempts, counted, lost, reason, message)"
    " VALUES ('e1', 0, 'Pending', 0, 0, 0, '', '')",
    "UPDATE counters SET value = 2 WHERE name = 'changes'",
)


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_it_holds(
    url: str,
) -> None:
    migrate.upgrade(url, to="0001")
    with opened(url) as database:
        for statement in DATA_AT_0001:
            database.write(lambda s, sql=statement: s.execute(sql))  # type: ignore[misc]
    store = open_store(url)
    scope = Scope("local", "us-central1")
    assert store.get_job(scope, "job").execution_count == 2
    first, second = store.get_execution(scope, "job-1"), store.get_execution(scope, "job-2")
    assert store.list_tasks("e1") == [Task("e1", 0)]
    again = replace(second, uid="e3", name="job-3", job_name="job", idempotency_key="key")
    assert store.create_execution(again) == first
    store.delete_execution("e1")
    with pytest.raises(AlreadyExists, match="'job-1' of job 'job' before"):
        store.create_execution(again)
    store.append_audit([AuditEntry(0, 1.0, "me", "m", "r", 200)])
    assert [entry.position for entry in store.list_audit()] == [1]
    store.close()
    with opened(url) as database:
        assert schema.revision(database) == HEAD
    assert migrate.difference(url) == []


BROKEN_UPGRADE = """
import sys
from sqlalchemy import event, Engine
from jobrunner.store import migrate

@event.listens_for(Engine, "before_cursor_execute")
def stop(conn, cursor, statement, parameters, context, executemany):
    if "CREATE TABLE attempts" in statement:
        print("in the middle", flush=True)
        sys.stdin.readline()

migrate.upgrade(sys.argv[1])
"""


def test_a_migration_that_is_killed_leaves_the_schema_before(url: str) -> None:
    process = start_python(BROKEN_UPGRADE, url)
    assert answer(process) == "in the middle"
    process.kill()
    process.communicate()
    with opened(url) as database:
        assert structure(database) == []
        assert schema.revision(database) is None
    open_store(url).close()
    with opened(url) as database:
        assert schema.revision(database) == HEAD


LIGHT = """
import sys
from jobrunner.store import open_store
for url in sys.argv[1:]:
    store = open_store(url)
    store.list_jobs(None)
    store.close()
heavy = {"sqlmodel", "sqlalchemy", "alembic", "pydantic"}
if len(sys.argv) < 3:
    heavy.add("psycopg")
print(sorted(heavy & set(sys.modules)))
"""


def test_opening_a_store_loads_no_database_library_that_it_does_not_need(
    tmp_path: Path, fresh_postgres_url: str
) -> None:
    fresh = f"sqlite:///{tmp_path}/state.db"
    for _ in range(2):
        process = start_python(LIGHT, fresh)
        assert answer(process) == "[]"
        process.communicate()
    open_store(fresh_postgres_url).close()
    process = start_python(LIGHT, fresh, fresh_postgres_url)
    assert answer(process) == "[]"
    process.communicate()


def test_the_tables_of_others_in_one_process_are_not_ours() -> None:
    assert SQLModel.metadata is not Base.metadata
