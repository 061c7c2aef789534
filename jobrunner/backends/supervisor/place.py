"""Where supervisors live: ``HOME/run/sup/ID/``, and how one is told alive from dead.

::

    sock      the socket; reached through the directory's descriptor, so that the length of the
              path does not matter (a socket address holds 108 bytes)
    lock      held (flock) from before the directory has its name until the process is gone
    journal   what was started and how it ended
    info      JSON: id, pid, boot, started, version, uid
    log       what the supervisor has to say; normally nothing
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
from typing import TypedDict

SOCK, LOCK, JOURNAL, INFO, LOG = "sock", "lock", "journal", "info", "log"
UNBORN = ".new"
CREDENTIALS = struct.Struct("3i")


class Info(TypedDict):
    id: str
    pid: int
    boot: str
    started: float
    version: int
    uid: int


def supervisors_dir(home: str) -> str:
    return os.path.join(home, "run", "sup")


def fences_dir(home: str) -> str:
    return os.path.join(home, "run", "fence")


def fences_beside(directory: str) -> str:
    """The fences of the home that a supervisor's directory lies in."""
    return os.path.join(os.path.dirname(os.path.dirname(directory)), "fence")


def read_info(directory: str) -> Info | None:
    """What the supervisor said about itself; ``None`` while or where it has not."""
    try:
        with open(os.path.join(directory, INFO), encoding="utf-8") as file:
            info: Info = json.load(file)
            return info
    except (OSError, ValueError):
        return None


def exists(directory: str) -> bool:
    return os.path.isdir(directory)


def try_lock(directory: str) -> int | None:
    """The descriptor of the lock if nobody holds it (then the supervisor is dead), else ``None``.

    Raises FileNotFoundError when the directory is gone, even if it went while we took the lock.
    """
    path = os.path.join(directory, LOCK)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), os.stat(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def remove(directory: str) -> None:
    """Deletes a supervisor's directory. The caller holds its lock. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        # The lock goes last: whoever still finds it finds the rest gone and nobody alive.
        for name in sorted(os.listdir(directory), key=LOCK.__eq__):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


def listen(directory: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{fd}/{SOCK}")
    finally:
        os.close(fd)
    listener.listen(128)
    return listener


def connect(directory: str) -> socket.socket:
    """A connected, non-blocking socket to the supervisor. Raises OSError; PermissionError when
    what answers there belongs to somebody else."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{SOCK}")
        finally:
            os.close(fd)
        if not trusted(sock):
            raise PermissionError(errno.EPERM, "the supervisor belongs to another user", directory)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def trusted(sock: socket.socket) -> bool:
    """Whether the other side runs as the same user, or as root."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    uid = CREDENTIALS.unpack(raw)[1]
    return uid in (os.geteuid(), 0)
