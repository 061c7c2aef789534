"""Is this job, or this order to run it, allowed? Every violation is found, not only the first.

Paths of fields are those of a v1 document; :func:`jobrunner.core.fields.v2_path` translates them.
"""

from __future__ import annotations

from jobrunner.core.container_rules import check_containers
from jobrunner.core.env_rules import check_env, check_env_count, check_words
from jobrunner.core.label_rules import GOOGLE_NAMESPACES, check_annotations, check_labels
from jobrunner.core.limits import (
    MAX_PARALLELISM,
    MAX_RETRIES,
    MAX_TASKS,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
)
from jobrunner.core.names import job_name_problem, secret_problem, token_problem
from jobrunner.core.options import BACKEND, BACKENDS, OPTION_KEYS, options_of
from jobrunner.core.overrides import container_index, override_container
from jobrunner.core.problems import EXECUTION, EXECUTION_METADATA, JOB_METADATA, TASK, Problems
from jobrunner.core.spec import ExecutionTemplate, JobSpec, Overrides, TaskTemplate
from jobrunner.core.volume_rules import check_volumes
from jobrunner.errors import InvalidSpec, Violation

JOB_ANNOTATIONS = f"{JOB_METADATA}.annotations"
EXECUTION_ANNOTATIONS = f"{EXECUTION_METADATA}.annotations"
LAUNCH_STAGES = ("GA", "BETA", "ALPHA", "EARLY_ACCESS", "PRELAUNCH", "DEPRECATED", "UNIMPLEMENTED")
ENVIRONMENTS = ("gen1", "gen2")
EGRESS = ("private-ranges-only", "all-traffic", "all")
_OPTIONS = frozenset(OPTION_KEYS)

BUILD_ANNOTATIONS = tuple(
    f"run.googleapis.com/build-{what}"
    for what in (
        "base-image",
        "enable-automatic-updates",
        "env-vars",
        "function-target",
        "id",
        "image-uri",
        "name",
        "service-account",
        "source-location",
        "worker-pool",
    )
)
KNOWN_JOB_ANNOTATIONS = BUILD_ANNOTATIONS
KNOWN_EXECUTION_ANNOTATIONS = (
    "run.googleapis.com/base-images",
    "run.googleapis.com/client-name",
    "run.googleapis.com/client-version",
    "run.googleapis.com/cloudsql-instances",
)
"""Keys under Google's namespaces that have no field of their own in the specs."""


def validate_job(name: str, spec: JobSpec, *, one_off: bool = False) -> list[Violation]:
    """Everything that is wrong with a job of this name; an empty list if it is allowed.
    ``one_off`` says that it was typed to be run once: the contract's limit on the number of words
    is for stored jobs, and a process may have as many as the operating system takes."""
    problems = Problems()
    template = spec.template
    problems.check(f"{JOB_METADATA}.name", job_name_problem(name))
    check_labels(problems, f"{JOB_METADATA}.labels", spec.labels)
    check_labels(problems, f"{EXECUTION_METADATA}.labels", template.labels)
    known_here = _refuse_by_name(problems, JOB_ANNOTATIONS, spec.annotations)
    check_annotations(
        problems, JOB_ANNOTATIONS, spec.annotations, KNOWN_JOB_ANNOTATIONS + known_here
    )
    known_here = _refuse_by_name(problems, EXECUTION_ANNOTATIONS, template.annotations)
    check_annotations(
        problems,
        EXECUTION_ANNOTATIONS,
        template.annotations,
        KNOWN_EXECUTION_ANNOTATIONS + known_here,
    )
    _check_options(problems, spec)
    _check_stage(problems, spec)
    _check_tokens(problems, name, spec)
    _check_counts(problems, template)
    _check_task(problems, template.template, _backend(spec), one_off=one_off)
    return problems.violations


def validate_overrides(overrides: Overrides, template: ExecutionTemplate) -> list[Violation]:
    """Everything that is wrong with an order to run ``template`` under ``overrides``."""
    problems = Problems()
    if overrides.task_count is not None:
        _check_range(problems, "overrides.taskCount", overrides.task_count, 1, MAX_TASKS)
    if overrides.timeout is not None:
        _check_timeout(problems, "overrides.timeoutSeconds", overrides.timeout)
    containers = template.template.containers
    meant: set[int] = set()
    for place, override in enumerate(overrides.containers):
        field = f"overrides.containerOverrides[{place}]"
        index = container_index(containers, override.name)
        if index is None:
            names = ", ".join(container.name for container in containers)
            problems.add(
                f"{field}.name", f"'{override.name}' is not a container of the job; it has: {names}"
            )
        elif index in meant:
            problems.add(f"{field}.name", "another override changes the same container")
        else:
            meant.add(index)
            merged = override_container(containers[index], override)
            check_env_count(problems, f"{field}.env", len(merged.env))
        if override.clear_args and override.args:
            problems.add(f"{field}.args", "it must be empty when clearArgs is set")
        check_words(problems, f"{field}.args", override.args)
        check_env(problems, f"{field}.env", override.env)
        for number, variable in enumerate(override.env):
            if variable.secret is not None:
                problems.add(
                    f"{field}.env[{number}]",
                    f"'{variable.name}' names a secret; an override takes values only",
                )
    return problems.violations


