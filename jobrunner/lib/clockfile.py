"""Where the virtual time of a home stands: the file ``clock.json``, there once it has begun.

Whoever works on the home beside its server reads it there. It is written before the clock moves, so
a server that was killed goes on from an instant of which nothing is left to be done but what it had
begun. After a loss of power it may stand some instants back: what has happened is in the database,
under keys, and does not happen again.
"""

from __future__ import annotations

import contextlib
import os

NAME = "clock.json"
WIDTH = 48
"""Whatever is written over an earlier text covers it."""


def path_in(home: str) -> str:
    return os.path.join(home, NAME)


def read(home: str) -> float | None:
    """Unix seconds; ``None`` for a home on real time. Raises ValueError for a file that cannot be
    read, and OSError."""
    try:
        with open(path_in(home), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    # Every command line comes by here, and most find nothing.
    import json

    try:
        return float(json.loads(text)["now"])
    except (KeyError, TypeError):
        raise ValueError("it names no instant") from None


class Keeper:
    """Writes the file, for as long as it is open: in place, one short write for each instant."""

    def __init__(self, home: str) -> None:
        """Raises OSError."""
        self._handle = os.open(path_in(home), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, now: float) -> None:
        """``now`` in Unix seconds. Raises OSError."""
        os.pwrite(self._handle, f'{{"now": {now!r}}}'.ljust(WIDTH).encode() + b"\n", 0)

    def close(self) -> None:
        os.close(self._handle)


def remove(home: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_in(home))
