"""A real ``jobrunner serve`` for as long as a test needs it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fixtures import free_port

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
PROGRAM = (sys.executable, "-m", "jobrunner.cli.main")


@dataclass(frozen=True)
class Running:
    """``key`` is the token of the owner."""

    url: str
    grpc_port: int
    key: str


@contextmanager
def serving(home: Path, *options: str, grpc: bool = False) -> Iterator[Running]:
    """Serves ``home`` (which ``JOBRUNNER_HOME`` names too) with plain processes."""
    port, grpc_port = free_port(), free_port()
    words = ["serve", "--port", str(port), "--backend", "process", *options]
    if grpc:
        words += ["--grpc-port", str(grpc_port)]
    home.mkdir(exist_ok=True)
    with (home / "serve.out").open("w") as out:
        process = subprocess.Popen(
            [*PROGRAM, "--home", str(home), *words],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "USER": "you"},
        )  # fmt: skip
        try:
            _ready(process, f"http://127.0.0.1:{port}", home)
            key = json.loads((home / "server.json").read_text())["key"]
            yield Running(f"http://127.0.0.1:{port}", grpc_port, key)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: "subprocess.Popen[bytes]", url: str, home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (home / "serve.out").read_text()
                raise AssertionError(f"the server did not come up:\n{said}") from None
        time.sleep(0.05)
