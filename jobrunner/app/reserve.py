"""A few megabytes of the disk that are kept for the moment when it is full.

SQLite needs room even for reading and for deleting, so on a full disk nothing could be removed any
more. ``jobrunner db prune`` gives the reserve up while it works, and takes it again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NAME = "reserve"
SIZE = 4 * 1024 * 1024
"""Bytes: the shared memory of SQLite, and the log of a batch of deletions."""


def keep(home: str) -> None:
    """Takes the reserve if it is not there. Without room there is none, which is no failure."""
    path = os.path.join(home, NAME)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(handle, 0, SIZE)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
    finally:
        os.close(handle)


def give_up(home: str) -> None:
    """Frees the reserve until the home is opened the next time and there is room again."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(home, NAME))


@contextlib.contextmanager
def given_up(home: str) -> Iterator[None]:
    """Frees the reserve for what is done inside."""
    give_up(home)
    try:
        yield
    finally:
        keep(home)
