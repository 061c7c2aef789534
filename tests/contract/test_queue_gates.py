"""Gates under load: long backlogs cost nothing, and several runners keep to one rate."""

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import Database, connect
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Page
from tests.support.deliveries import NOW, TTL, a_delivery, moved
from tests.support.queues import HERE, SLOW, QueueBench
from tests.support.waiting import PATIENCE
from triggers.core.queues import (
    Enforce,
    HttpOverride,
    UriOverride,
)
from triggers.core.rates import RateLimits
from triggers.core.records import OidcToken, QueueRetry
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.ports import DeliveryFilter, Pace

OVERRIDE = HttpOverride(
    uri=UriOverride("https", "h.example.com", 8443, "/p", "a=b", Enforce.IF_NOT_EXISTS),
    method="PUT",
    headers=(("A", "ü"),),
    token=OidcToken("me@example.com", "aud"),
)
BACKLOG = 400


@pytest.fixture
def rivals(shared_url: str) -> Iterator[Callable[[], QueueBench]]:
    opened: list[Database] = []

    def one_more() -> QueueBench:
        opened.append(connect(shared_url))
        return QueueBench(opened[-1], ids=RandomIds())

    yield one_more
    for one in opened:
        one.close()


def rows_looked_at(database: SqliteDatabase, work: Callable[[], object]) -> int:
    """Steps of SQLite's machine, in hundreds: what grows with the rows that are looked at."""
    steps = 0

    def one_more() -> int:
        nonlocal steps
        steps += 1
        return 0

    database._connection.set_progress_handler(one_more, 100)
    try:
        work()
    finally:
        database._connection.set_progress_handler(None, 0)
    return steps


def fill(bench: QueueBench, queue: str, count: int) -> None:
    """Copies one due task many times over: opening each would take its time."""
    (one,) = bench.add(queue, "original")
    names = [
        row[1]
        for row in bench.database.read(
            lambda s: s.execute("SELECT * FROM pragma_table_info('deliveries')").fetchall()
        )
        if row[1] not in ("position", "uid", "key")
    ]
    same = ", ".join(names)
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        f" INSERT INTO deliveries (uid, key, {same})"
        f" SELECT uid || '-' || i, key || '-' || i, {same} FROM deliveries, n WHERE uid = ?"
    )
    bench.database.write(lambda s: s.execute(sql, (count, one.delivery.uid)))


@pytest.mark.parametrize("kind", ["paused", "throttled", "full"])
def test_a_claim_costs_the_same_however_much_waits_behind_a_gate(tmp_path: Path, kind: str) -> None:
    costs = []
    for count in (10, 100_000 if kind == "paused" else 20_000):
        database = connect(f"sqlite:///{tmp_path}/{count}.db")
        assert isinstance(database, SqliteDatabase)
        bench = QueueBench(database)
        bench.create(limits=RateLimits(per_second=0 if kind == "throttled" else 500, concurrent=1))
        if kind == "paused":
            bench.queues.pause(HERE, "mail")
        if kind == "throttled":
            bench.queues.update(
                HERE, "mail", lambda old: replace(old, limits=RateLimits(0, 1, 1000))
            )
        fill(bench, "mail", count)
        bench.clock.advance(1)
        bench.claims()
        bench.create("other")
        bench.add("other", count=5)
        for number in range(5):
            bench.store.open(a_delivery(str(number)))
        taken: list[str] = []

        def work(bench: QueueBench = bench, taken: list[str] = taken) -> None:
            taken += [one.source_name for one in bench.claims(20).taken]

        costs.append(rows_looked_at(database, work))
        assert sorted(taken) == ["other"] * 5 + ["s"] * 5
        database.close()
    assert costs[1] <= costs[0] * 1.5 + 2, costs


def test_a_queue_takes_from_a_long_backlog_what_it_takes_from_a_short_one(tmp_path: Path) -> None:
    costs = []
    for count in (100, 50_000):
        database = connect(f"sqlite:///{tmp_path}/{count}.db")
        assert isinstance(database, SqliteDatabase)
        bench = QueueBench(database)
        bench.create(limits=RateLimits(per_second=5, burst=10))
        fill(bench, "mail", count)
        bench.clock.advance(1)
        costs.append(rows_looked_at(database, bench.claims))
        assert bench.store.count(DeliveryFilter())[State.SENDING] == 10
        database.close()
    assert costs[1] <= costs[0] * 1.5 + 2, costs


