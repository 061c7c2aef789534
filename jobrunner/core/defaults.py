"""What the server fills in when a user leaves it out."""

from __future__ import annotations

from dataclasses import replace

from jobrunner.core.limits import (
    DEFAULT_CPU,
    DEFAULT_MEMORY,
    DEFAULT_RETRIES,
    DEFAULT_TASKS,
    DEFAULT_TIMEOUT,
)
from jobrunner.core.names import default_container_name
from jobrunner.core.records import DEFAULT_PROJECT_NUMBER
from jobrunner.core.spec import Container, JobSpec, TaskTemplate

DEFAULT_LIMITS = {"cpu": DEFAULT_CPU, "memory": DEFAULT_MEMORY}
DEFAULT_ACCOUNT = "-compute@developer.gserviceaccount.com"
"""After the number of the project."""


def default_service_account(project_number: int = DEFAULT_PROJECT_NUMBER) -> str:
    return f"{project_number}{DEFAULT_ACCOUNT}"


def fill_defaults(spec: JobSpec, *, service_account: str = default_service_account()) -> JobSpec:
    """``spec`` with every unset field that has a default. Filling twice changes nothing more.

    A container without an image gets no limits: a process has none.
    """
    outer = spec.template
    inner = outer.template
    filled = replace(
        inner,
        containers=_fill_containers(inner),
        max_retries=DEFAULT_RETRIES if inner.max_retries is None else inner.max_retries,
        timeout=DEFAULT_TIMEOUT if inner.timeout is None else inner.timeout,
        service_account=inner.service_account or service_account,
    )
    return replace(
        spec,
        template=replace(
            outer,
            template=filled,
            task_count=DEFAULT_TASKS if outer.task_count is None else outer.task_count,
            parallelism=outer.parallelism or None,
        ),
    )


def _fill_containers(template: TaskTemplate) -> tuple[Container, ...]:
    taken = {container.name for container in template.containers}
    filled = []
    for number, container in enumerate(template.containers, 1):
        name = container.name
        while not name:
            candidate = default_container_name(container.image, container.command, number)
            if candidate not in taken:
                name = candidate
                taken.add(name)
            number += 1
        limits = container.limits
        if container.image:
            limits = {**DEFAULT_LIMITS, **limits}
        filled.append(replace(container, name=name, limits=limits))
    return tuple(filled)
