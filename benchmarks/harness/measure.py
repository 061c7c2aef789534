"""One measured run of one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WATCHER = Path(__file__).with_name("watcher.py")
MB = 1024


class Failed(Exception):
    """A command that was to be measured did not do its work; one sentence for people."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``seconds`` is the figure that is compared; ``wall`` the time of the whole command; ``cpu``
    (seconds) belongs to everything the command started, ``parts`` to some of it by name. Memory is
    in MB; 0 where there is no such process."""

    seconds: float
    wall: float
    cpu: float
    tasks: int
    runner_mb: float = 0.0
    supervisor_mb: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command said, and what it took (see ``watcher.py``)."""

    stdout: str
    stderr: str
    facts: Mapping[str, float]

    def sample(self, seconds: float | None, tasks: int) -> Sample:
        facts = self.facts
        tasks_cpu = facts["rest_cpu"] - facts["supervisor_cpu"]
        return Sample(
            seconds=facts["wall"] if seconds is None else seconds,
            wall=facts["wall"],
            cpu=facts["main_cpu"] + facts["rest_cpu"],
            tasks=tasks,
            runner_mb=facts["main_kb"] / MB,
            supervisor_mb=facts["supervisor_kb"] / MB,
            parts={
                "runner": facts["main_cpu"],
                "supervisor": facts["supervisor_cpu"],
                "tasks": tasks_cpu,
            }
            if facts["supervisor_kb"]
            else {},
        )


def watch(
    command: Sequence[str],
    *,
    scratch: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: float = 300.0,
) -> Watched:
    """Runs ``command`` to its end and that of all it left behind. Raises Failed unless it exits 0
    within ``limit`` seconds. ``scratch`` is an existing directory."""
    result, out, err = (scratch / name for name in ("facts.json", "stdout", "stderr"))
    result.unlink(missing_ok=True)
    with out.open("wb") as stdout, err.open("wb") as stderr:
        subprocess.run(
            [sys.executable, str(WATCHER), str(result), str(limit), *command],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd, check=False,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
    said = err.read_text(errors="replace")
    try:
        facts = json.loads(result.read_text())
    except FileNotFoundError:
        raise Failed(f"{' '.join(command)}: {said[-2000:].strip()}") from None
    if facts["code"] != 0 or facts["timed_out"]:
        why = "took too long" if facts["timed_out"] else f"exit code {facts['code']}"
        raise Failed(f"{' '.join(command)}: {why}: {said[-2000:].strip()}")
    return Watched(out.read_text(errors="replace"), said, facts)
