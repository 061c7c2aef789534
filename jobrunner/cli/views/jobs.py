"""Jobs, for people and as Cloud Run documents."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from jobrunner.cli.output import pairs, table
from jobrunner.cli.words import age_text, time_text
from jobrunner.core.options import PREFIX
from jobrunner.core.quantities import format_duration
from jobrunner.core.records import Job
from jobrunner.core.spec import Container, EnvVar


def jobs_table(jobs: Sequence[Job], now: float) -> str:
    rows = []
    for job in jobs:
        outer = job.spec.template
        container = outer.template.containers[0]
        latest = job.latest_execution
        rows.append(
            [
                job.name,
                str(outer.task_count or 1),
                shorten(container.image or command_text(container), 40),
                "" if latest is None else latest.name,
                "" if latest is None else latest.state.value.lower(),
                f"{age_text(now - job.updated_at)} ago",
            ]
        )
    return table(["JOB", "TASKS", "RUNS", "LATEST EXECUTION", "STATE", "CHANGED"], rows)


def job_text(job: Job) -> str:
    """One job for people."""
    outer = job.spec.template
    inner = outer.template
    container = inner.containers[0]
    latest = job.latest_execution
    options = {
        key.removeprefix(PREFIX): value
        for key, value in {**job.spec.annotations, **outer.annotations}.items()
        if key.startswith(PREFIX)
    }
    rows = [
        ("Job", job.name),
        ("Generation", str(job.generation)),
        ("Image", container.image or ""),
        ("Command", command_text(container)),
        ("Working dir", container.working_dir or ""),
        ("Environment", ", ".join(env_text(variable) for variable in container.env)),
        ("Limits", ", ".join(f"{name} {size}" for name, size in container.limits.items())),
        ("Tasks", str(outer.task_count or 1)),
        ("Parallelism", str(outer.parallelism) if outer.parallelism else "no limit"),
        ("Max retries", "" if inner.max_retries is None else str(inner.max_retries)),
        ("Task timeout", "" if inner.timeout is None else format_duration(inner.timeout)),
        ("Options", ", ".join(f"{name}={value}" for name, value in options.items())),
        ("Labels", ", ".join(f"{name}={value}" for name, value in job.spec.labels.items())),
        ("Volumes", ", ".join(volume.name for volume in inner.volumes)),
        ("Created", f"{time_text(job.created_at)} by {job.creator}"),
        ("Changed", f"{time_text(job.updated_at)} by {job.last_modifier}"),
        ("Executions", str(job.execution_count)),
        ("Latest", "" if latest is None else f"{latest.name} ({latest.state.value.lower()})"),
        ("Run it with", f"jobrunner jobs execute {job.name}"),
    ]
    return pairs(rows)


def command_text(container: Container) -> str:
    return shlex.join([*container.command, *container.args])


def env_text(variable: EnvVar) -> str:
    """``NAME=value``; a secret is named, never shown."""
    if variable.secret is not None:
        return f"{variable.name} (secret {variable.secret.secret}:{variable.secret.version})"
    return f"{variable.name}={variable.value}"


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
