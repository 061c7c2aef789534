"""The supervisor's own log: standard error, a file. A full disk must not be its end."""

from __future__ import annotations

import contextlib
import os
import time
import traceback

STDERR = 2


def note(text: str) -> None:
    """One line with the time. Nothing happens when it cannot be written."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(STDERR, f"{stamp} {text}\n".encode("utf-8", "replace"))


def note_exception() -> None:
    """The exception that is being handled, with its traceback."""
    note(traceback.format_exc())
