"""Group commit: several works, one transaction, each of them all or nothing."""

import contextlib
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from jobrunner.core.records import AuditEntry, Execution, Job, Scope
from jobrunner.errors import AlreadyExists, NotFound, StoreFault
from jobrunner.lib.database.postgres import PostgresDatabase
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.ports import Joined, Store
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.stores import (
    NOW,
    a_job,
    an_execution,
    an_operation,
    answer,
    start_python,
)
from tests.support.waiting import PATIENCE

HOME = Scope("local", "us-central1")


def names(store: Store) -> list[str]:
    return list(store.job_names(HOME))


def creating(store: Store, name: str) -> Callable[[], str]:
    def work() -> str:
        store.create_job(a_job(name))
        return name

    return work


def database(store: Store) -> SqliteDatabase | PostgresDatabase:
    assert isinstance(store, SqlStore)
    assert isinstance(store._database, SqliteDatabase | PostgresDatabase)
    return store._database


def test_answers_come_in_the_order_of_the_works_and_all_is_written(store: Store) -> None:
    works = [creating(store, f"job-{i}") for i in range(5)]
    assert store.group(works) == [f"job-{i}" for i in range(5)]
    assert names(store) == [f"job-{i}" for i in range(5)]


class Kind:
    """Creates the jobs of a run by one call; ``calls`` are the runs."""

    def __init__(self, store: Store) -> None:
        self.calls: list[list[str]] = []
        self._store = store

    def each(self, wanted: Sequence[str]) -> Sequence[str]:
        self.calls.append(list(wanted))
        for name in wanted:
            self._store.create_job(a_job(name))
        return [f"made {name}" for name in wanted if name != "mute"]

    def work(self, name: str) -> Joined[str, str]:
        return Joined(self.each, name)


def test_works_of_one_kind_that_follow_each_other_are_one_call(store: Store) -> None:
    one, other = Kind(store), Kind(store)
    works = [one.work("a"), one.work("b"), creating(store, "c"), one.work("d"), other.work("e")]
    assert store.group(works) == ["made a", "made b", "c", "made d", "made e"]
    assert one.calls == [["a", "b"], ["d"]]
    assert other.calls == [["e"]]
    assert names(store) == ["a", "b", "c", "d", "e"]


def test_of_a_run_in_which_one_fails_the_others_are_done(store: Store) -> None:
    store.create_job(a_job("b"))
    kind = Kind(store)
    first, second, third = store.group([kind.work(name) for name in "abc"])
    assert (first, third) == ("made a", "made c")
    assert isinstance(second, AlreadyExists)
    assert names(store) == ["a", "b", "c"]


def test_a_run_that_is_given_too_few_answers_is_done_one_by_one(store: Store) -> None:
    kind = Kind(store)
    first, second = store.group([kind.work("a"), kind.work("mute")])
    assert first == "made a"
    assert isinstance(second, ValueError)
    assert names(store) == ["a"]


def test_no_works_are_no_answers(store: Store) -> None:
    assert store.group([]) == []


def test_a_group_is_one_transaction(shared_url: str, open_another: Callable[[], Store]) -> None:
    store, other = open_another(), open_another()
    seen: list[list[str]] = []
    store.group([creating(store, "a"), lambda: seen.append(names(other)), creating(store, "b")])
    assert seen == [[]]
    assert names(other) == ["a", "b"]


def test_a_work_that_fails_undoes_only_itself_and_its_error_is_its_answer(store: Store) -> None:
    def halfway() -> None:
        store.create_job(a_job("half"))
        store.create_job(a_job("more"))
        raise NotFound("no")

    first, failed, last = store.group([creating(store, "a"), halfway, creating(store, "z")])
    assert (first, last) == ("a", "z")
    assert isinstance(failed, NotFound)
    assert names(store) == ["a", "z"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("key")])
def test_a_bug_in_a_work_does_not_spoil_the_others(store: Store, error: Exception) -> None:
    def bug() -> None:
        store.create_job(a_job("half"))
        raise error

    assert store.group([creating(store, "a"), bug, creating(store, "z")]) == ["a", error, "z"]
    assert names(store) == ["a", "z"]


