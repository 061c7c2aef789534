"""The token that finds a process attempt again: supervisor, boot, process, start, attempt."""

from __future__ import annotations

from typing import NamedTuple

from jobrunner.errors import BackendFault

BOOT_CHARACTERS = 8


class Handle(NamedTuple):
    """``boot`` is the beginning of the boot id; ``ticks`` the start of process ``pid`` in clock
    ticks since boot (both 0 where the supervisor died right around the start)."""

    supervisor: str
    boot: str
    pid: int
    ticks: int
    key: str

    def __str__(self) -> str:
        return f"{self.supervisor}:{self.boot}:{self.pid}:{self.ticks}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> Handle:
        try:
            supervisor, boot, pid, ticks, key = text.split(":", 4)
            return cls(supervisor, boot, int(pid), int(ticks), key)
        except ValueError:
            raise BackendFault(
                f"'{text}' is no handle of the process backend"
                " (SUPERVISOR:BOOT:PID:TICKS:EXECUTION/INDEX/ATTEMPT)"
            ) from None
