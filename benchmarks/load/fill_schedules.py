"""Fills the home that the environment names: ``COUNT SPREAD EXPRESSION,... MINUTE``.

The schedules call ``$SINK``; expressions and zones take turns. ``SPREAD`` is the stable offset by
name, in whole seconds up to it, that every schedule may have. ``MINUTE`` (Unix seconds) is the only
one in which they are due; 0 for no such bound.
"""

from __future__ import annotations

import os
import sys

from jobrunner.app import App
from jobrunner.lib.clock import WallClock
from jobrunner.lib.ids import RandomIds
from jobrunner.settings import from_environment
from triggers.core.records import HttpTarget, Schedule
from triggers.service.schedules import Schedules
from triggers.store import open_deliveries, open_schedules

ZONES = ("Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
GROUP = 2000


def main() -> None:
    count, spread, expressions = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(",")
    minute = int(sys.argv[4])
    bounds = {"starts_at": float(minute), "ends_at": minute + 59.0} if minute else {}
    sink = os.environ["SINK"]
    with App.open(from_environment(os.environ)) as app:
        deliveries = open_deliveries(app.store.database)
        schedules = Schedules(
            open_schedules(app.store.database), deliveries, app.store, WallClock(), RandomIds()
        )

        def make(number: int) -> None:
            schedules.create(
                Schedule(
                    "", "local", "us-central1", f"schedule-{number}",
                    expressions[number % len(expressions)], HttpTarget(f"{sink}/{number}"),
                    time_zone=ZONES[number % len(ZONES)], spread=spread, **bounds,
                )
            )  # fmt: skip

        for begin in range(0, count, GROUP):
            numbers = range(begin, min(count, begin + GROUP))
            answers = app.store.group([lambda numbers=numbers: list(map(make, numbers))])
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer


if __name__ == "__main__":
    main()
