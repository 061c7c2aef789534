"""What one execution changes of its job's template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobrunner.core.spec import (
    Container,
    ContainerOverride,
    EnvVar,
    ExecutionTemplate,
    Overrides,
)


def apply_overrides(template: ExecutionTemplate, overrides: Overrides) -> ExecutionTemplate:
    """``template`` for one execution. ``overrides`` must have passed ``validate_overrides``.

    Args replace, env is merged by name, ``task_count`` and ``timeout`` replace; a parallelism
    above the new number of tasks is lowered to it.
    """
    inner = template.template
    containers = list(inner.containers)
    for override in overrides.containers:
        place = container_index(containers, override.name)
        if place is not None:
            containers[place] = override_container(containers[place], override)
    task_count = template.task_count if overrides.task_count is None else overrides.task_count
    parallelism = template.parallelism
    if parallelism and task_count is not None:
        parallelism = min(parallelism, task_count)
    return replace(
        template,
        task_count=task_count,
        parallelism=parallelism,
        template=replace(
            inner,
            containers=tuple(containers),
            timeout=inner.timeout if overrides.timeout is None else overrides.timeout,
            files=overrides.files or inner.files,
        ),
    )


def container_index(containers: Sequence[Container], name: str) -> int | None:
    """Which container an override means. With a single one any name means it; ``None`` if the
    name fits none of several."""
    if len(containers) == 1:
        return 0
    names = [container.name for container in containers]
    return names.index(name) if name in names else None


def override_container(container: Container, override: ContainerOverride) -> Container:
    args = () if override.clear_args else (override.args or container.args)
    return replace(container, args=args, env=merge_env(container.env, override.env))


def merge_env(base: Sequence[EnvVar], changes: Sequence[EnvVar]) -> tuple[EnvVar, ...]:
    """``base`` with ``changes`` laid over it by name: a known name keeps its place and takes the
    new value (a literal replaces a secret), a new one is appended. The last of equals wins."""
    latest = {change.name: change for change in changes}
    merged: dict[str, EnvVar] = {}
    for variable in base:
        merged[variable.name] = latest.get(variable.name, variable)
    merged.update(latest)
    return tuple(merged.values())
