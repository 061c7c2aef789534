"""What the kernel says about processes. Reads /proc; keeps nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

MARK = b"JOBRUNNER_ATTEMPT"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """``ticks`` is the start of the process, in clock ticks since boot."""

    state: str
    ppid: int
    pgrp: int
    session: int
    ticks: int


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def stat(pid: int) -> Stat | None:
    """``None`` when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            raw = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold blanks and parentheses of its own.
    fields = raw[raw.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def mark(pid: int) -> str | None:
    """The value of our mark in the environment that the process was started with; ``None`` without
    a mark, without such a process, and where we may not look."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            raw = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    for entry in raw.split(b"\0"):
        if entry.startswith(MARK) and entry[len(MARK) : len(MARK) + 1] == b"=":
            return entry[len(MARK) + 1 :].decode("utf-8", "replace")
    return None


def pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def children(pid: int) -> list[int]:
    """Children of all threads of a process, zombies included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(map(int, file.read().split()))
    except ProcessLookupError:
        return found
    except FileNotFoundError:
        # Gone meanwhile, or a kernel without CONFIG_PROC_CHILDREN.
        return found if not os.path.exists(f"/proc/{pid}") else children_by_scan(pid)
    return found


def children_by_scan(pid: int) -> list[int]:
    stats = ((other, stat(other)) for other in pids())
    return [other for other, seen in stats if seen is not None and seen.ppid == pid]


def descendants(pid: int) -> list[int]:
    """All below ``pid``, without itself: a snapshot that may be old when it is read."""
    found: list[int] = []
    open_ends = [pid]
    while open_ends:
        below = children(open_ends.pop())
        found.extend(below)
        open_ends.extend(below)
    return found
