"""A v1 Job document as a spec. Everything that is wrong with it is found at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jobrunner.api.v1 import keys
from jobrunner.api.v1.annotations import read_aliases, read_dependencies, read_flag, read_vpc
from jobrunner.api.v1.containers import read_container, read_volume
from jobrunner.core.documents import Node, not_yet_said
from jobrunner.core.notices import notices
from jobrunner.core.problems import EXECUTION_METADATA, Problems
from jobrunner.core.spec import (
    BinaryAuthorization,
    ExecutionTemplate,
    JobSpec,
    StringMap,
    TaskTemplate,
)
from jobrunner.core.validation import validate_job
from jobrunner.errors import InvalidSpec


class JobDocument(NamedTuple):
    """``namespace`` is a project's id or number, empty if the document names none. ``warnings``
    are whole sentences."""

    spec: JobSpec
    name: str
    namespace: str
    warnings: tuple[str, ...]


def job_from_v1(document: object) -> JobDocument:
    """Reads and validates ``document``. Defaults are not filled in.

    Raises InvalidSpec with every violation: unknown names, wrong types, refused fields, broken
    rules. What the server itself writes (``status``, ``uid``, …) is accepted and not read.
    """
    problems = Problems()
    root = Node(document, "", problems)
    _check_kind(root)
    metadata = root.node("metadata")
    name = metadata.text("name")
    namespace = _namespace(metadata)
    labels, annotations = read_metadata(metadata)
    spec_node = root.node("spec")
    spec = _job_spec(spec_node, labels, annotations, problems)
    root.skip("status")
    root.end()
    found = problems.violations
    found += not_yet_said(validate_job(name, spec), found)
    if found:
        raise InvalidSpec(found)
    return JobDocument(spec, name, namespace, tuple(notices(spec)))


def seen_version(document: Mapping[str, object]) -> str:
    """The resource version that the writer of ``document`` has seen; empty if it names none."""
    metadata = document.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None
    return version if isinstance(version, str) else ""


def _check_kind(root: Node) -> None:
    for key, wanted in (("apiVersion", keys.API_VERSION), ("kind", "Job")):
        value = root.raw(key)
        if value is None:
            root.problems.add(key, f"it is missing; write {wanted}")
        elif value != wanted:
            root.wrong(key, value, f"allowed here; allowed: {wanted}")


def _namespace(metadata: Node) -> str:
    value = metadata.raw("namespace")
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**18:
        return str(value)
    return metadata.text("namespace")


def read_metadata(node: Node) -> tuple[StringMap, StringMap]:
    """Labels and annotations of the job, without those that the server writes."""
    node.skip(
        "uid", "generation", "resourceVersion", "selfLink", "creationTimestamp", "deletionTimestamp"
    )
    node.refuse(
        "clusterName", "deletionGracePeriodSeconds", "finalizers", "generateName", "ownerReferences"
    )
    labels = without(node.text_map("labels"), keys.SYSTEM_LABELS)
    annotations = without(node.text_map("annotations"), keys.SYSTEM_ANNOTATIONS)
    node.end()
    return labels, annotations


def without(texts: StringMap, system: frozenset[str]) -> StringMap:
    return {key: value for key, value in texts.items() if key not in system}


def _job_spec(node: Node, labels: StringMap, annotations: StringMap, problems: Problems) -> JobSpec:
    start, run = node.text("startExecutionToken"), node.text("runExecutionToken")
    template = node.node("template")
    execution = _execution_template(template, problems)
    spec = JobSpec(
        labels=labels,
        client=annotations.pop(keys.CLIENT_NAME, ""),
        client_version=annotations.pop(keys.CLIENT_VERSION, ""),
        launch_stage=annotations.pop(keys.LAUNCH_STAGE, ""),
        binary_authorization=_binary_authorization(annotations),
        annotations=annotations,
        template=execution,
        start_execution_token=start,
        run_execution_token=run,
    )
    node.end()
    return spec


def _binary_authorization(annotations: StringMap) -> BinaryAuthorization | None:
    policy = annotations.pop(keys.BINARY_AUTHORIZATION, "")
    breakglass = annotations.pop(keys.BREAKGLASS, "")
    if not policy and not breakglass:
        return None
    default = policy == "default"
    return BinaryAuthorization(default, "" if default else policy, breakglass)


def _execution_template(node: Node, problems: Problems) -> ExecutionTemplate:
    metadata = node.node("metadata")
    metadata.refuse("name", "namespace")
    # A whole job that was read and is sent back may bear what the server wrote here too.
    metadata.skip("creationTimestamp")
    labels = without(metadata.text_map("labels"), keys.SYSTEM_LABELS)
    annotations = without(metadata.text_map("annotations"), keys.SYSTEM_ANNOTATIONS)
    metadata.end()
    spec = node.node("spec")
    holder = spec.node("template")
    task = _task_template(holder.node("spec"), annotations, problems)
    template = ExecutionTemplate(
        template=task,
        parallelism=spec.whole("parallelism") or None,
        task_count=spec.whole("taskCount"),
        labels=labels,
        annotations=annotations,
    )
    holder.end()
    spec.end()
    node.end()
    return template


def _task_template(node: Node, annotations: StringMap, problems: Problems) -> TaskTemplate:
    """Takes what has a field of its own out of ``annotations``."""
    depends_on = read_dependencies(annotations, problems)
    seconds = node.whole("timeoutSeconds")
    template = TaskTemplate(
        containers=tuple(read_container(child, depends_on) for child in node.nodes("containers")),
        volumes=tuple(read_volume(child) for child in node.nodes("volumes")),
        max_retries=node.whole("maxRetries"),
        timeout=None if seconds is None else float(seconds),
        service_account=node.text("serviceAccountName"),
        execution_environment=annotations.pop(keys.EXECUTION_ENVIRONMENT, ""),
        encryption_key=annotations.pop(keys.ENCRYPTION_KEY, ""),
        vpc_access=read_vpc(annotations, problems),
        node_selector=node.text_map("nodeSelector"),
        gpu_zonal_redundancy_disabled=read_flag(annotations, keys.ZONAL, problems),
        secret_aliases=read_aliases(annotations, problems),
    )
    names = {container.name for container in template.containers}
    for name in depends_on:
        if name not in names:
            problems.add(
                f"{EXECUTION_METADATA}.annotations[{keys.DEPENDENCIES}]",
                f"'{name}' is not a container of this task",
            )
    node.end()
    return template
