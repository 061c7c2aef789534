"""Who may start how many attempts: a bounded number of slots and bytes of memory, shared fairly.

The execution with the fewest live attempts is served first, one attempt at a time, so 10,000
waiting tasks of one never starve 3 of another. Memory is reserved; whoever is first in line and
does not fit keeps everybody behind it from taking memory, so a big task's turn comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """One execution's wish: ``wanted`` more attempts of ``memory`` bytes each (0: not counted),
    beside ``live`` running ones. ``order`` breaks ties, smallest first."""

    execution: str
    wanted: int
    live: int
    memory: int = 0
    order: float = 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is free now. ``memory`` is ``None`` where there is no limit."""

    slots: int
    memory: int | None = None


def admit(asks: Sequence[Ask], capacity: Capacity) -> dict[str, int]:
    """How many attempts each execution may start; executions with none are left out."""
    if len(asks) == 1 and not asks[0].memory:
        only = asks[0]
        count = min(only.wanted, capacity.slots)
        return {only.execution: count} if count > 0 else {}
    line = [(ask.live, ask.order, ask.execution, ask) for ask in asks if ask.wanted > 0]
    heapq.heapify(line)
    slots, memory = capacity.slots, capacity.memory
    memory_blocked = False
    granted: dict[str, int] = {}
    while line and slots > 0:
        served, order, name, ask = heapq.heappop(line)
        if ask.memory and memory is not None:
            if memory_blocked or ask.memory > memory:
                memory_blocked = True
                continue
            memory -= ask.memory
        slots -= 1
        granted[name] = granted.get(name, 0) + 1
        if granted[name] < ask.wanted:
            heapq.heappush(line, (served + 1, order, name, ask))
    return granted
