"""One server as a process: it says where it listens, and goes down with whoever started it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from jobrunner.errors import RunnerFault

START_SECONDS = 30.0
STOP_SECONDS = 8.0
LONGEST_HOME = 60
"""Sockets of a home have paths of at most 108 bytes."""
OURS = "JOBRUNNER_"


def fresh_home() -> str:
    """An empty directory that nobody else may enter, with a short path."""
    home = tempfile.mkdtemp(prefix="jr-")
    if len(home) > LONGEST_HOME:
        os.rmdir(home)
        home = tempfile.mkdtemp(prefix="jr-", dir="/tmp")
    return home


def environment(home: str, env: Mapping[str, str]) -> dict[str, str]:
    """That of the caller without its settings for jobrunner, and ``env`` over it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "USER": kept.get("USER") or "test", **env, "JOBRUNNER_HOME": home}


class ServerProcess:
    """``url`` is where it answers. What it said is in ``serve.log`` of the home."""

    def __init__(self, home: str, options: Sequence[str], env: Mapping[str, str]) -> None:
        """Returns when it answers. Raises RunnerFault with what it said if it does not start."""
        self.home = home
        self._log = os.path.join(home, "serve.log")
        command = [sys.executable, "-m", "jobrunner.cli.main", "serve", "--port", "0", *options]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environment(home, env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # A Ctrl-C in the terminal is for the test, which takes this down itself.
                start_new_session=True,
            )
        try:
            self.url = self._announced()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        with contextlib.suppress(OSError), open(self._log, errors="replace") as log:
            return log.read()
        return ""

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Nothing is left of it, whatever it does."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _announced(self) -> str:
        out = self._process.stdout
        assert out is not None
        line = b""
        until = time.monotonic() + START_SECONDS
        while not line.endswith(b"\n"):
            left = until - time.monotonic()
            ready = select.select([out], [], [], max(left, 0))[0]
            found = os.read(out.fileno(), 4096) if ready else b""
            if not found:
                why = "has not started" if ready else f"does not answer after {START_SECONDS:g} s"
                raise RunnerFault(f"The server of the test {why}:\n{self.said().strip()}")
            line += found
        words = line.decode().split()
        return next(word.rstrip(",;") for word in words if word.startswith("http"))


def remove(home: str) -> None:
    shutil.rmtree(home, ignore_errors=True)
