"""Which lease an execution has reached: a runner that was overtaken starts nothing more.

A fence is also kept in ``HOME/run/fence/EXECUTION``: a supervisor that is started only after the
fence was set (its runner had slept) still finds it. The file is written before any living
supervisor is told, and read when an execution is first heard of, so one of the two always holds.
"""

from __future__ import annotations

import contextlib
import os
import time

from jobrunner.backends.supervisor.program import Refusal

REMEMBERED = 4096
KEPT_SECONDS = 31 * 86400.0


class Fences:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._reached: dict[str, int] = {}

    def recall(self, execution: str) -> None:
        """Takes note of what the file says, if there is one."""
        lease = read(self._directory, execution)
        if lease:
            self.admits(execution, lease)

    def admits(self, execution: str, lease: int) -> bool:
        """Whether ``lease`` is the newest seen so far; it is then remembered."""
        reached = self._reached.get(execution, 0)
        if lease < reached:
            return False
        if lease > reached:
            self._reached[execution] = lease
            if len(self._reached) > REMEMBERED:
                del self._reached[next(iter(self._reached))]
        return True

    def refusal(self, execution: str, lease: int) -> Refusal:
        return Refusal(
            False,
            "StaleLease",
            f"the execution {execution} has been taken over by another runner (lease"
            f" {self._reached[execution]}, this one holds {lease})",
        )


def read(directory: str, execution: str) -> int:
    """The stored fence; 0 where there is none."""
    try:
        with open(os.path.join(directory, execution), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def store(directory: str, execution: str, lease: int) -> None:
    """Keeps the larger of ``lease`` and what is stored. Raises OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if read(directory, execution) >= lease:
        return
    path = os.path.join(directory, execution)
    fresh = f"{path}.{os.getpid()}.new"
    with open(fresh, "w", encoding="ascii") as file:
        file.write(str(lease))
    os.rename(fresh, path)


def sweep(directory: str, now: float | None = None) -> None:
    """Removes fences so old that nobody can still be asleep behind them."""
    limit = (time.time() if now is None else now) - KEPT_SECONDS
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(directory):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < limit:
                    os.unlink(entry.path)
