"""Fills the home that the environment names: ``python fill.py JOBS EXECUTIONS_PER_JOB``."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from jobrunner.app import App
from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import ExecutionState, TaskState
from jobrunner.ports import Turn
from jobrunner.settings import from_environment

SCOPE = Scope("demo", "us-central1")
OWNER = "filler"
GROUP = 200


def main() -> None:
    jobs, each = int(sys.argv[1]), int(sys.argv[2])
    container = Container(command=("/bin/true",))
    spec = JobSpec(template=ExecutionTemplate(template=TaskTemplate(containers=(container,))))
    with App.open(from_environment(os.environ)) as app:
        names = [f"job-{number}" for number in range(jobs)]
        for name in names:
            app.service.jobs.create(SCOPE, name, spec)
        works = [name for _ in range(each) for name in names]
        for begin in range(0, len(works), GROUP):
            chunk = works[begin : begin + GROUP]
            app.store.group([lambda name=name: ended(app, name) for name in chunk])


def ended(app: App, name: str) -> None:
    now = time.time()
    opened = app.service.executions.run(SCOPE, name)
    claimed = app.store.claim(opened.uid, OWNER, now=now, ttl=60.0)
    [task] = app.service.executions.tasks(opened)
    done = replace(task, state=TaskState.SUCCEEDED, attempts=1, started_at=now, completed_at=now)
    settled = replace(
        claimed, state=ExecutionState.SUCCEEDED, started_at=now, completed_at=now,
        counters=replace(claimed.counters, succeeded=1),
    )  # fmt: skip
    app.store.record(Turn(execution=settled, tasks=[done], at=now))


if __name__ == "__main__":
    main()
