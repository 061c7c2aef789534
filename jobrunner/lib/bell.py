"""What a loop of a server waits for: that it is called, or that some time goes by.

Who waits long waits for the same strokes of the clock as the others: they wake up together, and an
idle process is woken as often as one of them.
"""

from __future__ import annotations

import asyncio

LONG_SECONDS = 0.5
"""What waits shorter waits for something, and not only to look again."""

PATIENT_SECONDS = 20.0
"""After so long one that acts by a clock that is moved looks again without being called."""


async def stroke(seconds: float) -> None:
    """Until the next of the strokes that come every so many seconds, for all who wait for them."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(end_of(loop.time(), seconds) - loop.time())


class Bell:
    """For one that waits, on one event loop. An :class:`asyncio.Event` under
    :func:`asyncio.wait_for` says the same, and costs a task for every wait."""

    def __init__(self, *, apart: bool = False) -> None:
        """``apart``: it is for one who acts by a clock that is moved, who must not wake up by
        himself in the middle of an instant, however slow the machine is: a long wait is so long
        that it is for nothing but a call that was forgotten."""
        self._apart = apart
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def rung(self) -> bool:
        """Whether it was rung since it was last silenced."""
        return self._rung

    def ring(self) -> None:
        self._rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def silence(self) -> None:
        self._rung = False

    async def heard(self, within: float) -> bool:
        """Whether it rings, or has rung, in so many seconds; returns at once when it does. A long
        wait may be shorter, but is no longer."""
        if self._rung:
            return True
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        now = loop.time()
        end = patient_end_of(now, within) if self._apart else end_of(now, within)
        timer = loop.call_at(end, _over, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
        return self._rung


def end_of(now: float, within: float) -> float:
    """When a wait ends that begins at ``now`` (seconds of the loop's clock)."""
    end = now + within
    return end - end % within if within >= LONG_SECONDS else end


def patient_end_of(now: float, within: float) -> float:
    """As :func:`end_of`, for one that is ``apart``."""
    return now + (max(within, PATIENT_SECONDS) if within >= LONG_SECONDS else within)


def _over(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
