"""Open files: the supervisor may need more than its children should see.

The caller's soft limit is kept as long as it suffices. When it does not, the supervisor raises its
own, and sets it back for the instant of each start: a child copies the limits at its birth, so it
finds exactly the caller's.
"""

from __future__ import annotations

import os
import resource


class OpenFiles:
    def __init__(self) -> None:
        self.caller, self._hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.mine = self.caller
        self._most = _most(self._hard)

    @property
    def raised(self) -> bool:
        return self.mine != self.caller

    def raise_limit(self) -> bool:
        """Raises the supervisor's own limit; False when there is nothing left to raise."""
        if self.mine >= self._most:
            return False
        self.mine = self._most
        self._set(self.mine)
        return True

    def as_the_caller(self) -> None:
        self._set(self.caller)

    def as_myself(self) -> None:
        self._set(self.mine)

    def _set(self, soft: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, self._hard))


def _most(hard: int) -> int:
    if hard != resource.RLIM_INFINITY:
        return hard
    try:
        with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return os.sysconf("SC_OPEN_MAX")
