"""Who wants to hear what the executor does, while it does it."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Attempt, Execution, Task


class Observer:
    """Told after each durable turn. Methods must return at once and not raise; the base hears
    everything and does nothing."""

    def preparing(self, execution: Execution, message: str) -> None:
        """Before the first launch: an image is pulled, leftovers are adopted, …"""

    def warning(self, message: str) -> None:
        """Something a person should know; printed once."""

    def turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None:
        """``opened`` attempts were just started; ``changed`` ones took a new state (launched,
        stopping, ended); ``tasks`` have new values; ``execution`` carries the new counters."""

    def settled(self, execution: Execution) -> None:
        """The execution has ended; ``execution`` is final and stored."""
