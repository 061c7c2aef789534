"""``jobrunner serve``, which also writes down when each occurrence was committed.

    python schedule_server.py OUT.json [OPTION...]

Everything is the product's; two of its functions note the time beside what they do. ``OUT.json``
is written at the end: ``commits`` as pairs of the instant at which an occurrence was due and the
one at which the transaction had returned that holds it and its delivery; ``began``, before anything
was imported; ``ticking``, when the loop of the ticker began; ``armed``, when it had set the alarm
for the first time. All in Unix seconds. With ``HOLD`` in the environment nothing is sent.
"""

from __future__ import annotations

import time

BEGAN = time.time()

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from jobrunner.cli.main import main  # noqa: E402
from jobrunner.store.sql import SqlStore  # noqa: E402
from triggers.service.dispatch import Dispatcher  # noqa: E402
from triggers.sources.ticker import SchedulerAlarm, Ticker  # noqa: E402
from triggers.store.schedules import SqlSchedules  # noqa: E402
from triggers.store.schedules_rows import OCCURRENCE  # noqa: E402

DUE, STATE = OCCURRENCE.split().index("due_at"), OCCURRENCE.split().index("state")

commits: list[tuple[float, float]] = []
inside: list[float] = []
loops: list[float] = []
armed: list[float] = []


def watch() -> None:
    group, open_all, set_alarm = SqlStore.group, SqlSchedules.open_all, SchedulerAlarm.set
    ticking = Ticker.run

    def grouped(self: SqlStore, works: Sequence[Callable[[], object]]) -> Sequence[object]:
        inside.clear()
        answers = group(self, works)
        now = time.time()
        commits.extend((due, now) for due in inside)
        return answers

    def opened(self: SqlSchedules, drafts: Sequence[Any], now: float) -> None:
        open_all(self, drafts, now)
        inside.extend(draft[DUE] for draft in drafts if draft[STATE] == "OPEN")

    async def run(self: Ticker) -> None:
        loops.append(time.time())
        await ticking(self)

    async def held(self: Dispatcher) -> None:
        await asyncio.Event().wait()

    def alarmed(self: SchedulerAlarm, at: float | None) -> None:
        set_alarm(self, at)
        armed.append(time.time())

    SqlStore.group = grouped  # type: ignore[method-assign]
    SqlSchedules.open_all = opened  # type: ignore[method-assign]
    if os.environ.get("HOLD"):
        Dispatcher.run = held  # type: ignore[method-assign]
    Ticker.run = run  # type: ignore[method-assign]
    SchedulerAlarm.set = alarmed  # type: ignore[method-assign]


if __name__ == "__main__":
    out = Path(sys.argv.pop(1))
    watch()
    try:
        main()
    finally:
        began = {"began": BEGAN, "ticking": loops[0], "armed": armed[0]} if armed else {}
        out.write_text(json.dumps({"commits": commits} | began))
