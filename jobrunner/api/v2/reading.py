"""A v2 Job document as a spec. Everything that is wrong with it is found at once."""

from __future__ import annotations

from typing import NamedTuple

from jobrunner.api.v1.annotations import compact
from jobrunner.api.v2.containers import read_container, read_volume
from jobrunner.api.v2.enums import EGRESS, EXECUTION_ENVIRONMENT, LAUNCH_STAGE
from jobrunner.api.v2.keys import ACCELERATOR, BASE_IMAGES
from jobrunner.api.v2.refusing import JOB, all_of, invalid, refuse
from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.fields import v2_path
from jobrunner.core.label_rules import GOOGLE_NAMESPACES
from jobrunner.core.problems import Problems
from jobrunner.core.spec import (
    BinaryAuthorization,
    ExecutionTemplate,
    JobSpec,
    NetworkInterface,
    StringMap,
    TaskTemplate,
    VpcAccess,
)
from jobrunner.core.validation import validate_job

OUTPUT = (
    "uid",
    "generation",
    "createTime",
    "updateTime",
    "deleteTime",
    "expireTime",
    "creator",
    "lastModifier",
    "observedGeneration",
    "terminalCondition",
    "conditions",
    "executionCount",
    "latestCreatedExecution",
    "reconciling",
    "satisfiesPzs",
)
"""What the server writes. Clients send it back; it is not read."""
NAME = "metadata.name"
OF_SERVICES = (
    "scaling",
    "ingress",
    "invokerIamDisabled",
    "customAudiences",
    "defaultUriDisabled",
    "iapEnabled",
    "description",
)
OF_REVISIONS = (
    "sessionAffinity",
    "healthCheckDisabled",
    "encryptionKeyRevocationAction",
    "encryptionKeyShutdownDuration",
)


CREATE_REQUEST, UPDATE_REQUEST = "CreateJobRequest", "UpdateJobRequest"


class JobDocument(NamedTuple):
    """``etag`` is what the writer has seen, empty if it says nothing."""

    spec: JobSpec
    etag: str


def job_from_v2(name: str, document: object, *, request: str = CREATE_REQUEST) -> JobDocument:
    """Reads and validates the document of the job ``name``. Defaults are not filled in. ``request``
    is the message that bears it.

    Raises InvalidSpec with every violation: unknown names, wrong types, refused fields, broken
    rules. The name in the document is not read: the caller says what the job is called.
    """
    problems = Problems()
    root = Node(document, JOB, problems)
    root.skip("name", *OUTPUT)
    refuse(root, *OF_SERVICES)
    seen = root.text("etag")
    spec = _job_spec(root)
    root.end()

    def path(v1: str) -> str:
        if v1 == NAME and request == CREATE_REQUEST:
            return "job_id"
        return f"{JOB}.{v2_path(v1)}"

    found = all_of(problems.violations, validate_job(name, spec), path)
    if found:
        raise invalid(request, found)
    return JobDocument(spec, seen)


def _job_spec(node: Node) -> JobSpec:
    labels, annotations = _metadata(node)
    return JobSpec(
        labels=labels,
        annotations=annotations,
        client=node.text("client"),
        client_version=node.text("clientVersion"),
        launch_stage=LAUNCH_STAGE.read(node, "launchStage"),
        binary_authorization=_binary_authorization(node.node("binaryAuthorization")),
        template=_execution_template(node.node("template")),
        start_execution_token=node.text("startExecutionToken"),
        run_execution_token=node.text("runExecutionToken"),
    )


def _metadata(node: Node) -> tuple[StringMap, StringMap]:
    """Labels and annotations. What v1 keeps under Google's keys has fields of its own here."""
    annotations = node.text_map("annotations")
    for key in annotations:
        if key.startswith(GOOGLE_NAMESPACES):
            node.problems.add(
                f"{node.at('annotations')}[{key}]",
                f"annotations under {key.split('/')[0]}/ are not set in this version of the API;"
                " it has fields for them",
            )
    return node.text_map("labels"), annotations


def _binary_authorization(node: Node) -> BinaryAuthorization | None:
    authorization = BinaryAuthorization(
        node.flag("useDefault"), node.text("policy"), node.text("breakglassJustification")
    )
    if authorization.use_default and authorization.policy:
        node.problems.add(node.path, "it has useDefault and a policy; give one of them")
    node.end()
    return None if authorization == BinaryAuthorization() else authorization


def _execution_template(node: Node) -> ExecutionTemplate:
    refuse(node, *OF_REVISIONS)
    labels, annotations = _metadata(node)
    task = node.node("template")
    images = {
        container.text("name"): container.text("baseImageUri") for container in _containers(task)
    }
    images = {name: image for name, image in images.items() if image}
    template = ExecutionTemplate(
        template=_task_template(task),
        parallelism=node.whole("parallelism") or None,
        task_count=node.whole("taskCount") or None,
        labels=labels,
        annotations={**annotations, **({BASE_IMAGES: compact(images)} if images else {})},
    )
    node.end()
    return template


def _containers(task: Node) -> list[Node]:
    """Once more, for what is not part of a container in the spec; mistakes are found elsewhere."""
    return Node({"containers": task.raw("containers")}, "", Problems()).nodes("containers")


def _task_template(node: Node) -> TaskTemplate:
    selector = node.node("nodeSelector")
    accelerator = selector.text("accelerator")
    selector.end()
    template = TaskTemplate(
        containers=tuple(read_container(child) for child in node.nodes("containers")),
        volumes=tuple(read_volume(child) for child in node.nodes("volumes")),
        max_retries=node.whole("maxRetries"),
        timeout=read_duration(node, "timeout"),
        service_account=node.text("serviceAccount"),
        execution_environment=EXECUTION_ENVIRONMENT.read(node, "executionEnvironment"),
        encryption_key=node.text("encryptionKey"),
        vpc_access=_vpc(node.node("vpcAccess")),
        node_selector={ACCELERATOR: accelerator} if accelerator else {},
        gpu_zonal_redundancy_disabled=node.flag("gpuZonalRedundancyDisabled"),
    )
    node.end()
    return template


def _vpc(node: Node) -> VpcAccess | None:
    access = VpcAccess(
        node.text("connector"),
        EGRESS.read(node, "egress"),
        tuple(_interface(child) for child in node.nodes("networkInterfaces")),
    )
    node.end()
    return None if access == VpcAccess() else access


def _interface(node: Node) -> NetworkInterface:
    interface = NetworkInterface(node.text("network"), node.text("subnetwork"), node.texts("tags"))
    node.end()
    return interface
