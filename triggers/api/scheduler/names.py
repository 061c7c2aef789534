"""Names of the Scheduler API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobrunner.core.documents import shown
from jobrunner.core.params import invalid
from jobrunner.core.records import Scope
from triggers.core.records import Schedule


def full_name(scope: Scope, job: str) -> str:
    return f"projects/{scope.project}/locations/{scope.region}/jobs/{job}"


def name_of(schedule: Schedule) -> str:
    return full_name(schedule.scope, schedule.name)


def job_id(name: Any, scope: Scope, project: Callable[[str], str]) -> str:
    """The last part of a job's full name, which has to be of ``scope``; empty if there is none.
    ``project`` reads the id or number of a project. Raises InvalidSpec."""
    if name in (None, ""):
        return ""
    form = f"projects/{scope.project}/locations/{scope.region}/jobs/JOB_ID"
    parts = name.split("/") if isinstance(name, str) else []
    if len(parts) != 6 or parts[0::2] != ["projects", "locations", "jobs"] or not parts[5]:
        raise invalid("job.name", f"{shown(name)} is not a name of a job; allowed: {form}")
    if project(parts[1]) != scope.project or parts[3] != scope.region:
        raise invalid("job.name", f"{shown(name)} is not in the parent; allowed: {form}")
    return str(parts[5])