def test_an_interrupt_in_a_work_undoes_the_whole_group(store: Store) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.group([creating(store, "a"), interrupted, creating(store, "z")])
    assert names(store) == []
    assert store.group([creating(store, "b")]) == ["b"]


def test_a_work_reads_what_the_works_before_it_wrote(store: Store) -> None:
    seen = store.group(
        [creating(store, "a"), lambda: names(store), lambda: store.get_job(HOME, "a")]
    )
    assert seen[1:] == [["a"], a_job("a")]


def test_a_work_that_only_reads_and_fails_changes_nothing(store: Store) -> None:
    def missing() -> Job:
        return store.get_job(HOME, "nope")

    _, answer = store.group([creating(store, "a"), missing])
    assert isinstance(answer, NotFound)
    assert names(store) == ["a"]


def test_a_work_may_catch_what_a_method_raises_and_go_on_without_its_traces(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution("job-taken"))

    def find_a_name() -> Execution:
        for name in ("job-taken", "job-taken", "job-free"):
            try:
                return store.create_execution(an_execution(name, uid=f"uid {name}"))
            except AlreadyExists:
                continue
        raise AssertionError

    [opened] = store.group([find_a_name])
    assert isinstance(opened, Execution)
    assert opened.name == "job-free"
    assert store.get_job(HOME, "job").execution_count == 2
    assert len(store.changes(0)) == 2


def test_a_known_idempotency_key_in_a_group_writes_nothing(store: Store) -> None:
    store.create_job(a_job())

    def run(uid: str) -> Callable[[], Execution]:
        return lambda: store.create_execution(
            an_execution(f"job-{uid}", uid=uid, idempotency_key="k")
        )

    answers = store.group([run("1"), run("2"), run("3")])
    assert {answer.name for answer in answers if isinstance(answer, Execution)} == {"job-1"}
    job = store.get_job(HOME, "job")
    assert job.execution_count == 1
    assert job.latest_execution is not None
    assert job.latest_execution.name == "job-1"
    assert [change.execution for change in store.changes(0)] == ["1"]


def test_the_feed_tells_what_a_group_did_in_order_and_nothing_of_what_it_undid(
    store: Store,
) -> None:
    store.create_job(a_job())

    def run(name: str, *, fail: bool = False) -> Callable[[], None]:
        def work() -> None:
            store.create_execution(an_execution(name))
            if fail:
                raise NotFound("no")

        return work

    def both() -> None:
        store.create_execution(an_execution("job-4"))
        with contextlib.suppress(AlreadyExists):
            store.create_execution(an_execution("job-4", uid="again"))

    store.group([run("job-1"), run("job-2", fail=True), run("job-3"), both])
    store.create_execution(an_execution("job-5"))
    assert [(c.position, c.sequence, c.data["name"]) for c in store.changes(0)] == [
        (1, 1, "job-1"),
        (2, 1, "job-3"),
        (3, 1, "job-4"),
        (4, 1, "job-5"),
    ]


def test_a_uid_that_is_taken_fails_its_own_work_only(store: Store) -> None:
    def same_uid() -> None:
        store.create_job(a_job("half"))
        store.create_job(a_job("other", uid="uid-of-a"))

    first, failed, last = store.group([creating(store, "a"), same_uid, creating(store, "z")])
    assert (first, last) == ("a", "z")
    assert isinstance(failed, StoreFault)
    assert names(store) == ["a", "z"]


@pytest.mark.parametrize("bad", ["lone \ud800", 2**70], ids=["text", "number"])
def test_a_value_that_no_column_takes_fails_its_own_work_only(store: Store, bad: object) -> None:
    def work() -> None:
        store.create_job(replace(a_job("bad"), creator=bad, generation=bad))  # type: ignore[arg-type]

    first, failed, last = store.group([creating(store, "a"), work, creating(store, "z")])
    assert (first, last) == ("a", "z")
    assert isinstance(failed, StoreFault)
    assert names(store) == ["a", "z"]


def test_a_group_inside_a_group_belongs_to_it(store: Store) -> None:
    def inner() -> list[object]:
        def failing() -> None:
            store.create_job(a_job("undone"))
            raise NotFound("inner")

        return list(store.group([creating(store, "b"), failing, creating(store, "c")]))

    first, answers, last = store.group([creating(store, "a"), inner, creating(store, "d")])
    assert isinstance(answers, list)
    assert (first, answers[0], answers[2], last) == ("a", "b", "c", "d")
    assert isinstance(answers[1], NotFound)
    assert names(store) == ["a", "b", "c", "d"]


