"""Runs the product once, in a home of its own, and reads from its record how long it took."""

from __future__ import annotations

import itertools
import shlex
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.measure import Failed, Sample, watch
from harness.place import BENCHMARKS, base, jobrunner

BALLAST = BENCHMARKS / "harness" / "ballast.py"
TRUE = ("/bin/true",)
SUCCEEDED = "SELECT succeeded FROM executions"
WHOLE = (
    "SELECT MAX(MAX(e.completed_at), MAX(a.ended_at)) - MIN(a.claimed_at)"
    " FROM executions e JOIN attempts a ON a.execution = e.uid"
)
QUIET = "SELECT AVG(ended_at - claimed_at) FROM attempts WHERE idx > 0"
"""How long a task takes, from its claim to its end, all but the first one."""

_numbers = itertools.count()


class Homes:
    """Fresh homes with their database made, removed together at the end: their removal must not
    disturb a measurement. Use as a context manager."""

    def __enter__(self) -> Homes:
        self.root = Path(tempfile.mkdtemp(prefix="homes-", dir=base()))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def fresh(self) -> Path:
        home = self.root / str(next(_numbers))
        home.mkdir()
        watch([jobrunner(), "executions", "list"], scratch=home, env=environment(home))
        return home

    def logs(self) -> Path:
        """A fresh directory for the floor's log files."""
        path = self.root / f"logs-{next(_numbers)}"
        path.mkdir()
        return path


def environment(home: Path) -> dict[str, str]:
    # What is installed has its bytecode; a checkout gets it with its first start.
    bytecode = {"PYTHONDONTWRITEBYTECODE": ""}
    return {"JOBRUNNER_HOME": str(home), "JOBRUNNER_DATABASE_URL": "", **bytecode}


def command_line(
    tasks: int,
    parallelism: int,
    command: Sequence[str] = TRUE,
    *,
    ballast_mb: int = 0,
    options: Sequence[str] = (),
) -> list[str]:
    """The product's command for one fan-out, with retries and timeouts armed. ``ballast_mb``: the
    runner holds so much memory that it has really touched."""
    program = [sys.executable, str(BALLAST), str(ballast_mb)] if ballast_mb else [jobrunner()]
    return [
        *program, "run", "--tasks", str(tasks), "--parallelism", str(parallelism),
        "--max-retries", "3", "--task-timeout", "10m", "--quiet", *options, "--", *command,
    ]  # fmt: skip


def fan_out(
    homes: Homes,
    tasks: int,
    parallelism: int,
    command: Sequence[str] = TRUE,
    *,
    ballast_mb: int = 0,
    options: Sequence[str] = (),
    figure: str = WHOLE,
) -> Sample:
    """One run. ``seconds`` is what the statement ``figure`` reads from the record: by default the
    time from the first claim (stored before the launch) to the end of the execution. Raises Failed
    unless the record says that every task succeeded."""
    home = homes.fresh()
    line = command_line(tasks, parallelism, command, ballast_mb=ballast_mb, options=options)
    watched = watch(line, scratch=home, env=environment(home))
    return watched.sample(recorded(home, tasks, figure), tasks)


def recorded(home: Path, tasks: int, figure: str) -> float:
    """What ``figure`` says of the only execution in this home."""
    database = sqlite3.connect(f"file:{home}/jobrunner.db?mode=ro", uri=True)
    try:
        rows = database.execute(SUCCEEDED).fetchall()
        if rows != [(tasks,)]:
            raise Failed(f"{home}: not one execution with {tasks} succeeded tasks, but {rows}")
        [(value,)] = database.execute(figure).fetchall()
    finally:
        database.close()
    return float(value)


def shown(command: Sequence[str]) -> str:
    """A command as a person types it, without the places of this machine."""
    words = [word.replace(str(BENCHMARKS), "benchmarks") for word in command]
    return shlex.join([Path(words[0]).name, *words[1:]])
