"""Places where a test may kill the runner, by name: between a promise and its keeping.

``JOBRUNNER_CRASH_AT=NAME[:N]`` makes the Nth visit (default the first) of the point NAME end the
process with SIGKILL. Nothing but a look-up in an empty set happens otherwise.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "claimed",
    "recovered",
    "before-record",
    "after-record",
    "before-launch",
    "after-launch",
    "before-stop",
    "after-stop",
    "before-discard",
    "after-discard",
    "before-settle",
    "after-settle",
)

_name, _, _count = os.environ.get("JOBRUNNER_CRASH_AT", "").partition(":")
_left = int(_count) if _count.isdecimal() else 1


def crash_point(name: str) -> None:
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
