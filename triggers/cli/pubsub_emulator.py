"""Starts Google's Pub/Sub emulator and looks after it: a group of processes, begun and ended as
one. gcloud only starts the Java program, and leaves it behind when it is killed itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Thread
from types import FrameType
from typing import IO

from jobrunner.errors import Refused, RunFailed

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 3.0
POLL_SECONDS = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Between two starts of one that dies; doubled while it never answers."""
INSTALL = "Install it: gcloud components install pubsub-emulator (it needs Java 17 or later)."
GCLOUD = "Install the Google Cloud CLI (cloud.google.com/sdk/docs/install); no account is needed."


def found() -> str:
    """The gcloud that has the emulator. Raises Refused, saying how to get what is missing."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise Refused("There is no gcloud on this machine's PATH.", hint=f"{GCLOUD} {INSTALL}")
    sdk = os.path.dirname(os.path.dirname(os.path.realpath(gcloud)))
    if not os.path.isdir(os.path.join(sdk, "platform", "pubsub-emulator")):
        raise Refused("gcloud has no Pub/Sub emulator.", hint=INSTALL)
    if shutil.which("java") is None:
        raise Refused("There is no Java on this machine's PATH.", hint=INSTALL)
    return gcloud


class _Stopped(Exception):
    pass


@dataclass
class Emulator:
    gcloud: str
    port: int
    project: str
    _process: subprocess.Popen[bytes] | None = None
    _said: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    _stopping: bool = False

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    def run(self) -> int:
        """Until a signal comes. Raises Refused for a port that is taken, RunFailed for an emulator
        that never answers."""
        self._check_port()
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in handled}
        try:
            self._look_after()
        except _Stopped:
            _say("The emulator goes down.")
        finally:
            # A second Ctrl-C must not leave the Java program behind.
            for number in handled:
                signal.signal(number, signal.SIG_IGN)
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def _look_after(self) -> None:
        pause, ever = FIRST_PAUSE, False
        while True:
            self._begin()
            if self._answers():
                pause = FIRST_PAUSE
                if not ever:
                    sys.stdout.write(f"export PUBSUB_EMULATOR_HOST={self.host}\n")
                    sys.stdout.flush()
                _say(f"The Pub/Sub emulator answers at {self.host}. Ctrl-C ends it.")
                ever = True
                self._wait()
            elif not ever:
                lines = "\n".join(self._said)
                raise RunFailed(f"The emulator did not start. It said:\n{lines}")
            self._end()
            _say(f"The emulator has died, with all that it knew; it is started again in {pause} s.")
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _check_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                raise Refused(
                    f"Port {self.port} cannot be used: {error.strerror}.",
                    hint="Choose another one with --port.",
                ) from None

    def _begin(self) -> None:
        words = [self.gcloud, "beta", "emulators", "pubsub", "start", "--quiet"]
        words += [f"--host-port={self.host}", f"--project={self.project}"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._said.append(line.decode(errors="replace").rstrip())

    def _answers(self) -> bool:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._lives():
            if _reached(self.port):
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _wait(self) -> None:
        """Until it has died: gcloud itself, or the program below it."""
        missed = 0
        while self._lives() and missed < 3:
            time.sleep(POLL_SECONDS * 5)
            missed = 0 if _reached(self.port) else missed + 1

    def _lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            until = time.monotonic() + STOP_SECONDS
            while time.monotonic() < until and _has_members(process.pid, process):
                time.sleep(0.02)
        process.wait()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            raise _Stopped


def _has_members(group: int, leader: subprocess.Popen[bytes]) -> bool:
    leader.poll()
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _reached(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1.0).close()
    except OSError:
        return False
    return True


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
