"""What our own sources have found out, told to whoever waits for it.

One event that breaks (a trigger that somebody has damaged) is noted and left out: it must not keep
the source, and all that is told after it, from going on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from jobrunner.core.records import Scope
from jobrunner.errors import StoreFault
from triggers.core.events import CloudEvent
from triggers.service.events import Events

log = logging.getLogger("jobrunner.events")


def tell(events: Events, found: Iterable[tuple[Scope, CloudEvent]], now: float) -> int:
    """Inside a transaction; returns how many deliveries were opened. Raises StoreFault; then
    nothing of it must be written."""
    opened = 0
    for scope, event in found:
        try:
            opened += events.publish([event], scope=scope, now=now).opened
        except StoreFault:
            raise
        except Exception as error:
            log.error("The event %s of %s is told to nobody: %s", event.id, event.source, error)
    return opened
