"""The supervisor's memory on disk: what was started, how it ended, what may be forgotten.

One line per entry, the last one may be torn::

    S key key …         these are about to be started (written before they are)
    P key pid ticks     this one was, as this process
    F key               this one could not be started
    X [exit]            this one ended (written before it is reported), see protocol.Exit
    A key key …         a runner has these ends in its store

There is no fsync: the file must survive processes, not the machine. After a reboot the boot id says
that nothing can still be running.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from jobrunner.backends.supervisor.protocol import Exit

COMPACT_BYTES = 1024 * 1024


class Journal:
    """Appends lines, many at once. Either all of a call's lines are written, or none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open(path)
        self._size = 0
        self._floor = 0

    @staticmethod
    def _open(path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def append(self, lines: Iterable[str]) -> None:
        """Raises OSError (disk full); the file is then as before."""
        data = "".join(lines).encode()
        try:
            done = os.write(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        if done != len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, "the journal could be written only in part", self._path)
        self._size += done

    @property
    def wants_compaction(self) -> bool:
        return self._size > COMPACT_BYTES + 2 * self._floor

    def rewrite(self, lines: Iterable[str]) -> None:
        """Replaces the content, at once and whole. Raises OSError; then nothing has changed."""
        fresh = self._path + ".new"
        fd = self._open(fresh)
        data = "".join(lines).encode()
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the journal could be written only in part", fresh)
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self._size = self._floor = len(data)


class Started(NamedTuple):
    """``pid`` and ``ticks`` are 0 where the supervisor died right around the start."""

    pid: int
    ticks: int


class Ended(NamedTuple):
    process: Started
    exit: Exit


NO_PROCESS = Started(0, 0)


class Book(NamedTuple):
    """A journal as read: every key in ``started`` or ``ended`` is still open (not acknowledged)."""

    started: dict[str, Started]
    ended: dict[str, Ended]


def read(path: str) -> Book:
    """Reads a journal; a missing one is empty. A torn last line is ignored, and so is a line that
    makes no sense: there is no fsync, and a machine that crashes may leave anything."""
    book = Book({}, {})
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        return book
    for line in lines[:-1]:
        with contextlib.suppress(ValueError, TypeError):
            _take(book, line)
    return book


def _take(book: Book, line: str) -> None:
    kind, _, rest = line.partition(" ")
    if kind == "S":
        for key in rest.split():
            book.ended.pop(key, None)
            book.started[key] = NO_PROCESS
    elif kind == "P":
        key, pid, ticks = rest.split()
        book.started[key] = Started(int(pid), int(ticks))
    elif kind == "X":
        ended = Exit(*json.loads(rest))
        process = book.started.pop(ended.key, NO_PROCESS)
        book.ended[ended.key] = Ended(process, ended)
    elif kind in ("F", "A"):
        for key in rest.split():
            book.started.pop(key, None)
            book.ended.pop(key, None)
