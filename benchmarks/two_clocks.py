"""Two minutes on both clocks: a call that fails twice and a job that needs three tries.

``python benchmarks/two_clocks.py`` does it for real, then on a virtual clock, and compares what is
on record, without ids, times and durations.
"""

from __future__ import annotations

import asyncio
import pprint
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from jobrunner.lib.clock import VirtualClock, WallClock
from jobrunner.ports import Clock
from tests.support.receiver import receiving
from tests.support.virtual_home import Home, home
from triggers.core.records import Ack, HttpTarget, JobTarget, ScheduleRetry

SECONDS = 120.0


async def scenario(there: Home, url: str) -> None:
    retry = ScheduleRetry(retry_count=5, min_backoff=5.0, max_backoff=20.0)
    await there.job("flaky", "exit 1 after 5s; exit 3 after 1s; exit 0 after 10s", max_retries=2)
    await there.schedule("call", "* * * * *", HttpTarget(f"{url}/hook"), retry=retry)
    await there.schedule("run", "* * * * *", JobTarget("flaky", ack=Ack.ON_SUCCESS))


async def ran(folder: str, clock: Clock) -> tuple[dict[str, list[tuple[Any, ...]]], float]:
    """The record of the two minutes that follow the next full one, and how long they took."""
    with receiving() as sink:
        # Two failures for each of the fires.
        sink.answer = lambda path, count: 200 if count % 3 == 0 else 503
        async with home(folder, clock) as there:
            end = clock.now() // 60 * 60 + SECONDS + 55
            await scenario(there, sink.url)
            began = time.monotonic()
            if isinstance(clock, VirtualClock):
                assert (await there.advance(end)).arrived
            else:
                await asyncio.sleep(end - clock.now())
            took = time.monotonic() - began
            return there.record(), took


def main() -> None:
    start = (time.time() + 30) // 60 * 60 + 30
    time.sleep(max(0.0, start - time.time()))
    with tempfile.TemporaryDirectory() as folder:
        real, lasted = asyncio.run(ran(f"{folder}/real", WallClock()))
        virtual, took = asyncio.run(ran(f"{folder}/virtual", VirtualClock(start)))
    counts = {name: len(rows) for name, rows in real.items()}
    if dated(real) != dated(virtual):
        pprint.pprint({"real": dated(real), "virtual": dated(virtual)})
        raise SystemExit("the records differ")
    print(f"real {lasted:.1f} s, virtual {took:.1f} s: the same record, {counts}")


def dated(record: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Scheduled instants as minutes since the first one: the two ran at different times."""
    first = min(row[1] for row in record["occurrences"])
    return {
        "occurrences": [(row[0], row[1] - first, *row[2:]) for row in record["occurrences"]],
        "deliveries": [(row[0], row[1] - first, *row[2:]) for row in record["deliveries"]],
        "executions": record["executions"],
    }


if __name__ == "__main__":
    main()
