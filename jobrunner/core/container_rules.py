"""Rules about containers: one of them, with an image or as a plain process."""

from __future__ import annotations

from collections.abc import Mapping

from jobrunner.core.env_rules import NO_TEXT, check_env, check_words, is_text
from jobrunner.core.limits import MAX_CONTAINERS
from jobrunner.core.names import container_name_problem, image_problem
from jobrunner.core.options import BACKEND
from jobrunner.core.problems import CONTAINERS, VOLUMES, Problems
from jobrunner.core.quantities import parse_cpu, parse_memory
from jobrunner.core.spec import Container, TaskTemplate
from jobrunner.core.volume_rules import check_mounts

GPU_LIMIT = "nvidia.com/gpu"
PROCESS_VOLUMES = "volumes need an image: a process sees the machine's own files"


def check_containers(
    problems: Problems, template: TaskTemplate, backend: str | None, *, one_off: bool = False
) -> None:
    """``backend`` is the one that the annotation asks for, if it does. ``one_off`` says that this
    comes from a command line and not from a document: a process may have any number of words."""
    containers = template.containers
    if not containers:
        problems.add(CONTAINERS, "there is no container; a task needs one")
    if len(containers) > MAX_CONTAINERS:
        problems.add(
            CONTAINERS, f"{len(containers)} containers are too many; allowed: {MAX_CONTAINERS}"
        )
    if len(containers) > 1:
        problems.refuse(f"{CONTAINERS}[1]", at=CONTAINERS)
    names: set[str] = set()
    for place, container in enumerate(containers):
        field = f"{CONTAINERS}[{place}]"
        check_name(problems, field, container.name, names, alone=len(containers) == 1)
        check_container(problems, field, container, template, backend, one_off=one_off)
    if template.volumes and containers and not runs_image(containers[0], backend):
        problems.add(VOLUMES, PROCESS_VOLUMES)


def runs_image(container: Container, backend: str | None) -> bool:
    return bool(container.image) and backend != "process"


def check_name(problems: Problems, field: str, name: str, names: set[str], *, alone: bool) -> None:
    if not name:
        if not alone:
            problems.add(f"{field}.name", "a container needs a name when there are several")
    elif problems.check(f"{field}.name", container_name_problem(name)):
        if name in names:
            problems.add(f"{field}.name", f"another container has the name '{name}' too")
        names.add(name)


def check_container(
    problems: Problems,
    field: str,
    container: Container,
    template: TaskTemplate,
    backend: str | None,
    *,
    one_off: bool = False,
) -> None:
    check_what_runs(problems, field, container, backend)
    any_number = one_off and not runs_image(container, backend)
    check_words(problems, f"{field}.command", container.command, any_number=any_number)
    check_words(problems, f"{field}.args", container.args, any_number=any_number)
    check_env(problems, f"{field}.env", container.env)
    check_limits(problems, f"{field}.resources.limits", container.limits)
    check_working_dir(problems, f"{field}.workingDir", container)
    mounts = f"{field}.volumeMounts"
    if container.volume_mounts and not runs_image(container, backend):
        problems.add(mounts, PROCESS_VOLUMES)
    else:
        check_mounts(problems, mounts, container.volume_mounts, template.volumes)
    for name, value in (
        ("ports", container.ports),
        ("startupProbe", container.startup_probe),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
    ):
        if value:
            problems.refuse(f"{field}.{name}")


def check_what_runs(
    problems: Problems, field: str, container: Container, backend: str | None
) -> None:
    if container.image:
        problems.check(f"{field}.image", image_problem(container.image))
        if backend == "process" and not container.command:
            problems.add(
                f"{field}.command",
                f"it is empty, and {BACKEND} is process; a process needs a command",
            )
    elif backend == "docker":
        problems.add(f"{field}.image", f"it is missing, and {BACKEND} is docker; name an image")
    elif not container.command:
        problems.add(
            field,
            "it has no image and no command; name an image, or a command to run as a process",
        )
    if container.command and not container.command[0]:
        problems.add(f"{field}.command[0]", "it is empty; the first word names the program")


def check_limits(problems: Problems, field: str, limits: Mapping[str, str]) -> None:
    for key, value in limits.items():
        where = f"{field}[{key}]"
        if key == GPU_LIMIT:
            problems.refuse(where)
            continue
        try:
            if key == "cpu":
                parse_cpu(value)
            elif key == "memory":
                parse_memory(value)
            else:
                problems.add(where, f"'{key}' is not a resource; allowed: cpu, memory")
        except ValueError as error:
            problems.add(where, str(error))


def check_working_dir(problems: Problems, field: str, container: Container) -> None:
    path = container.working_dir
    if path is None:
        return
    if "\0" in path or not path:
        problems.add(field, f"{path!r} is not a path")
    elif not is_text(path):
        problems.add(field, f"{path!a} {NO_TEXT}")
    elif not path.startswith("/"):
        where = "in a container it" if container.image else "a directory of this machine"
        problems.add(field, f"'{path}' is not absolute; {where} begins with '/'")
