"""Ctrl-C and its relatives, inside an event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handling(interrupt: Callable[[], None], *, enabled: bool = True) -> Iterator[None]:
    """Calls ``interrupt`` in the running loop for each SIGINT, SIGTERM or SIGHUP. A signal that is
    ignored already (``nohup``) stays ignored."""
    loop = asyncio.get_running_loop()
    taken = []
    if enabled:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, interrupt)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
