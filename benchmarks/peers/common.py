"""What the peers share: the task, a worker process, and the line that says how long it took.

``TASKS`` and ``PARALLELISM`` come from the environment, and so do the addresses of the servers.
"""

import json
import os
import signal
import subprocess
import sys

TASKS = int(os.environ.get("TASKS", "1000"))
PARALLELISM = int(os.environ.get("PARALLELISM", "10"))
WARM_UP = 20
HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.dirname(sys.executable)


def body() -> int:
    """One task: the same program, its output captured."""
    return subprocess.run(
        ["/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    ).returncode


def worker(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": HERE, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)
    except ProcessLookupError:
        process.wait()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def say(seconds: float, failed: int) -> None:
    print(json.dumps({"seconds": seconds, "tasks": TASKS, "failed": failed}), flush=True)
