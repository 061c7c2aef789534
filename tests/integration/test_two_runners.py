"""Several command lines on one home: nobody waits for ever, nothing runs twice."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.support.commands import document, jobrunner, started
from tests.support.waiting import until

WORKER = 'echo "$CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX" >> "$BOOK"; sleep "$NAP"'


def fan_out(tasks: int, *more: str) -> list[str]:
    order = ["run", f"--tasks={tasks}", "--parallelism=8", "--output=none", *more]
    return [*order, "--", "sh", "-c", WORKER]


def running(name: str) -> int:
    tasks = document("executions", "describe", name)["tasks"]
    return sum(a["state"] == "RUNNING" for task in tasks for a in task["attempts"])


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
    book = tmp_path / "book"
    env = {"BOOK": str(book), "NAP": "2", "JOBRUNNER_HOME": str(home), "PATH": "/usr/bin:/bin"}
    with started(*fan_out(24), env=env) as first:
        until(book.exists)
        [execution] = document("executions", "list")
        name = execution["name"]
        # Stopped between two turns: in the middle of a commit it would hold the database as well.
        until(lambda: running(name) == 8)
        first.send_signal(signal.SIGSTOP)

        refused = jobrunner("executions", "continue", name)
        assert refused.returncode == 4
        assert "pid" in refused.stderr

        def relieved() -> bool:
            # An ad-hoc run's tasks see the environment of whoever drives it.
            return jobrunner("executions", "continue", name, env=env).returncode == 0

        until(relieved, patience=60)
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
