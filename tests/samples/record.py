"""What the record says about an execution, read as a program would read it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

JOBRUNNER = str(Path(sys.executable).parent / "jobrunner")


def describe(name: str) -> dict[str, Any]:
    """The document of ``executions describe``."""
    command = [JOBRUNNER, "executions", "describe", name, "--format", "json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    document = json.loads(run.stdout)
    assert isinstance(document, dict)
    return document


def endings(name: str) -> dict[int, list[tuple[str, int | None]]]:
    """(state, exit code) of every attempt of every task, by index."""
    return {
        task["index"]: [(attempt["state"], attempt["exitCode"]) for attempt in task["attempts"]]
        for task in describe(name)["tasks"]
    }