def _refuse_by_name(problems: Problems, field: str, annotations: dict[str, str]) -> tuple[str, ...]:
    """Adds the refusal of each annotation that is in the list of refused ones; returns their keys,
    so that they are not reported as unknown too."""
    refused = []
    for key in annotations:
        if key.startswith(GOOGLE_NAMESPACES):
            from jobrunner.core.fields import Standing, of_job

            known = of_job(f"{field}[{key}]")
            if known is not None and known.standing is Standing.REFUSED:
                problems.refuse(f"{field}[{key}]")
                refused.append(key)
    return tuple(refused)


def _check_options(problems: Problems, spec: JobSpec) -> None:
    """The options as they work together; each violation names the place where the option stands."""
    annotations = {**spec.annotations, **spec.template.annotations}
    if _OPTIONS.isdisjoint(annotations):
        return
    try:
        options_of(annotations, EXECUTION_ANNOTATIONS)
    except InvalidSpec as error:
        for violation in error.violations:
            rest = violation.field.removeprefix(EXECUTION_ANNOTATIONS)
            here = rest[1:-1] in spec.template.annotations
            field = EXECUTION_ANNOTATIONS if here else JOB_ANNOTATIONS
            problems.add(field + rest, violation.message)


def _backend(spec: JobSpec) -> str | None:
    """The backend that the annotations ask for, if it is one."""
    wanted = {**spec.annotations, **spec.template.annotations}.get(BACKEND)
    return wanted if wanted in BACKENDS else None


def _check_stage(problems: Problems, spec: JobSpec) -> None:
    if spec.launch_stage and spec.launch_stage not in LAUNCH_STAGES:
        problems.add(
            f"{JOB_ANNOTATIONS}[run.googleapis.com/launch-stage]",
            f"'{spec.launch_stage}' is not a launch stage; allowed: {', '.join(LAUNCH_STAGES[:3])}",
        )


def _check_tokens(problems: Problems, name: str, spec: JobSpec) -> None:
    start, run = spec.start_execution_token, spec.run_execution_token
    if start:
        problems.check("spec.startExecutionToken", token_problem(name, start))
    if run:
        problems.check("spec.runExecutionToken", token_problem(name, run))
    if start and run:
        problems.add("spec.runExecutionToken", "a job has a start token or a run token, not both")


def _check_counts(problems: Problems, template: ExecutionTemplate) -> None:
    if template.task_count is not None:
        _check_range(problems, f"{EXECUTION}.taskCount", template.task_count, 1, MAX_TASKS)
    if template.parallelism is not None:
        _check_range(problems, f"{EXECUTION}.parallelism", template.parallelism, 0, MAX_PARALLELISM)


def _check_task(
    problems: Problems, template: TaskTemplate, backend: str | None, *, one_off: bool
) -> None:
    if template.max_retries is not None:
        _check_range(problems, f"{TASK}.maxRetries", template.max_retries, 0, MAX_RETRIES)
    if template.timeout is not None:
        _check_timeout(problems, f"{TASK}.timeoutSeconds", template.timeout)
    if template.node_selector:
        problems.refuse(f"{TASK}.nodeSelector")
    for container in template.containers:
        if container.depends_on:
            key = "run.googleapis.com/container-dependencies"
            problems.refuse(f"{EXECUTION_ANNOTATIONS}[{key}]")
            break
    _check_placement(problems, template)
    _check_aliases(problems, template)
    check_containers(problems, template, backend, one_off=one_off)
    check_volumes(problems, template.volumes)


def _check_placement(problems: Problems, template: TaskTemplate) -> None:
    """Ignored here, but a value that Cloud Run would refuse is refused."""
    where = f"{EXECUTION_ANNOTATIONS}[run.googleapis.com/"
    generation = template.execution_environment
    if generation and generation not in ENVIRONMENTS:
        problems.add(
            f"{where}execution-environment]",
            f"'{generation}' is not an execution environment; allowed: {', '.join(ENVIRONMENTS)}",
        )
    network = template.vpc_access
    if network is None:
        return
    if network.egress and network.egress not in EGRESS:
        problems.add(
            f"{where}vpc-access-egress]",
            f"'{network.egress}' is not an egress setting; allowed: {', '.join(EGRESS[:2])}",
        )
    if network.connector and network.network_interfaces:
        problems.add(
            f"{where}network-interfaces]",
            "a job has a VPC connector or network interfaces, not both",
        )


def _check_aliases(problems: Problems, template: TaskTemplate) -> None:
    for alias, secret in template.secret_aliases.items():
        problems.check(
            f"{EXECUTION_ANNOTATIONS}[run.googleapis.com/secrets]",
            secret_problem(alias) or secret_problem(secret),
        )


def _check_range(problems: Problems, field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        problems.add(field, f"{value} is out of range; allowed: {least} to {most}")


def _check_timeout(problems: Problems, field: str, seconds: float) -> None:
    # Written so that NaN fails too.
    if not MIN_TIMEOUT <= seconds <= MAX_TIMEOUT:
        problems.add(
            field,
            f"{seconds:g} s is out of range; allowed: {MIN_TIMEOUT} s to {MAX_TIMEOUT} s (168 h)",
        )
