"""What a dead supervisor left: the ends it wrote down, and processes that nobody watches."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

from jobrunner.backends.supervisor import journal, place, procfs
from jobrunner.backends.supervisor.journal import Book, Started

PATIENCE = 10.0
BIRTH_TICKS = procfs.TICKS_PER_SECOND
"""How much later than noted a process may have come to life and still be the one noted."""


def read(directory: str, mark_prefix: str) -> Book | None:
    """The open entries of a dead supervisor; what it left running is killed before this returns.

    ``None`` when it is alive, or when the directory has gone. Directories without an open entry
    are removed on the way. Blocks until the leftovers are gone; raises OSError where it may not
    look, and TimeoutError when a leftover cannot be killed.
    """
    try:
        lock = place.try_lock(directory)
    except FileNotFoundError:
        # The lock goes last: whoever removed the directory may have died right after it.
        with contextlib.suppress(OSError):
            os.rmdir(directory)
        return None
    if lock is None:
        return None
    try:
        path = os.path.join(directory, place.JOURNAL)
        _seal(path)
        book = journal.read(path)
        info = place.read_info(directory)
        if book.started and info is not None and info["boot"] == procfs.boot_id():
            kill_leftovers(mark_prefix, book.started)
        if not book.started and not book.ended:
            place.remove(directory)
        return book
    finally:
        os.close(lock)


def forget(directory: str, keys: Collection[str]) -> None:
    """Acknowledges ends in the journal of a dead supervisor. The last one removes the directory."""
    try:
        lock = place.try_lock(directory)
    except FileNotFoundError:
        return
    if lock is None:
        return
    try:
        path = os.path.join(directory, place.JOURNAL)
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"A {' '.join(keys)}\n")
        book = journal.read(path)
        if not book.started and not book.ended:
            place.remove(directory)
    finally:
        os.close(lock)


def sweep_unborn(home: str) -> None:
    """Removes what runners left that died between making a directory and giving it its name."""
    above = place.supervisors_dir(home)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(above):
            if not name.endswith(place.UNBORN):
                continue
            directory = os.path.join(above, name)
            try:
                lock = place.try_lock(directory)
            except FileNotFoundError:
                # Its maker may be between its first two steps; a day later it is not.
                with contextlib.suppress(OSError):
                    if os.stat(directory).st_mtime < time.time() - 86400:
                        place.remove(directory)
                continue
            if lock is not None:
                place.remove(directory)
                os.close(lock)


def _seal(path: str) -> None:
    """Cuts off a torn last line, so that what is appended later does not complete it."""
    with contextlib.suppress(FileNotFoundError), open(path, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)


def kill_leftovers(mark_prefix: str, started: dict[str, Started]) -> None:
    """KILL to every process of these attempts, until none is left. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = leftovers(mark_prefix, started)
        if not found:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"processes left by a dead supervisor cannot be killed: {sorted(found)}"
            )
        for pid, seen in found.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                handle = os.pidfd_open(pid)
                try:
                    if procfs.stat(pid) is not None and _same(procfs.stat(pid), seen):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                finally:
                    os.close(handle)
        time.sleep(0.005)


def _same(now: procfs.Stat | None, then: procfs.Stat) -> bool:
    return now is not None and now.ticks == then.ticks


def leftovers(mark_prefix: str, started: dict[str, Started]) -> dict[int, procfs.Stat]:
    """Living processes of these attempts: by mark, by process id and start, by the session or
    group of such a process, and everything below any of them."""
    living = {
        pid: seen
        for pid in procfs.pids()
        if (seen := procfs.stat(pid)) is not None and seen.state not in "ZX"
    }
    leaders = {
        mine.pid: mine.ticks
        for mine in started.values()
        if mine.pid and _began_at(living.get(mine.pid), mine.ticks)
    }
    found = {
        pid
        for pid, seen in living.items()
        if _led(pid, seen, leaders) or _marked(pid, mark_prefix, started)
    }
    found.discard(os.getpid())
    grown = True
    while grown:
        below = {pid for pid, seen in living.items() if seen.ppid in found} - found
        grown = bool(below)
        found |= below
    return {pid: living[pid] for pid in found}


def _began_at(seen: procfs.Stat | None, ticks: int) -> bool:
    """Whether this is the process noted with ``ticks``, or it has gone and its number with it to
    nobody else: a session keeps the number of its leader from being given away."""
    return seen is None or ticks - 1 <= seen.ticks <= ticks + BIRTH_TICKS


def _led(pid: int, seen: procfs.Stat, leaders: dict[int, int]) -> bool:
    for leader in (pid, seen.session, seen.pgrp):
        if leader in leaders and seen.ticks >= leaders[leader] - 1:
            return True
    return False


def _marked(pid: int, prefix: str, started: dict[str, Started]) -> bool:
    mark = procfs.mark(pid)
    return mark is not None and mark.startswith(prefix) and mark[len(prefix) :] in started
