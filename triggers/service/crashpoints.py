"""Places where a test may kill a server while it takes messages in, opens what is due and delivers
it, by name: between a promise and its keeping.

``JOBRUNNER_CRASH_AT=NAME[:N]`` makes the Nth visit (default the first) of the point NAME end the
process with SIGKILL. Nothing but a comparison happens otherwise.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "delivery-before-turn",
    "delivery-in-turn",
    "delivery-claimed",
    "delivery-before-send",
    "delivery-after-send",
    "delivery-recorded",
    "delivery-followed",
)

SCHEDULE_POINTS = (
    "schedule-before-turn",
    "schedule-in-turn",
    "schedule-opened",
    "schedule-closed",
)

CHANGES_POINTS = ("changes-in-turn", "changes-told")

BUCKET_POINTS = ("bucket-in-turn", "bucket-told")

INTAKE_POINTS = ("message-in-turn", "message-kept", "event-in-turn", "event-kept")

_name, _, _count = os.environ.get("JOBRUNNER_CRASH_AT", "").partition(":")
_left = int(_count) if _count.isdecimal() else 1


def crash_point(name: str) -> None:
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
