"""What one runner may keep alive at once: slots come from the setting, memory from the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one runner may keep alive at once. ``memory`` in bytes, for containers only."""

    slots: int = 64
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory`` in bytes, or ``None`` where it cannot be told; ``cpus`` as a number of cores."""

    memory: int | None
    cpus: float

    def for_slots(self, slots: int) -> Limits:
        return Limits(slots=slots, memory=self.memory)


def machine_limits() -> Machine:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return Machine(None, float(os.cpu_count() or 1))
    return Machine(memory if memory > 0 else None, float(os.cpu_count() or 1))
