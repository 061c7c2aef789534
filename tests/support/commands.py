"""The command line as a real process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.waiting import PATIENCE

PROGRAM = [sys.executable, "-m", "jobrunner.cli.main"]


def jobrunner(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Runs one command line to its end."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    return subprocess.run([*PROGRAM, *words], check=False, timeout=PATIENCE, **(options | more))


@contextmanager
def started(*words: str, **more: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """One command line while it runs; its standard output and error are pipes. Ends with it."""
    options: dict[str, Any] = {
        "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL,
        # What a read of one line leaves behind is still there for communicate().
        "bufsize": 0,
    }  # fmt: skip
    process = subprocess.Popen([*PROGRAM, *words], **(options | more))
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


def line_of(process: "subprocess.Popen[bytes]") -> str:
    """The next line on its standard output."""
    assert process.stdout is not None
    return process.stdout.readline().decode().rstrip("\n")


def document(*words: str) -> Any:
    """What a command prints with ``--format json``."""
    run = jobrunner(*words, "--format", "json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def only_execution() -> str:
    (found,) = document("executions", "list")
    name: str = found["name"]
    return name


def environment_with(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
