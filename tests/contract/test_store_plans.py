"""No statement of the store reads a whole table to find a part of it."""

import re
import sqlite3
from dataclasses import replace
from pathlib import Path

from jobrunner.core.records import NO_POLICY_ETAG, Abort, AuditEntry, Policy, Scope, Task
from jobrunner.core.states import AttemptState, TaskState
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.ports import Move, Page, Retention, Turn
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.stores import (
    NOW,
    TTL,
    a_job,
    a_token,
    an_execution,
    an_intent,
    an_operation,
    settled,
)

TABLES = "jobs|executions|tasks|attempts|changes|latest|operations|policies|tokens|audit|run_keys"
HOME = Scope("local", "us-central1")


def every_statement(path: Path) -> list[str]:
    """What the driver is given when each method of the store is used."""
    store = open_store(f"sqlite:///{path}")
    assert isinstance(store, SqlStore)
    assert isinstance(store._database, SqliteDatabase)
    seen: list[str] = []
    store._database._connection.set_trace_callback(seen.append)
    store.create_job(a_job())
    store.replace_job(a_job(resource_version=2), expect_version=1)
    store.create_execution(an_execution("job-0", idempotency_key="k"))
    store.create_execution(an_execution(indices=(1, 2)))
    uid = "uid-of-job-1"
    execution = store.claim(uid, "runner", now=NOW, ttl=TTL)
    intent = an_intent(execution, 1)
    store.record(Turn(execution, opened=[intent], changes=[("started", {})]))
    moves = [Move(AttemptState.STARTING, replace(intent, state=AttemptState.RUNNING))]
    store.record(Turn(execution, moved=moves))
    moves = [Move(AttemptState.RUNNING, replace(intent, state=AttemptState.FAILED))]
    tasks = [Task(uid, 1, TaskState.FAILED)]
    store.record(Turn(execution, moved=moves, tasks=tasks, abandoned=TaskState.ABANDONED))
    store.load(uid)
    store.list_tasks(uid)
    store.list_tasks(uid, states=[TaskState.FAILED], page=Page(after="0"))
    store.get_task(uid, 1)
    store.list_attempts(uid)
    store.list_attempts(uid, index=1)
    store.request_abort(uid, Abort("cancel", NOW))
    store.aborts_for("runner")
    store.heartbeat("runner", now=NOW, ttl=TTL)
    store.claimable(now=NOW)
    store.wished(now=NOW)
    store.release(uid, "runner")
    store.claim(uid, "runner", now=NOW, ttl=TTL)
    store.list_jobs(HOME, page=Page(after="a"))
    store.list_jobs(None, page=Page(after="a/b/c"))
    store.job_names(HOME)
    store.regions("local")
    store.execution_names(HOME)
    store.get_execution(HOME, "job-1")
    store.list_executions(HOME, page=Page(after=uid))
    store.list_executions(None, page=Page())
    store.list_executions(HOME, hidden=True, page=Page())
    store.list_executions(HOME, parent="job-0")
    store.execution_names(HOME, near="job")
    store.job_names(HOME, near="job")
    store.list_executions(HOME, job="job", page=Page(after=uid))
    again = store.claim(uid, "runner", now=NOW, ttl=TTL)
    store.record(Turn(settled(again, NOW)))
    store.expired(Retention(), now=NOW)
    store.settled_oldest_first(limit=10)
    store.changes(0)
    store.prune_changes(NOW)
    store.project_number("another")
    store.delete_execution(uid)
    store.put_operation(an_operation())
    store.get_operation(HOME, "op-1")
    store.list_operations(HOME, page=Page(after="op-1"))
    store.prune_operations(NOW)
    store.delete_operation(HOME, "op-1")
    store.set_policy(HOME, "jobs/job", Policy("{}", "e"), expect_etag=NO_POLICY_ETAG)
    store.set_policy(HOME, "jobs/job", Policy("{}", "e"), expect_etag=None)
    store.get_policy(HOME, "jobs/job")
    store.create_token(a_token())
    store.find_token("h")
    store.touch_token("id-of-ci", at=NOW)
    store.revoke_token("ci", at=NOW)
    store.append_audit([AuditEntry(0, NOW, "me", "m", "r", 200)])
    store.list_audit(page=Page(after="9"))
    store.prune_audit(NOW)
    store.prune_run_keys(NOW)
    store.delete_job(HOME, "job")
    store.close()
    return seen


def test_no_statement_scans_a_table_without_an_index(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    statements = [
        sql
        for sql in every_statement(path)
        if re.match(r"SELECT|INSERT|UPDATE|DELETE|WITH", sql) and "PRAGMA" not in sql
    ]
    assert len(statements) > 60
    connection = sqlite3.connect(path)
    scans = {
        (step[3], sql)
        for sql in statements
        for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        if re.match(rf"SCAN ({TABLES})\b(?!.* INDEX)", step[3])
    }
    sorts = {
        sql.split(" FROM ")[1]
        for sql in statements
        for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        if "TEMP B-TREE" in step[3]
    }
    connection.close()
    assert scans == set()
    # What is thrown out in one round, and the runs of one job when its latest was removed.
    assert {sql[:25] for sql in sorts} == {"executions WHERE uid IN (", "executions WHERE job_uid "}


def test_lists_without_one_off_runs_do_not_pass_over_them(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    statements = every_statement(path)
    connection = sqlite3.connect(path)
    chosen = {
        index
        for sql in statements
        if re.match(r"SELECT .*NOT (jobs\.)?hidden.* ORDER BY", sql) and "job_name =" not in sql
        for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        for index in re.findall(r"(?:SEARCH|SCAN) (?:jobs|executions) USING .*INDEX (\w+)", step[3])
    }
    connection.close()
    assert chosen == {
        "ix_jobs_shown",
        "ix_executions_shown",
        "ix_executions_place_shown",
        "ix_executions_parent",
        "ix_executions_unsettled",
    }


def test_wishes_are_found_without_looking_at_those_that_wait(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    (wishes,) = {sql for sql in every_statement(path) if "abort_kind IS NOT NULL AND (" in sql}
    connection = sqlite3.connect(path)
    plan = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {wishes}")]
    connection.close()
    assert plan == ["SCAN executions USING INDEX ix_executions_wished"]