def test_when_the_work_around_an_inner_group_fails_the_inner_group_is_undone(store: Store) -> None:
    def outer() -> None:
        store.create_job(a_job("before"))
        store.group([creating(store, "inner")])
        store.create_job(a_job("after"))
        raise NotFound("outer")

    store.group([creating(store, "a"), outer, creating(store, "z")])
    assert names(store) == ["a", "z"]


def test_two_threads_group_one_after_the_other(store: Store) -> None:
    def many(letter: str) -> None:
        for turn in range(10):
            store.group([creating(store, f"{letter}-{turn}-{i}") for i in range(5)])

    threads = [threading.Thread(target=many, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 100


def test_another_thread_waits_for_the_group_and_is_no_part_of_it(store: Store) -> None:
    inside = threading.Event()
    thread = threading.Thread(target=lambda: (inside.wait(), store.create_job(a_job("theirs"))))
    thread.start()

    def failing() -> None:
        store.create_job(a_job("mine"))
        inside.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.group([failing])
    thread.join()
    assert names(store) == ["theirs"]


def test_after_a_group_that_failed_the_store_works_on(store: Store) -> None:
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            store.group([creating(store, "a"), lambda: (_ for _ in ()).throw(KeyboardInterrupt())])
    store.create_job(a_job("b"))
    assert names(store) == ["b"]


# --------------------------------------------------------------------------------------- SQLite


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """A store on a file that takes only a few more pages."""
    opened = open_store(f"sqlite:///{tmp_path}/state.db")
    opened.create_job(a_job())
    connection = driver(opened)
    [pages] = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    yield opened
    opened.close()


def driver(store: Store) -> sqlite3.Connection:
    found = database(store)
    assert isinstance(found, SqliteDatabase)
    return found._connection


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing_of_the_group(small: Store) -> None:
    called: list[str] = []

    def large() -> None:
        called.append("large")
        try:
            small.create_execution(an_execution(tasks=10_000))
        except Exception:
            called.append("taken for a failure of its own")

    def last() -> None:
        called.append("last")

    with pytest.raises(StoreFault, match="disk is full"):
        small.group([creating(small, "a"), large, last])
    assert called == ["large"]
    assert names(small) == ["job"]
    driver(small).execute("PRAGMA max_page_count = 1000000")
    assert small.group([creating(small, "b")]) == ["b"]
    assert names(small) == ["b", "job"]


def test_a_commit_that_fails_leaves_nothing_of_the_group(store: Store) -> None:
    def broken() -> None:
        database(store).execute("CREATE TABLE parents (a INTEGER PRIMARY KEY)")
        database(store).execute(
            "CREATE TABLE children (a INTEGER REFERENCES parents (a) DEFERRABLE INITIALLY DEFERRED)"
        )
        database(store).execute("INSERT INTO children VALUES (1)")

    with pytest.raises(StoreFault):
        store.group([creating(store, "a"), broken])
    assert names(store) == []
    assert store.group([creating(store, "b")]) == ["b"]


def test_a_work_that_ends_the_transaction_is_a_fault_for_all(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/state.db")

    def away() -> None:
        store.create_job(a_job("half"))
        driver(store).execute("ROLLBACK")

    with pytest.raises(StoreFault):
        store.group([creating(store, "a"), away, creating(store, "z")])
    assert names(store) == []
    store.close()


# ----------------------------------------------------------------------------------- PostgreSQL


def test_after_a_collision_the_works_are_called_again(fresh_postgres_url: str) -> None:
    import psycopg

    store = open_store(fresh_postgres_url)
    calls: list[str] = []

    def collide() -> str:
        calls.append("collide")
        found = database(store)
        if len(calls) < 3:
            found.write(lambda s: (_ for _ in ()).throw(psycopg.errors.DeadlockDetected()))
        return "through"

    assert store.group([creating(store, "a"), collide]) == ["a", "through"]
    assert len(calls) == 3
    assert names(store) == ["a"]
    store.close()


def test_a_group_and_a_writer_that_lock_each_other_out_both_get_through(
    fresh_postgres_url: str,
) -> None:
    stores = [open_store(fresh_postgres_url) for _ in range(2)]
    met = threading.Barrier(2, timeout=PATIENCE)
    tries = {"group": 0, "writer": 0}

    def put(store: Store, id: str, who: str) -> None:
        store.put_operation(an_operation(id, target_name=who))

    def begin(store: Store, id: str, who: str) -> None:
        tries[who] += 1
        put(store, id, who)
        if tries[who] == 1:
            met.wait()

    def write() -> None:
        def work(_: object) -> None:
            found.nested(lambda: begin(stores[1], "b", "writer"))
            found.nested(lambda: put(stores[1], "a", "writer"))

        found = database(stores[1])
        found.write(work)

    for id in "ab":
        put(stores[0], id, "nobody")
    thread = threading.Thread(target=write)
    thread.start()
    first = stores[0]
    first.group([lambda: begin(first, "a", "group"), lambda: put(first, "b", "group")])
    thread.join()
    # Whoever gave way may have to do so once more.
    assert min(tries.values()) == 1 < max(tries.values())
    names = {operation.target_name for operation in first.list_operations(HOME)}
    assert names == {max(tries, key=lambda who: tries[who])}
    for store in stores:
        store.close()


def test_groups_of_two_runners_never_lock_each_other_out(fresh_postgres_url: str) -> None:
    stores = [open_store(fresh_postgres_url) for _ in range(2)]
    for name in "abcd":
        stores[0].create_job(a_job(name))
    called = [0, 0]

    def run(me: int, names: str) -> None:
        def open_one(name: str, turn: int) -> None:
            called[me] += 1
            uid = f"{me}-{name}-{turn}"
            stores[me].create_execution(an_execution(f"{name}-{uid}", job=name, uid=uid))

        for turn in range(25):
            stores[me].group([partial(open_one, name, turn) for name in names])

    threads = [threading.Thread(target=run, args=args) for args in [(0, "abcd"), (1, "dcba")]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert called == [100, 100]
    assert [change.position for change in stores[0].changes(0)] == list(range(1, 201))
    for store in stores:
        store.close()


FROZEN = """
import os, signal, sys
from jobrunner.store import open_store
from tests.support.stores import an_operation
store = open_store(sys.argv[1])

def freeze():
    store.put_operation(an_operation("op", target_name="frozen"))
    print("in the middle", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)

try:
    store.group([freeze, lambda: None])
except Exception as error:
    print(type(error).__name__, flush=True)
"""


def test_a_frozen_runner_does_not_keep_the_others_from_their_work(fresh_postgres_url: str) -> None:
    store = open_store(fresh_postgres_url)
    frozen = start_python(FROZEN, fresh_postgres_url)
    assert answer(frozen) == "in the middle"
    store.group([creating(store, "a"), lambda: store.put_operation(an_operation("op"))])
    frozen.send_signal(signal.SIGCONT)
    assert answer(frozen) == "StoreFault"
    frozen.communicate()
    assert store.get_operation(HOME, "op").target_name == "job-1"
    store.close()


def test_a_server_that_hangs_up_in_the_middle_leaves_nothing_of_the_group(
    fresh_postgres_url: str,
) -> None:
    store = open_store(fresh_postgres_url)

    def hang_up() -> None:
        database(store).write(lambda s: s.execute("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StoreFault, match="cannot be reached"):
        store.group([creating(store, "a"), hang_up, creating(store, "z")])
    assert names(store) == []
    assert store.group([creating(store, "b")]) == ["b"]
    store.close()


def test_text_that_postgresql_does_not_take_fails_its_own_work_only(
    fresh_postgres_url: str,
) -> None:
    store = open_store(fresh_postgres_url)
    entry = AuditEntry(0, NOW, "me", "run.jobs.run", "r", 200)

    def work() -> None:
        store.append_audit([entry])
        store.get_job(HOME, "nul \0")

    first, failed, last = store.group([creating(store, "a"), work, creating(store, "z")])
    assert (first, last) == ("a", "z")
    assert isinstance(failed, StoreFault)
    assert list(store.list_audit()) == []
    store.close()
