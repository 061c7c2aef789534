"""``jobrunner serve`` as a real process: it starts, refuses, drains, dies and comes back."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import jobrunner
from tests.support.faults import kill_marked
from tests.support.fixtures import free_port
from tests.support.served import Served, served
from tests.support.waiting import until

WORKER = (
    'echo "start $CLOUD_RUN_TASK_INDEX.$CLOUD_RUN_TASK_ATTEMPT" >> "$BOOK"; echo begin;'
    ' sleep "$NAP"; echo over; echo "end $CLOUD_RUN_TASK_INDEX" >> "$BOOK"; exit 7'
)
ON_PROCESSES = ("--backend", "process")


@pytest.fixture
def book(home: Path, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "book"
    kill_marked(str(tmp_path))


def work(server: Served, book: Path, nap: float, tasks: int = 3) -> str:
    """An execution whose tasks all have begun."""
    server.create("work", WORKER, tasks=tasks, env={"BOOK": str(book), "NAP": str(nap)})
    name = server.run("work")
    until(lambda: book.exists() and book.read_text().count("start") == tasks)
    return name


def check_adopted(server: Served, book: Path, name: str, tasks: int = 3) -> None:
    """Every task ran once, its exit code and all of its output are known."""
    seen = server.ended("work", name)
    assert seen["failedCount"] == tasks
    lines = sorted(book.read_text().splitlines())
    assert lines == sorted(
        [f"start {i}.0" for i in range(tasks)] + [f"end {i}" for i in range(tasks)]
    )
    listed = server.call(
        "GET", f"/v2/projects/local/locations/us-central1/jobs/work/executions/{name}/tasks"
    )["tasks"]
    assert [t["lastAttemptResult"]["exitCode"] for t in listed] == [7] * tasks
    shown = jobrunner("executions", "logs", name)
    assert shown.stdout.count("begin") == tasks, shown.stderr
    assert shown.stdout.count("over") == tasks


def test_it_says_where_it_listens_and_leaves_that_in_its_home(home: Path) -> None:
    with served(home) as server:
        assert f"listens on http://127.0.0.1:{server.port}" in server.said()
        file = home / "server.json"
        assert file.stat().st_mode & 0o777 == 0o600
        found = json.loads(file.read_text())
        assert (found["endpoint"], found["pid"]) == (
            f"http://127.0.0.1:{server.port}",
            server.process.pid,
        )
        assert server.stop() < 5
        assert server.process.returncode == 0
        assert not file.exists()


def test_a_port_that_is_taken_is_told_before_anything_is_done(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused = jobrunner("serve", "--port", str(other.getsockname()[1]))
    assert refused.returncode == 4
    assert "is taken" in refused.stderr
    assert list(home.iterdir()) == []


def test_a_second_server_of_a_home_is_refused_and_told_of_the_first(home: Path) -> None:
    with served(home) as server:
        for port in (server.port, free_port()):
            refused = jobrunner("serve", "--port", str(port))
            assert refused.returncode == 4
            assert f"process {server.process.pid} at http://127.0.0.1:{server.port}" in (
                refused.stderr
            )


def test_what_a_killed_server_left_in_its_home_stops_no_other(home: Path) -> None:
    with served(home) as first:
        first.process.kill()
        first.process.wait()
        assert (home / "server.json").exists()
        with served(home) as second:
            assert json.loads((home / "server.json").read_text())["pid"] == second.process.pid


def test_strangers_are_kept_out_of_an_address_that_others_reach(home: Path) -> None:
    refused = jobrunner("serve", "--host", "0.0.0.0", "--port", str(free_port()))
    assert refused.returncode == 4
    assert "jobrunner tokens create" in refused.stderr
    with served(home, "--host", "0.0.0.0", "--insecure"):
        pass


def test_the_second_sigint_ends_it_at_once(home: Path, book: Path) -> None:
    with served(home, *ON_PROCESSES) as server:
        work(server, book, 30)
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGINT)
        # The kernel makes one of two that come before the first was taken.
        until(lambda: "goes down" in server.said())
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) in (0, 130)


def test_sigterm_ends_it_in_time_and_the_next_server_goes_on_at_once(
    home: Path, book: Path
) -> None:
    with served(home, *ON_PROCESSES) as server:
        name = work(server, book, 4)
        assert server.stop() < 5
        assert server.process.returncode == 0
    with served(home, *ON_PROCESSES) as server:
        check_adopted(server, book, name)


def test_kill_9_interrupts_no_task_and_loses_no_exit_code(home: Path, book: Path) -> None:
    with served(home, *ON_PROCESSES) as server:
        name = work(server, book, 4)
        server.process.kill()
        server.process.wait()
    # The lease of the dead is not waited for: this one would be.
    with closing(sqlite3.connect(home / "jobrunner.db")) as database, database:
        database.execute("UPDATE executions SET lease_until = lease_until + 3600")
    with served(home, *ON_PROCESSES) as server:
        check_adopted(server, book, name)


def test_who_waits_for_an_execution_is_answered_when_the_server_goes_down(
    home: Path, book: Path
) -> None:
    with served(home, *ON_PROCESSES) as server:
        server.create("work", WORKER, env={"BOOK": str(book), "NAP": "30"})
        operation = server.call("POST", "/v2/projects/local/locations/us-central1/jobs/work:run")
        until(book.exists)
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as waiting:
            headers = {"Content-Type": "application/json"}
            path = f"/v2/{operation['name']}:wait"
            waiting.request("POST", path, b'{"timeout": "60s"}', headers)
            # What it was asked later has been answered: it has heard this one, too.
            server.executions("work")
            assert server.stop() < 5
            answer = waiting.getresponse()
            seen = json.loads(answer.read())
        assert (answer.status, seen["name"]) == (200, operation["name"])
        assert not seen.get("done", False)


def test_a_cancel_is_carried_out_at_once(home: Path, book: Path) -> None:
    with served(home, *ON_PROCESSES) as server:
        name = work(server, book, 60)
        began = time.monotonic()
        server.call(
            "POST",
            f"/v2/projects/local/locations/us-central1/jobs/work/executions/{name}:cancel",
            {},
        )
        seen = server.ended("work", name)
        assert time.monotonic() - began < 20
        assert seen["cancelledCount"] == 3


def test_an_engine_that_is_not_there_does_not_keep_it_from_starting(home: Path, book: Path) -> None:
    env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    with served(home, env=env) as server:
        server.create("boxed", "true", image="example.com/it")
        boxed = server.run("boxed")
        time.sleep(1.5)
        assert "completionTime" not in server.execution("boxed", boxed)
        until(lambda: f"{boxed} cannot be driven now" in server.said())
        assert server.stop() < 5
