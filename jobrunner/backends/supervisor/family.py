"""Whose is this process? Orphans of an attempt's tree become the supervisor's own children.

A process belongs to an attempt by its mark (the environment it was started with), else by its
session or process group, else because it was seen below another process of that attempt. A number
is safe here: a child's number is not given away before its parent, us, has asked for its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping

from jobrunner.backends.supervisor import procfs

CHUNK = 4096
COMPLETE = CHUNK - 32
"""A list shorter than this was not cut at the end of the kernel's page."""


class Family:
    """``strays`` are our children that are no attempt's main process, by attempt key; ``None``
    where nothing tells whose they are."""

    def __init__(self, mark_prefix: str) -> None:
        self._prefix = mark_prefix
        self._me = os.getpid()
        self.strays: dict[int, str | None] = {}
        self._leaders: dict[int, str] = {}
        self._kin: dict[int, tuple[int, str]] = {}
        try:
            path = f"/proc/self/task/{self._me}/children"
            self._children = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._children = -1

    def born(self, pid: int, key: str) -> None:
        self._leaders[pid] = key

    def buried(self, pid: int, key: str) -> None:
        """The attempt is over; nothing of it is left."""
        if self._leaders.get(pid) == key:
            del self._leaders[pid]
        if self._kin:
            self._kin = {pid: kin for pid, kin in self._kin.items() if kin[1] != key}

    def reaped(self, pid: int) -> None:
        self.strays.pop(pid, None)
        self._kin.pop(pid, None)

    def survey(self, mains: Mapping[int, object]) -> None:
        """Looks for strays. ``mains`` are the main processes that have not been reaped."""
        raw = os.pread(self._children, CHUNK, 0) if self._children >= 0 else b""
        if self._children >= 0 and len(raw) < COMPLETE:
            # The common case by far: nobody but the main processes.
            if raw.count(b" ") == len(mains):
                self.strays.clear()
                return
            mine = [int(word) for word in raw.split()]
        else:
            mine = procfs.children(self._me)
        known, self.strays = self.strays, {}
        for pid in mine:
            if pid not in mains:
                self.strays[pid] = known[pid] if pid in known else self._owner(pid)

    def _owner(self, pid: int) -> str | None:
        mark = procfs.mark(pid)
        if mark is not None and mark.startswith(self._prefix):
            return mark[len(self._prefix) :]
        seen = procfs.stat(pid)
        if seen is None:
            return None
        key = self._leaders.get(seen.session) or self._leaders.get(seen.pgrp)
        if key is None and pid in self._kin and self._kin[pid][0] == seen.ticks:
            key = self._kin[pid][1]
        return key

    def of(self, key: str) -> list[int]:
        return [pid for pid, owner in self.strays.items() if owner == key]

    def of_nobody(self) -> bool:
        return None in self.strays.values()

    def below(self, key: str, roots: Iterable[int]) -> list[tuple[int, procfs.Stat]]:
        """Everything below ``roots`` now, noted as belonging to ``key``."""
        found = []
        for root in roots:
            for pid in procfs.descendants(root):
                seen = procfs.stat(pid)
                if seen is not None:
                    self._kin[pid] = (seen.ticks, key)
                    found.append((pid, seen))
        return found

    def kill_strays(self, key: str | None) -> None:
        """KILL to the strays of one attempt. Theirs become our strays in turn, and our signal that
        a child has ended brings us back here until nobody is left."""
        for pid in [pid for pid, owner in self.strays.items() if owner == key]:
            if key is not None:
                self.below(key, [pid])
            send(pid, signal.SIGKILL)

    def terminate(self, key: str, main: int, mains: Mapping[int, object]) -> None:
        """TERM to the whole tree of a living attempt, once to each process."""
        self.survey(mains)
        strays = self.of(key)
        others = self.below(key, [main, *strays])
        others += [(pid, seen) for pid in strays if (seen := procfs.stat(pid)) is not None]
        send_group(main, signal.SIGTERM)
        send_group(main, signal.SIGCONT)
        for pid, seen in others:
            if seen.pgrp != main:
                send_exactly(pid, seen.ticks, signal.SIGTERM, signal.SIGCONT)


def send(pid: int, number: int) -> None:
    """To one of our children, which we have not reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def send_group(leader: int, number: int) -> None:
    """To the process group of one of our children, which we have not reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def send_exactly(pid: int, ticks: int, *numbers: int) -> None:
    """To a process that is not our child, if it still is the one that began at ``ticks``."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(pid)
        try:
            seen = procfs.stat(pid)
            if seen is not None and seen.ticks == ticks:
                for number in numbers:
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
