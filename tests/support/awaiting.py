"""Waiting, on an event loop, for what nobody tells."""

import asyncio
import time
from collections.abc import Callable

from tests.support.waiting import PATIENCE


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Polls; fails with ``what`` when the time is over."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.005)
