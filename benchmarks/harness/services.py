"""The servers that peers need, started for one suite and ended with it. Loopback only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.measure import Failed
from harness.place import base

READY_SECONDS = 30.0
UNPRIVILEGED = "nobody"


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis that keeps nothing on disk (the fastest it can be); yields its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise Failed("redis-server is not installed: benchmarks/setup_peers.sh")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        end(process)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A throw-away cluster with the durability it has by default; yields its URL. PostgreSQL
    refuses to run as root, so root runs it as an unprivileged user."""
    programs = postgres_bin()
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    root = Path(tempfile.mkdtemp(prefix="postgres-", dir=tempfile.gettempdir()))
    if user is not None:
        shutil.chown(root, user)
    data, port = root / "data", free_port()
    init = [programs / "initdb", "-D", data, "-A", "trust", "-U", "bench", "-E", "UTF8"]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL, user=user, cwd=root)
    server = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", root]
    process = subprocess.Popen(
        server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=root
    )
    try:
        wait_for_port(port, process)
        time.sleep(1.0)
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        end(process)
        shutil.rmtree(root, ignore_errors=True)


def postgres_bin() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / "initdb").exists():
            return directory
    raise Failed("PostgreSQL is not installed: benchmarks/setup_peers.sh")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: Sequence[str], port: int, env: Mapping[str, str]) -> Iterator[None]:
    """A server that listens on ``port``, with ``env`` beside the environment; ended with whatever
    it has started."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **env}, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_port(port, process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if process.poll() is not None:
            raise Failed(f"{process.args!r} ended with {process.returncode}")
        time.sleep(0.05)
    raise Failed(f"{process.args!r} does not listen after {READY_SECONDS:.0f} s")


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def scratch() -> Path:
    path = base() / "scratch"
    path.mkdir(exist_ok=True)
    return path
