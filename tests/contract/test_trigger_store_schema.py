"""The tables of deliveries: tables, migrations and snapshot say the same, beside those of jobs."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Database, Fault, Session, connect
from jobrunner.lib.database import DatabaseError as Refusal
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.ports import Page
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.deliveries import NOW, TTL, a_delivery, moved
from tests.support.stores import a_job, answer, start_python, tell
from triggers.core.records import SourceKind
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.ports import DeliveryFilter
from triggers.store import migrate, open_deliveries, open_schedules, schema
from triggers.store.revisions import HEAD, REVISIONS, VERSION_TABLE


@pytest.fixture
def database(shared_url: str) -> Iterator[Database]:
    opened = connect(shared_url)
    yield opened
    opened.close()


def indexes(database: Database) -> set[str]:
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if database.kind == "sqlite"
        else "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
    )
    return {row[0] for row in database.read(lambda s: s.execute(sql).fetchall())}


def test_alembic_finds_no_difference_between_tables_and_migrations(
    database: Database, shared_url: str
) -> None:
    open_store(shared_url).close()
    migrate.upgrade(database)
    assert migrate.difference(database) == []


def test_a_missing_index_would_be_noticed(database: Database) -> None:
    migrate.upgrade(database)
    database.write(lambda s: s.execute("DROP INDEX ix_deliveries_lease"))
    assert len(migrate.difference(database)) == 1


def test_the_snapshot_for_sqlite_is_what_the_migrations_make() -> None:
    assert migrate.SNAPSHOT.read_text() == migrate.snapshot(), (
        "python -m triggers.store.migrate writes it anew"
    )


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    assert migrate.history() == REVISIONS


def test_jobs_and_deliveries_share_a_database_and_each_has_its_own_version(
    shared_url: str,
) -> None:
    store = open_store(shared_url)
    assert isinstance(store, SqlStore)
    deliveries = open_deliveries(store.database)
    store.create_job(a_job())
    deliveries.open(a_delivery())
    assert schema.revision(store.database) == HEAD
    assert store.facts()["schema"] != VERSION_TABLE
    before = indexes(store.database)
    again = open_deliveries(store.database)
    assert again.listing(DeliveryFilter()) == [a_delivery()]
    assert indexes(store.database) == before
    store.close()
    open_store(shared_url).close()


OLD_SCHEDULE = (
    "INSERT INTO schedules (uid, project, region, name, state, target, retry, settings, last,"
    " next_at) VALUES ('u', 'p', 'r', 'old', 'ENABLED', '{\"job\":{\"job\":\"report\"}}',"
    " '{\"schedule\":{}}', ?, 60.0, 120.0)"
)


def test_schedules_of_an_older_version_stand_where_they_stood(database: Database) -> None:
    migrate.upgrade(database, to="0010")
    settings = '{"expression":"* * * * *"}'
    database.write(lambda s: s.execute(OLD_SCHEDULE, (settings,)))
    schema.ensure(database)
    armed = open_schedules(database).get("u")
    assert (armed.schedule.name, armed.last, armed.next_at) == ("old", 60.0, 120.0)
    assert open_schedules(database).due(120.0) == ["u"]


def test_deliveries_of_a_newer_version_are_refused_and_left_alone(database: Database) -> None:
    open_deliveries(database)
    database.write(lambda s: s.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreFault, match="newer version of jobrunner") as caught:
        open_deliveries(database)
    assert "Upgrade jobrunner" in (caught.value.hint or "")
    assert schema.revision(database) == "9999"


def test_a_schema_that_cannot_be_made_is_a_clear_fault_and_leaves_nothing_half_done(
    database: Database,
) -> None:
    database.write(lambda s: s.execute("CREATE TABLE delivery_attempts (a INTEGER)"))
    with pytest.raises(StoreFault, match="already exists"):
        open_deliveries(database)
    with pytest.raises(Refusal) as caught:
        database.read(lambda s: s.execute("SELECT 1 FROM deliveries"))
    assert caught.value.fault is Fault.NO_TABLE


OPEN = """
import sys
from jobrunner.lib.database import connect
from triggers.store import open_deliveries
from triggers.ports import DeliveryFilter
print("ready", flush=True)
sys.stdin.readline()
store = open_deliveries(connect(sys.argv[1]))
print(store.count(DeliveryFilter()), flush=True)
"""


def test_processes_that_open_a_fresh_database_at_once_all_succeed(shared_url: str) -> None:
    openers = [start_python(OPEN, shared_url) for _ in range(3)]
    try:
        assert {answer(opener) for opener in openers} == {"ready"}
        for opener in openers:
            tell(opener)
        assert [answer(opener) for opener in openers] == ["{}"] * 3
    finally:
        for opener in openers:
            opener.communicate()


LIGHT = """
import sys
from jobrunner.lib.database import connect
from triggers.store import open_deliveries
open_deliveries(connect(sys.argv[1]))
print(sorted({"sqlmodel", "sqlalchemy", "alembic", "pydantic"} & set(sys.modules)))
"""


def test_opening_deliveries_on_sqlite_loads_no_database_library(tmp_path: Path) -> None:
    process = start_python(LIGHT, f"sqlite:///{tmp_path}/state.db")
    assert answer(process) == "[]"
    process.communicate()


def test_no_statement_of_the_dispatcher_scans_or_sorts_a_table(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = connect(f"sqlite:///{path}")
    assert isinstance(database, SqliteDatabase)
    store = open_deliveries(database)
    seen: list[str] = []
    database._connection.set_trace_callback(seen.append)
    for number in range(80):
        store.open(a_delivery(str(number), order_key="k" if number < 2 else None))
    store.open(a_delivery("0"))
    claims = store.claim("me", now=NOW, ttl=TTL, most=3, per_place=9, busy={})
    store.heartbeat("me", {one.uid for one in claims.taken}, until=NOW + 20)
    store.forsaken(now=NOW, owner="other")
    store.holders()
    store.record([moved(one, Event.ACCEPTED) for one in claims.taken])
    store.following()
    store.overdue(now=NOW)
    store.get("uid-of-s-1")
    store.attempts("uid-of-s-1")
    dead = DeliveryFilter(states=frozenset({State.DEAD}))
    store.listing(dead, page=Page())
    store.listing(DeliveryFilter(), page=Page(after="uid-of-s-1"))
    store.purge(DeliveryFilter(source=SourceKind.QUEUE), settled_before=NOW)
    database.close()
    connection = sqlite3.connect(path)
    plans = {
        (step[3], sql)
        for sql in seen
        if re.match(r"SELECT|INSERT|UPDATE|DELETE", sql)
        for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    }
    connection.close()
    bad = {
        plan
        for plan in plans
        if re.match(r"SCAN (deliveries|delivery_attempts)\b(?!.* INDEX)", plan[0])
        or "TEMP B-TREE" in plan[0]
    }
    # A page of everything goes along the table itself; so few hold a delivery that their names may
    # be sorted.
    assert {sql for _, sql in bad if "DISTINCT lease_owner" not in sql} == set()


def test_what_is_put_away_is_in_the_file_and_no_transaction_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = connect(f"sqlite:///{path}")
    database.write(lambda s: s.execute("CREATE TABLE t (a TEXT)"))
    before = path.stat().st_size
    database.write(lambda s: s.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,)))
    assert path.stat().st_size == before
    database.put_away()
    assert path.stat().st_size >= before + 100_000

    def inside(session: Session) -> int:
        session.execute("INSERT INTO t VALUES ('y')")
        database.put_away()
        return len(session.execute("SELECT a FROM t").fetchall())

    assert database.write(inside) == 2
    database.close()
