"""What `Store.record` costs per attempt row, for turns of 10 opened + 10 moved + 10 tasks.

    python benchmarks/store_record.py [URL] [--tasks 10000]

Prints wall and CPU microseconds per row, and what the other hot methods take.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace

from jobrunner.core.records import Attempt, Counters, Execution, Job, Lease, Task, Usage
from jobrunner.core.spec import ExecutionTemplate, JobSpec
from jobrunner.core.states import AttemptState, ExecutionState, TaskState
from jobrunner.ports import Move, Turn
from jobrunner.store import open_store

BATCH = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = options.url or f"sqlite:///{directory}/bench.db"
        run(url, options.tasks)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def show(what: str, wall: float, used: float) -> None:
    print(f"record, per {what:11s} {1e6 * wall:9.1f} us wall {1e6 * used:9.1f} us CPU")


def run(url: str, count: int) -> None:
    started = time.perf_counter()
    store = open_store(url)
    print(f"open                    {1e3 * (time.perf_counter() - started):9.1f} ms")
    uid = f"bench-{time.time_ns()}"
    store.create_job(Job(uid, "local", "us-central1", uid, JobSpec()))
    execution = Execution(
        uid=uid, project="local", region="us-central1", name=uid, job_uid=uid, job_name=uid,
        job_generation=1, template=ExecutionTemplate(), task_count=count, parallelism=BATCH,
        backend="process", lease=Lease("bench", 1, time.time() + 60),
    )  # fmt: skip
    started = time.perf_counter()
    execution = store.create_execution(execution)
    print(f"create {count:6d} tasks     {1e3 * (time.perf_counter() - started):9.1f} ms")

    execution = replace(execution, state=ExecutionState.RUNNING, started_at=time.time())
    live: list[Attempt] = []
    rows = turns = 0
    wall, used = time.perf_counter(), cpu()
    for first in range(0, count + BATCH, BATCH):
        now = time.time()
        ended = [
            replace(
                attempt, state=AttemptState.SUCCEEDED, handle=f"boot:{first}:123456789",
                launched_at=now, ended_at=now, exit_code=0, usage=Usage(0.001, 0.001, 2_000_000),
                output=100,
            )
            for attempt in live
        ]  # fmt: skip
        opened = [
            Attempt(uid, index, 0, AttemptState.STARTING, claimed_at=now)
            for index in range(first, min(first + BATCH, count))
        ]
        tasks = [
            Task(uid, a.index, TaskState.SUCCEEDED, 1, 1, started_at=now, completed_at=now)
            for a in ended
        ]
        execution = replace(execution, counters=Counters(running=BATCH, succeeded=first))
        store.record(
            Turn(
                execution,
                opened=opened,
                moved=[Move(AttemptState.STARTING, attempt) for attempt in ended],
                tasks=tasks,
                at=now,
            )
        )
        rows += len(opened) + len(ended) + len(tasks)
        turns += 1
        live = opened
    wall, used = time.perf_counter() - wall, cpu() - used
    show("turn", wall / turns, used / turns)
    show("written row", wall / rows, used / rows)
    show("attempt", wall / count, used / count)
    for name, call in (
        ("load", lambda: store.load(uid)),
        ("list failed tasks", lambda: store.list_tasks(uid, states=[TaskState.FAILED])),
        ("list attempts", lambda: store.list_attempts(uid)),
        ("poll aborts", lambda: store.aborts_for("bench")),
        ("heartbeat", lambda: store.heartbeat("bench", now=time.time(), ttl=15)),
        ("delete", lambda: store.delete_execution(uid)),
    ):
        started = time.perf_counter()
        call()
        print(f"{name:23s} {1e3 * (time.perf_counter() - started):9.2f} ms")
    store.close()


if __name__ == "__main__":
    main()
