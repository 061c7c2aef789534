"""APScheduler's BackgroundScheduler: how late after its due second the body of each job begins.

    python p_apscheduler.py mem|DATABASE_URL JOBS DUE_A_SECOND SECONDS

Every job fires once within ``SECONDS`` seconds, ``DUE_A_SECOND`` in each of them, beginning at a
whole second after all jobs are stored. Prints JSON: ``drift`` in milliseconds, ``due``, ``add_s``,
``cpu_s`` (processor time from then on).
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from math import ceil
from threading import Event
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import create_engine, event

PATIENCE = 60.0
EVERY = 3600
"""Seconds between two fires of a job, as a recurring job has them; only the first one is seen."""

fired: list[float] = []
everything = Event()
wanted = 0


def body(due: float) -> None:
    fired.append(1e3 * (time.time() - due))
    if len(fired) >= wanted:
        everything.set()


def hurried(connection: Any, record: object) -> None:
    """While jobs are added: that is not what is measured."""
    connection.execute("PRAGMA synchronous=OFF")


def main() -> None:
    global wanted
    store, jobs, each, seconds = sys.argv[1], *map(int, sys.argv[2:5])
    wanted = min(jobs, each * seconds)
    options = {"misfire_grace_time": None, "coalesce": False, "max_instances": 10}
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults=options)
    engine = None
    if store != "mem":
        engine = create_engine(store)
        event.listen(engine, "connect", hurried)
        scheduler.add_jobstore("sqlalchemy", engine=engine)
    scheduler.start(paused=True)
    began = time.perf_counter()
    # Far enough for all to be stored; those that are not to fire come long after.
    slow = 2.0 + jobs * (0.008 if store != "mem" else 0.0006)
    start = ceil(time.time() + slow)
    for number in range(jobs):
        second = number // each
        due = float(start + (second if second < seconds else EVERY))
        first = datetime.fromtimestamp(due, UTC)
        scheduler.add_job(body, IntervalTrigger(seconds=EVERY, start_date=first), args=[due])
    add_s = time.perf_counter() - began
    if engine is not None:
        # From now on as durable as SQLite is by itself, which is FULL.
        event.remove(engine, "connect", hurried)
        engine.dispose()
    scheduler.resume()
    if time.time() > start - 0.5:
        sys.exit(f"storing {jobs} jobs took {add_s:.1f} s, longer than was thought")
    worked = time.process_time()
    everything.wait(start + seconds + PATIENCE - time.time())
    worked = time.process_time() - worked
    print(json.dumps({"drift": fired, "due": wanted, "add_s": add_s, "cpu_s": worked}))
    sys.stdout.flush()
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main()
