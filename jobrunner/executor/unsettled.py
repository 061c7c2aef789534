"""What an executor has under way that does not wait for the clock: for who moves a virtual one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from jobrunner.core.records import Attempt
from jobrunner.executor.driver import Driver
from jobrunner.executor.means import Means


@runtime_checkable
class LivesByTheClock(Protocol):
    """A backend whose attempts end by the clock of what is planned, not by the machine's."""

    def waits(self, handle: str) -> bool:
        """Whether the end of the attempt is ahead, and nothing of it can be told before."""
        ...


def unsettled(means: Means, drivers: Iterable[Driver]) -> Iterator[str]:
    for driver in drivers:
        execution = driver.execution
        if driver.facts:
            yield f"execution {execution.name} has news"
        backend = means.backends(execution.backend)
        patient = backend if isinstance(backend, LivesByTheClock) else None
        running = [a.index for a in driver.snapshot.live.values() if not _waits(a, patient)]
        if len(running) == 1:
            yield f"task {running[0]} of execution {execution.name} runs ({execution.backend})"
        elif running:
            count = len(running)
            yield f"{count} tasks of execution {execution.name} run ({execution.backend})"


def _waits(attempt: Attempt, backend: LivesByTheClock | None) -> bool:
    return backend is not None and attempt.handle is not None and backend.waits(attempt.handle)
