"""Waiting for what another process or thread will do."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 90.0
"""Seconds after which a test gives up. It says nothing of how fast a thing is: a machine that is
busy with other things may take long."""


def until(
    condition: Callable[[], Any], patience: float = PATIENCE, why: Callable[[], object] = str
) -> Any:
    """What ``condition`` says once it is true. ``why`` tells how things stand if it does not."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come true within {patience:g} s: {why()}"
        time.sleep(0.02)
    return found
