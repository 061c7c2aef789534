"""What a begun group has written is durable once it is finished, and nobody sees it before."""

import sqlite3
import threading
from collections.abc import Callable

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound, StoreFault
from jobrunner.ports import Store
from jobrunner.store.sql import SqlStore
from tests.support.stores import a_job

SCOPE = Scope("local", "us-central1")


def done(finish: Callable[[], None] | None) -> None:
    """PostgreSQL has nothing left to wait for."""
    if finish is not None:
        finish()


def test_each_work_is_undone_alone_and_the_others_are_there_in_the_end(store: Store) -> None:
    job = a_job("one")
    answers, finish = store.begin_group(
        [lambda: store.create_job(job), lambda: store.create_job(job), lambda: 3]
    )
    done(finish)
    assert answers[0] is None
    assert isinstance(answers[1], AlreadyExists)
    assert answers[2] == 3
    assert store.get_job(SCOPE, "one") == job


def test_others_see_it_when_it_was_finished_by_another_thread(
    open_another: Callable[[], Store],
) -> None:
    store, other = open_another(), open_another()
    _, finish = store.begin_group([lambda: store.create_job(a_job("one"))])
    if finish is not None:
        with pytest.raises(NotFound):
            other.get_job(SCOPE, "one")
    thread = threading.Thread(target=done, args=(finish,))
    thread.start()
    assert store.get_job(SCOPE, "one").name == "one", "who reads here waits for the end"
    assert other.get_job(SCOPE, "one").name == "one"
    thread.join()


def test_inside_a_transaction_it_is_a_part_of_that(store: Store) -> None:
    def outer() -> None:
        _, finish = store.begin_group([lambda: store.create_job(a_job("one"))])
        assert finish is None
        raise ValueError("no")

    store.group([outer])
    with pytest.raises(NotFound):
        store.get_job(SCOPE, "one")


def test_a_commit_that_fails_leaves_nothing_and_the_store_works_on(store: Store) -> None:
    if not isinstance(store, SqlStore) or store.database.kind != "sqlite":
        pytest.skip("on PostgreSQL the commit has been made already")

    class Full:
        """A connection whose disk is full at the next commit."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def execute(self, sql: str, params: tuple[object, ...] = ()) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return self.real.execute(sql, params)

    database = store.database
    real = database._connection  # type: ignore[attr-defined]
    _, finish = store.begin_group([lambda: store.create_job(a_job("one"))])
    database._connection = Full(real)  # type: ignore[attr-defined]
    assert finish is not None
    with pytest.raises(StoreFault):
        finish()
    database._connection = real  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        store.get_job(SCOPE, "one")
    store.create_job(a_job("one"))


def test_who_listens_hears_of_each_commit_that_changed_something(store: Store) -> None:
    assert isinstance(store, SqlStore)
    heard: list[int] = []
    store.database.committed = lambda: heard.append(1)
    store.create_job(a_job("one"))
    assert len(heard) == 1
    _, finish = store.begin_group([lambda: store.create_job(a_job("two"))])
    done(finish)
    assert len(heard) == 2
    store.get_job(SCOPE, "one")
    store.group([lambda: store.get_job(SCOPE, "two")])
    if store.database.kind == "sqlite":
        assert len(heard) == 2, "nothing was changed"
