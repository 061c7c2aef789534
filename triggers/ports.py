"""What the trigger layer needs from the world, promised in prose.

Instants are Unix seconds (float, UTC), durations seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from triggers.core.records import Delivery
from triggers.core.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one attempt. ``excerpt`` is the beginning of the answer. ``execution`` is the
    uid of the execution that a job target has opened, which may go on after this."""

    outcome: Outcome
    excerpt: bytes = b""
    execution: str | None = None


class Sender(Protocol):
    """Makes the calls of one kind of target."""

    async def send(self, delivery: Delivery, number: int) -> Sent:
        """Makes one attempt, the ``number``-th (from 1), within the target's deadline. What goes
        wrong on the way is an outcome, never an exception. May be cancelled; then nobody knows how
        it ended. A job target is opened at most once per ``delivery.run_try``, however often this
        is called; for one that is acknowledged at success the outcome is how the run stands now."""
        ...

    async def close(self) -> None: ...
