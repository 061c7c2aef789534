"""Several command lines on one home: nobody waits for ever, nothing runs twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

from tests.support.commands import document, jobrunner, started
from tests.support.waiting import until

WORKER = 'echo "$CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX" >> "$BOOK"; sleep "$NAP"'
WAITER = 'echo "$CLOUD_RUN_TASK_INDEX" >> "$BOOK"; until test -e "$GATE"; do sleep 0.1; done'


def fan_out(tasks: int, script: str = WORKER) -> list[str]:
    order = ["run", f"--tasks={tasks}", "--parallelism=8", "--output=none"]
    return [*order, "--", "sh", "-c", script]


def running(name: str) -> int:
    tasks = document("executions", "describe", name)["tasks"]
    return sum(a["state"] == "RUNNING" for task in tasks for a in task["attempts"])


def stop_between_two_turns(runner: subprocess.Popen[bytes], home: Path) -> None:
    """In the middle of a commit it would hold the database as well."""
    while True:
        runner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, runner.pid, os.WSTOPPED)
        with closing(sqlite3.connect(home / "jobrunner.db", timeout=0)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                runner.send_signal(signal.SIGCONT)
        time.sleep(0.05)


def test_four_command_lines_at_once_run_every_task_of_each_exactly_once(
    home: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    env = {"BOOK": str(book), "NAP": "0.01", "JOBRUNNER_HOME": str(home), "PATH": "/usr/bin:/bin"}
    with ExitStack() as stack:
        runners = [stack.enter_context(started(*fan_out(60), env=env)) for _ in range(4)]
        codes = [runner.wait(120) for runner in runners]
    assert codes == [0, 0, 0, 0]
    lines = Counter(book.read_text().splitlines())
    assert len(lines) == 240
    assert set(lines.values()) == {1}
    assert [e["counters"]["succeeded"] for e in document("executions", "list")] == [60] * 4


def test_a_runner_that_was_stopped_too_long_is_relieved_and_does_no_harm_when_it_wakes(
    home: Path, tmp_path: Path
) -> None:
    book, gate = tmp_path / "book", tmp_path / "gate"
    env = {"BOOK": str(book), "GATE": str(gate), "PATH": "/usr/bin:/bin"}
    env["JOBRUNNER_HOME"] = str(home)
    with started(*fan_out(24, WAITER), env=env) as first:
        until(book.exists)
        [execution] = document("executions", "list")
        name = execution["name"]
        until(lambda: running(name) == 8)
        stop_between_two_turns(first, home)

        refused = jobrunner("executions", "continue", name)
        assert refused.returncode == 4
        assert "pid" in refused.stderr
        gate.touch()

        def relieved() -> bool:
            # An ad-hoc run's tasks see the environment of whoever drives it.
            return jobrunner("executions", "continue", name, env=env).returncode == 0

        until(relieved)
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 4
        assert first.stderr is not None
        talk = first.stderr.read().decode()
    assert "took execution" in talk
    lines = Counter(book.read_text().splitlines())
    assert len(lines) == 24
    assert set(lines.values()) == {1}
    [execution] = document("executions", "list")
    assert execution["counters"]["succeeded"] == 24
