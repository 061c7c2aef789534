"""Signals of a server, heard even while its event loop is held up.

The first SIGTERM or SIGINT asks the server to end; SIGINT once more, or too long a wait, ends it
at once. What it drives goes on in either case. A server that is patient takes the first SIGINT as
the wish to finish what runs, and the second one to end. SIGHUP means nothing to a server.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

GRACE_SECONDS = 4.4
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Only the byte that the kernel's handler writes is of interest."""


class StopSignals:
    """``stop`` is called from a thread of its own, once. ``last`` is called right before the
    process is ended by force. ``finish``, if there is one, is called instead of ``stop`` for the
    first SIGINT."""

    def __init__(
        self,
        stop: Callable[[], None],
        last: Callable[[str], None],
        finish: Callable[[], None] | None = None,
    ) -> None:
        self._stop = stop
        self._last = last
        self._finish = finish
        self._reader, self._writer = socket.socketpair()

    def install(self) -> None:
        self._writer.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def _listen(self) -> None:
        deadline: float | None = None
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self._end(0, "Something hangs: the server ends without waiting for it.")
            if not select.select([self._reader], [], [], left)[0]:
                continue
            for number in self._reader.recv(64):
                if number == signal.SIGINT and deadline is not None:
                    self._end(130, "Ended at once.")
                if number == signal.SIGINT and self._finish is not None:
                    finish, self._finish = self._finish, None
                    finish()
                    continue
                if number in (signal.SIGINT, signal.SIGTERM) and deadline is None:
                    deadline = time.monotonic() + GRACE_SECONDS
                    self._stop()

    def _end(self, code: int, why: str) -> None:
        self._last(why)
        os._exit(code)
