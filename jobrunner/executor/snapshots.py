"""From what is stored to what the planner works on."""

from __future__ import annotations

from jobrunner.core.options import options_of
from jobrunner.core.snapshot import Snapshot
from jobrunner.ports import Loaded


def make_snapshot(loaded: Loaded) -> tuple[Snapshot, bool]:
    """The snapshot, and whether the execution is fresh: no attempt of it was ever opened."""
    execution = loaded.execution
    task_template = execution.template.template
    options = options_of(execution.annotations)
    deadline = None
    if options.deadline is not None:
        deadline = execution.created_at + options.deadline
    snapshot = Snapshot(
        execution,
        loaded.tasks,
        loaded.live,
        policy=options.retry_policy(task_template.max_retries),
        timeout=task_template.timeout,
        fail_fast=options.fail_fast,
        deadline=deadline,
    )
    fresh = not loaded.live and execution.started_at is None
    return snapshot, fresh