def test_no_statement_of_queues_scans_or_sorts_a_table(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = connect(f"sqlite:///{path}")
    assert isinstance(database, SqliteDatabase)
    bench = QueueBench(database)
    seen: list[str] = []
    database._connection.set_trace_callback(seen.append)
    bench.create(limits=SLOW, http=OVERRIDE)
    bench.add("mail", "a", "b", "c")
    (one,) = bench.claims(busy={"x": 1}, per_place=1).taken
    bench.end(one, Event.RETRYABLE, Pace.SLOWER, not_before=NOW + 9)
    bench.queues.run_task(HERE, "mail", "b")
    bench.claims(busy={"sink.example.com:80": 1}, per_place=1)
    bench.queues.list_tasks(HERE, "mail", page=Page(2, "a"))
    bench.queues.depth(bench.queues.get(HERE, "mail"))
    bench.queues.listing("local", "us-central1", page=Page(2, "local/us-central1/a"))
    bench.queues.update(HERE, "mail", lambda old: replace(old, retry=QueueRetry(5)))
    bench.queues.purge_some(bench.queues.purge(HERE, "mail").uid, 10)
    bench.queues.unpurged()
    bench.queues.delete(HERE, "mail")
    database.close()
    connection = sqlite3.connect(path)
    plans = {
        (step[3], sql)
        for sql in seen
        if re.match(r"SELECT|INSERT|UPDATE|DELETE", sql)
        for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    }
    connection.close()
    assert len(plans) > 20
    bad = {
        plan
        for plan in plans
        if re.match(r"SCAN (deliveries|gates|queues)\b(?!.* INDEX)", plan[0])
        or "TEMP B-TREE" in plan[0]
    }
    assert bad == set()


def test_several_runners_together_keep_to_one_rate_and_one_bound(
    rivals: Callable[[], QueueBench],
) -> None:
    first = rivals()
    first.create(limits=RateLimits(per_second=50, burst=5, concurrent=7))
    first.create("other")
    first.add("mail", count=BACKLOG)
    first.add("other", count=40)
    lock = threading.Lock()
    taken: list[str] = []
    problems: list[BaseException] = []
    over = threading.Event()
    clock = first.clock

    def runner(bench: QueueBench, owner: str) -> None:
        try:
            while not over.is_set():
                claims = bench.store.claim(
                    owner, now=clock.now(), ttl=TTL, most=6, per_place=99, busy={}
                )
                ours = [one for one in claims.taken if one.source_name == "mail"]
                with lock:
                    taken.extend(one.uid for one in claims.taken)
                under_way = bench.store.count(
                    DeliveryFilter(source_name="mail", states=frozenset({State.SENDING}))
                )
                assert under_way.get(State.SENDING, 0) <= 7
                done = [moved(one, Event.ACCEPTED) for one in claims.taken]
                assert all(bench.store.record(done))
                assert len(ours) <= 6
        except BaseException as problem:
            problems.append(problem)
            over.set()

    threads = [
        threading.Thread(target=runner, args=(rivals(), name)) for name in ("one", "two", "three")
    ]
    for thread in threads:
        thread.start()
    reader = rivals()
    try:
        for step in range(1, 6):
            # As many as the clock allows so far, and never one more.
            wanted = min(BACKLOG, 5 + step * 5 - 5)
            until = time.monotonic() + PATIENCE
            mail = DeliveryFilter(source_name="mail")
            while reader.store.count(mail).get(State.DELIVERED, 0) < wanted and not problems:
                assert time.monotonic() < until, reader.store.count(mail)
            assert reader.store.count(mail).get(State.DELIVERED, 0) == wanted or problems
            clock.advance(0.1)
        other = DeliveryFilter(source_name="other")
        until = time.monotonic() + PATIENCE
        while reader.store.count(other) != {State.DELIVERED: 40} and not problems:
            assert time.monotonic() < until, reader.store.count(other)
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert problems == []
    assert len(taken) == len(set(taken))


def test_what_is_opened_while_others_claim_is_never_overlooked(
    rivals: Callable[[], QueueBench],
) -> None:
    first = rivals()
    first.create()
    over, problems = threading.Event(), list[BaseException]()
    clock = FakeClock(NOW)

    def runner(bench: QueueBench) -> None:
        try:
            while not over.is_set():
                claims = bench.store.claim(
                    "me", now=clock.now(), ttl=TTL, most=6, per_place=99, busy={}
                )
                bench.store.record([moved(one, Event.ACCEPTED) for one in claims.taken])
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=runner, args=(rivals(),))
    thread.start()
    try:
        for number in range(60):
            until = time.monotonic() + PATIENCE
            first.add("mail", f"t{number}")
            clock.advance(0.01)
            # Each by itself: nothing that comes later draws attention to it.
            while first.queues.store.depth(first.queues.get(HERE, "mail")):
                assert time.monotonic() < until, number
                assert problems == []
    finally:
        over.set()
        thread.join(PATIENCE)
    assert problems == []
