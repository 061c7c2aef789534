"""Two servers of one host on one PostgreSQL: work moves over, and no task is driven by both."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from jobrunner.lib.database import BUSY_SECONDS, FROZEN_SECONDS, connect
from tests.support.frozen import frozen_after, is_gone
from tests.support.served import Served, served
from tests.support.waiting import until

WORKER = (
    'echo "start $CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX.$CLOUD_RUN_TASK_ATTEMPT" >> "$BOOK";'
    ' sleep 0.5; echo "end $CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX" >> "$BOOK"'
)
URL = "JOBRUNNER_DATABASE_URL"
RUNS, TASKS = 12, 30


def holders(url: str) -> Counter[str]:
    """How many executions each runner holds, by its process id."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT lease_owner FROM executions"
            " WHERE completed_at IS NULL AND lease_owner IS NOT NULL"
        ).fetchall()
    return Counter(row[0].split()[1] for row in rows)


def held_by(url: str, server: Served) -> int:
    return holders(url)[str(server.process.pid)]


def kinds(url: str) -> Counter[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT kind FROM changes").fetchall()
    return Counter(row[0] for row in rows)


def open_work(server: Served, book: Path) -> list[str]:
    server.create("work", WORKER, tasks=TASKS, env={"BOOK": str(book)}, annotations={})
    return [server.run("work") for _ in range(RUNS)]


def check(server: Served, book: Path, names: list[str]) -> None:
    for name in names:
        seen = server.ended("work", name, patience=120)
        assert seen["succeededCount"] == TASKS, seen
    lines = Counter(book.read_text().splitlines())
    assert set(lines.values()) == {1}
    assert len(lines) == 2 * RUNS * TASKS


OPTIONS = ("--backend", "process", "--slots", "8")


def test_what_a_killed_server_held_is_taken_over_by_the_other(
    home: Path, tmp_path: Path, fresh_postgres_url: str
) -> None:
    url, book = fresh_postgres_url, tmp_path / "book"
    env = {URL: url}
    with served(home, *OPTIONS, env=env) as first:
        names = open_work(first, book)
        until(lambda: held_by(url, first) > 0)
        with served(home, *OPTIONS, env=env) as second:
            until(book.exists)
            time.sleep(2)
            first.process.kill()
            check(second, book, names)
            assert kinds(url)["resumed"] > 0


@pytest.mark.timeout(300)
def test_a_server_that_was_frozen_beyond_its_lease_does_no_harm_when_it_wakes(
    home: Path, tmp_path: Path, fresh_postgres_url: str
) -> None:
    url, book = fresh_postgres_url, tmp_path / "book"
    env = {URL: url}
    with served(home, *OPTIONS, env=env) as first:
        names = open_work(first, book)
        until(lambda: held_by(url, first) == RUNS)
        until(book.exists)
        with served(home, *OPTIONS, env=env) as second:
            first.process.send_signal(signal.SIGSTOP)
            until(lambda: held_by(url, second) > 0)
            first.process.send_signal(signal.SIGCONT)
            check(second, book, names)
            until(lambda: "taken execution" in first.said())
            assert kinds(url)["resumed"] > 0
            assert first.stop() < 5
            assert second.stop() < 5


def test_a_server_is_not_kept_waiting_by_a_neighbour_frozen_within_a_batch(
    home: Path, fresh_postgres_url: str
) -> None:
    env = {"JOBRUNNER_DATABASE_URL": fresh_postgres_url}
    with (
        closing(connect(fresh_postgres_url)) as database,
        served(home, *OPTIONS, env=env) as server,
    ):
        server.create("work", "true", annotations={})
        began = time.monotonic()
        with frozen_after(database, "SELECT name FROM jobs FOR UPDATE") as neighbour:
            server.ended("work", server.run("work"), patience=25)
            assert FROZEN_SECONDS < time.monotonic() - began < BUSY_SECONDS
            assert is_gone(database, neighbour.info.backend_pid)
