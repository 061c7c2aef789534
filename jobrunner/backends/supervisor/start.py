"""Bringing up a supervisor, from a runner. Blocks; call it in a thread."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import subprocess
import sys
import time

import jobrunner
from jobrunner.backends.supervisor import place
from jobrunner.backends.supervisor.protocol import SupervisorFault

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(jobrunner.__file__)))
# Appended, so that nothing beside our package can stand before the standard library.
PROGRAM = (
    "import sys; sys.path.append({root!r});"
    "from jobrunner.backends.supervisor.main import main; main()"
)
PATIENCE = 10.0
KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH",)
"""What the interpreter itself may need; children get theirs with each request."""


def home_id(home: str) -> str:
    """A random name of the home, made once: the first part of the mark of all that runs for it."""
    path = os.path.join(home, "run", "id")
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            return file.read().strip()
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fresh = f"{path}.{os.urandom(4).hex()}"
        with open(fresh, "w", encoding="ascii") as file:
            file.write(os.urandom(6).hex())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        os.unlink(fresh)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def mark_prefix(home_name: str, identity: str) -> str:
    """What precedes the key in the mark of every attempt of this supervisor."""
    return f"{home_name}:{identity}:"


def start(home: str, *, patience: float = PATIENCE) -> str:
    """Starts a supervisor that outlives us; returns its directory when it listens.

    Raises SupervisorFault when it does not come up, with the last lines of its log, and OSError
    when its directory cannot be made.
    """
    identity = os.urandom(6).hex()
    above = place.supervisors_dir(home)
    os.makedirs(above, mode=0o700, exist_ok=True)
    unborn = os.path.join(above, f"{identity}{place.UNBORN}")
    directory = os.path.join(above, identity)
    prefix = mark_prefix(home_id(home), identity)
    os.mkdir(unborn, 0o700)
    lock = os.open(os.path.join(unborn, place.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Held before the directory has its name: nobody ever sees a supervisor without its lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(unborn, directory)
        try:
            _spawn(directory, prefix, lock, patience)
        except BaseException:
            place.remove(directory)
            raise
    finally:
        os.close(lock)
    return directory


def _spawn(directory: str, prefix: str, lock: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    ready, ready_end = os.pipe2(os.O_CLOEXEC)
    log = os.open(
        os.path.join(directory, place.LOG),
        os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
        0o600,
    )
    try:
        program = PROGRAM.format(root=ROOT)
        words = [sys.executable, "-I", "-S", "-X", "utf8", "-c", program]
        process = subprocess.Popen(
            [*words, directory, prefix, str(lock), str(ready_end)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
            cwd="/",
            start_new_session=True,
            pass_fds=(lock, ready_end),
        )
    finally:
        os.close(ready_end)
        os.close(log)
    try:
        said = _read(ready, deadline)
        if said != "ok":
            raise SupervisorFault(
                f"the supervisor of plain processes did not start: {said or 'no answer'}"
                + last_words(directory)
            )
    finally:
        os.close(ready)
        try:
            # It is the parent of the supervisor and ends as soon as it has given birth.
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read(fd: int, deadline: float) -> str:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        return ""
    return os.read(fd, 4096).decode("utf-8", "replace")


def last_words(directory: str) -> str:
    """The last lines of a supervisor's log, as the rest of a sentence; empty if it said nothing."""
    try:
        with open(os.path.join(directory, place.LOG), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()[-5:]
    except OSError:
        return ""
    return "; its log ends with: " + " | ".join(line.strip() for line in lines) if lines else ""
