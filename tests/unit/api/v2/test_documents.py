"""Jobs, executions and tasks as v2 documents: what is read, what is refused, what comes back."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.api.v1 import job_from_v1, job_to_v1
from jobrunner.api.v2 import (
    execution_to_v2,
    job_from_v2,
    job_to_v2,
    order_from_v2,
    task_to_v2,
)
from jobrunner.core.defaults import fill_defaults
from jobrunner.core.fields import FIELDS, Standing
from jobrunner.core.records import Abort, AbortKind, Counters, ExecutionRef, Job, Task
from jobrunner.core.spec import (
    BinaryAuthorization,
    CloudSqlVolume,
    Container,
    ContainerOverride,
    EmptyDirVolume,
    EnvVar,
    ExecutionTemplate,
    JobSpec,
    NetworkInterface,
    Overrides,
    SecretItem,
    SecretRef,
    SecretVolume,
    TaskTemplate,
    Volume,
    VolumeMount,
    VpcAccess,
)
from jobrunner.core.states import ExecutionState, TaskState
from jobrunner.errors import InvalidSpec
from jobrunner.store.documents import decode_spec, encode
from tests.support.stores import NOW, an_execution
from tests.unit.api.test_v1_jobs import specs

C = "job.template.template.containers[0]"
NOT_YET = "not supported yet by jobrunner: "


def minimal(**container: object) -> dict[str, Any]:
    return {"template": {"template": {"containers": [{"image": "busybox", **container}]}}}


def stored(spec: JobSpec, name: str = "small", **fields: Any) -> Job:
    given = {"project": "local", "region": "us-central1", "created_at": 1.5, "updated_at": 2.0}
    return Job(uid="u-1", name=name, spec=spec, **{**given, **fields})


def read(document: object) -> JobSpec:
    return job_from_v2("small", document).spec


def violations(document: object, name: str = "small") -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        job_from_v2(name, document)
    return {violation.field: violation.message for violation in caught.value.violations}


def put(document: Any, path: str, value: object) -> Any:
    """``path`` with dots and numbers: ``template.0.name``."""
    changed = copy.deepcopy(document)
    node: Any = changed
    *way, last = path.split(".")
    for part in way:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[int(last) if last.isdigit() else last] = value
    return changed


# ---------------------------------------------------------------- there and back


def as_v2_says(spec: JobSpec) -> JobSpec:
    """``spec`` without what v2 has no words for."""
    template = spec.template
    task = template.template
    containers = tuple(
        replace(
            one,
            ignored={},
            volume_mounts=tuple(replace(mount, read_only=False) for mount in one.volume_mounts),
        )
        for one in task.containers
    )
    volumes = tuple(
        replace(one, secret=replace(one.secret, optional=False)) if one.secret else one
        for one in task.volumes
    )
    task = replace(task, containers=containers, volumes=volumes, secret_aliases={})
    return replace(spec, template=replace(template, template=task))


@given(specs(), st.booleans())
def test_a_spec_survives_both_versions_and_the_store(spec: JobSpec, filled: bool) -> None:
    spec = as_v2_says(fill_defaults(spec) if filled else spec)
    document = job_to_v2(stored(spec))
    assert read(document) == spec
    through_v1 = job_from_v1(job_to_v1(stored(read(document)))).spec
    assert through_v1 == spec
    assert read(job_to_v2(stored(through_v1))) == spec
    assert decode_spec(encode(read(document))) == spec


EVERYTHING: dict[str, Any] = {
    "name": "projects/p/locations/r/jobs/j",
    "labels": {"team": "data"},
    "annotations": {"note": "x"},
    "client": "my-cli",
    "clientVersion": "1.0.0",
    "launchStage": "BETA",
    "binaryAuthorization": {"useDefault": True, "breakglassJustification": "ticket"},
    "startExecutionToken": "t1",
    "template": {
        "labels": {"run-kind": "nightly"},
        "annotations": {"jobrunner.dev/init": "true"},
        "parallelism": 5,
        "taskCount": 20,
        "template": {
            "maxRetries": 0,
            "timeout": "1800s",
            "serviceAccount": "runner@p.iam.gserviceaccount.com",
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            "encryptionKey": "projects/p/locations/l/keyRings/k/cryptoKeys/c",
            "vpcAccess": {
                "egress": "PRIVATE_RANGES_ONLY",
                "networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["t"]}],
            },
            "gpuZonalRedundancyDisabled": True,
            "containers": [
                {
                    "name": "main",
                    "image": "registry/team/report:1",
                    "command": ["python"],
                    "args": ["-m", "report"],
                    "workingDir": "/app",
                    "baseImageUri": "base/image",
                    "env": [
                        {"name": "MODE", "value": "full"},
                        {"name": "EMPTY", "value": ""},
                        {
                            "name": "KEY",
                            "valueSource": {
                                "secretKeyRef": {
                                    "secret": "projects/2/secrets/api-key",
                                    "version": "latest",
                                }
                            },
                        },
                    ],
                    "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
                    "volumeMounts": [
                        {"name": "creds", "mountPath": "/creds"},
                        {"name": "scratch", "mountPath": "/scratch"},
                        {"name": "cloudsql", "mountPath": "/cloudsql"},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "creds",
                    "secret": {
                        "secret": "db-creds",
                        "items": [{"path": "creds.json", "version": "3", "mode": 256}],
                        "defaultMode": 292,
                    },
                },
                {"name": "scratch", "emptyDir": {"medium": "MEMORY", "sizeLimit": "512Mi"}},
                {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:db1"]}},
            ],
        },
    },
}
CREDENTIALS = SecretItem("3", "creds.json", 256)
SPEC = JobSpec(
    labels={"team": "data"},
    annotations={"note": "x"},
    client="my-cli",
    client_version="1.0.0",
    launch_stage="BETA",
    binary_authorization=BinaryAuthorization(True, "", "ticket"),
    start_execution_token="t1",
    template=ExecutionTemplate(
        labels={"run-kind": "nightly"},
        annotations={
            "jobrunner.dev/init": "true",
            "run.googleapis.com/base-images": '{"main":"base/image"}',
        },
        parallelism=5,
        task_count=20,
        template=TaskTemplate(
            max_retries=0,
            timeout=1800.0,
            service_account="runner@p.iam.gserviceaccount.com",
            execution_environment="gen2",
            encryption_key="projects/p/locations/l/keyRings/k/cryptoKeys/c",
            vpc_access=VpcAccess("", "private-ranges-only", (NetworkInterface("n", "s", ("t",)),)),
            gpu_zonal_redundancy_disabled=True,
            containers=(
                Container(
                    name="main",
                    image="registry/team/report:1",
                    command=("python",),
                    args=("-m", "report"),
                    working_dir="/app",
                    env=(
                        EnvVar("MODE", "full"),
                        EnvVar("EMPTY", ""),
                        EnvVar("KEY", None, SecretRef("projects/2/secrets/api-key")),
                    ),
                    limits={"cpu": "2", "memory": "4Gi"},
                    volume_mounts=(
                        VolumeMount("creds", "/creds"),
                        VolumeMount("scratch", "/scratch"),
                        VolumeMount("cloudsql", "/cloudsql"),
                    ),
                ),
            ),
            volumes=(
                Volume("creds", SecretVolume("db-creds", (CREDENTIALS,), 292)),
                Volume("scratch", empty_dir=EmptyDirVolume("Memory", "512Mi")),
                Volume("cloudsql", cloud_sql=CloudSqlVolume(("p:r:db1",))),
            ),
        ),
    ),
)  # fmt: skip


def test_every_field_is_read_and_comes_back_as_it_was() -> None:
    assert read(EVERYTHING) == SPEC
    written = job_to_v2(stored(SPEC))
    assert {key: written[key] for key in EVERYTHING if key != "name"} == {
        key: value for key, value in EVERYTHING.items() if key != "name"
    }


def test_a_job_is_written_with_what_the_server_adds() -> None:
    spec = fill_defaults(read(minimal()))
    ended = ExecutionRef("small-abcde", 2.5, 3.0, ExecutionState.FAILED)
    job = stored(
        spec,
        generation=3,
        resource_version=1_746_090_000_123_456,
        creator="me",
        last_modifier="you",
        execution_count=4,
        latest_execution=ended,
    )
    assert job_to_v2(job) == {
        "name": "projects/local/locations/us-central1/jobs/small",
        "uid": "u-1",
        "generation": "3",
        "createTime": "1970-01-01T00:00:01.500000Z",
        "updateTime": "1970-01-01T00:00:02.000000Z",
        "creator": "me",
        "lastModifier": "you",
        "template": {
            "taskCount": 1,
            "template": {
                "containers": [
                    {
                        "name": "busybox-1",
                        "image": "busybox",
                        "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                    }
                ],
                "maxRetries": 3,
                "timeout": "600s",
                "serviceAccount": "1000000000001-compute@developer.gserviceaccount.com",
            },
        },
        "observedGeneration": "3",
        "terminalCondition": {
            "type": "Ready",
            "state": "CONDITION_SUCCEEDED",
            "lastTransitionTime": "1970-01-01T00:00:02.000000Z",
        },
        "executionCount": 4,
        "latestCreatedExecution": {
            "name": "small-abcde",
            "createTime": "1970-01-01T00:00:02.500000Z",
            "completionTime": "1970-01-01T00:00:03.000000Z",
            "completionStatus": "EXECUTION_FAILED",
        },
        "etag": '"BjQPQjQGQA"',
    }


def test_what_the_server_wrote_may_be_sent_back() -> None:
    spec = fill_defaults(read(minimal()))
    job = stored(spec, execution_count=1, latest_execution=ExecutionRef("small-abcde", 2.5))
    found = job_from_v2("small", job_to_v2(job))
    assert found.spec == spec
    assert found.etag == job_to_v2(job)["etag"]


def test_googles_own_labels_and_annotations_are_not_shown() -> None:
    spec = replace(
        read(minimal()),
        annotations={"run.googleapis.com/build-id": "1", "mine": "x"},
        template=replace(
            read(minimal()).template,
            labels={"client.knative.dev/nonce": "a"},
            annotations={"run.googleapis.com/client-name": "gcloud"},
        ),
    )
    written: Any = job_to_v2(stored(spec))
    assert written["annotations"] == {"mine": "x"}
    assert written["template"]["labels"] == {"client.knative.dev/nonce": "a"}
    assert "annotations" not in written["template"]


def test_what_v1_keeps_in_annotations_has_its_place_in_v2() -> None:
    secret = EnvVar("KEY", None, SecretRef("alias"))
    spec = read(minimal())
    task = replace(
        spec.template.template,
        containers=(Container(name="a", image="busybox", env=(secret,)),),
        secret_aliases={"alias": "projects/1/secrets/s"},
    )
    annotations = {"run.googleapis.com/cloudsql-instances": "p:r:a,p:r:b"}
    spec = replace(spec, template=replace(spec.template, template=task, annotations=annotations))
    written: Any = job_to_v2(stored(spec))
    inner = written["template"]["template"]
    assert inner["volumes"] == [
        {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:a", "p:r:b"]}}
    ]
    (container,) = inner["containers"]
    assert container["volumeMounts"] == [{"name": "cloudsql", "mountPath": "/cloudsql"}]
    assert container["env"] == [
        {
            "name": "KEY",
            "valueSource": {
                "secretKeyRef": {"secret": "projects/1/secrets/s", "version": "latest"}
            },
        }
    ]
    assert read(written).template.template.volumes[0].cloud_sql == CloudSqlVolume(
        ("p:r:a", "p:r:b")
    )


# ---------------------------------------------------------------- the rules of the JSON


@pytest.mark.parametrize(
    ("path", "value", "same_as"),
    [
        ("launchStage", 3, "BETA"),
        ("launchStage", 0, None),
        ("launchStage", "LAUNCH_STAGE_UNSPECIFIED", None),
        ("template.template.executionEnvironment", 1, "EXECUTION_ENVIRONMENT_GEN1"),
        ("template.template.vpcAccess", {"egress": 1}, {"egress": "ALL_TRAFFIC"}),
        ("template.taskCount", "7", 7),
        ("template.taskCount", 7.0, 7),
        ("template.taskCount", 0, None),
        ("template.parallelism", 0, None),
        ("template.template.timeout", "90.500s", "90.5s"),
        ("template.template.maxRetries", None, None),
        ("labels", None, {}),
        ("startExecutionToken", "", None),
        ("template.template.containers.0.args", None, []),
        ("template.template.containers.0.image", "busybox", "busybox"),
    ],
)
def test_the_forms_of_a_value_mean_the_same(path: str, value: object, same_as: object) -> None:
    assert read(put(minimal(), path, value)) == read(put(minimal(), path, same_as))


def test_no_retries_is_not_the_same_as_unset() -> None:
    spec = read(put(minimal(), "template.template.maxRetries", 0))
    assert spec.template.template.max_retries == 0
    written: Any = job_to_v2(stored(fill_defaults(spec)))
    assert written["template"]["template"]["maxRetries"] == 0


def test_a_fraction_of_a_second_is_kept() -> None:
    spec = read(put(minimal(), "template.template.timeout", "3.5s"))
    written: Any = job_to_v2(stored(spec))
    assert written["template"]["template"]["timeout"] == "3.5s"


def test_a_secret_without_a_version_is_the_latest() -> None:
    reference = {"secretKeyRef": {"secret": "s"}}
    spec = read(minimal(env=[{"name": "A", "valueSource": reference}]))
    assert spec.template.template.containers[0].env == (EnvVar("A", None, SecretRef("s")),)


# ---------------------------------------------------------------- what is refused

BAD: list[tuple[Any, str, str]] = [
    (put(minimal(), "colour", "red"), "job.colour",
     "Unknown name \"colour\" at 'job': Cannot find field."),
    (put(minimal(), "template.taskcount", 2), "job.template.taskcount",
     "Unknown name \"taskcount\" at 'job.template': Cannot find field."
     " Did you mean 'taskCount'?"),
    (put(minimal(), "launchStage", "GOLD"), "job.launchStage",
     "'GOLD' is not allowed here; allowed: GA, BETA, ALPHA, EARLY_ACCESS, PRELAUNCH, DEPRECATED,"
     " UNIMPLEMENTED"),
    (put(minimal(), "launchStage", 77), "job.launchStage",
     "77 is not allowed here; allowed: GA, BETA, ALPHA, EARLY_ACCESS, PRELAUNCH, DEPRECATED,"
     " UNIMPLEMENTED"),
    (put(minimal(), "template.template.timeout", 600), "job.template.template.timeout",
     '600 is not a duration; write seconds as text, such as "600s"'),
    (put(minimal(), "template.template.timeout", "0s"), "job.template.template.timeout",
     "0 s is out of range; allowed: 1 s to 604800 s (168 h)"),
    (put(minimal(), "template.taskCount", 10_001), "job.template.taskCount",
     "10001 is out of range; allowed: 1 to 10000"),
    (put(minimal(), "annotations", {"run.googleapis.com/client-name": "x"}),
     "job.annotations[run.googleapis.com/client-name]",
     "annotations under run.googleapis.com/ are not set in this version of the API; it has fields"
     " for them"),
    (put(minimal(), "template.labels", {"cloud.googleapis.com/location": "x"}),
     "job.template.labels[cloud.googleapis.com/location]",
     "labels under cloud.googleapis.com/ are set by the system"),
    (minimal(image="Not An Image"), f"{C}.image",
     "'Not An Image' is not an image; write it as NAME, NAME:TAG, HOST/PATH/NAME:TAG or"
     " NAME@sha256:DIGEST, with a lower-case name"),
    (minimal(resources={"limits": {"cpu": 2}}), f"{C}.resources.limits[cpu]",
     '2 is not text; write it in quotes: "2"'),
    (minimal(resources={"cpuIdle": True}), f"{C}.resources.cpuIdle",
     "not supported: it belongs to services, not to jobs"),
    (minimal(sourceCode={"cloudStorageSource": {}}), f"{C}.sourceCode",
     "not supported: build the image first and name it"),
    (minimal(startupProbe={"tcpSocket": {"port": 1}}), f"{C}.startupProbe", NOT_YET + "probes"),
    (put(minimal(), "template.template.nodeSelector", {"accelerator": "nvidia-l4"}),
     "job.template.template.nodeSelector", NOT_YET + "GPUs"),
    (put(minimal(), "template.template.volumes", [{"name": "b", "gcs": {"bucket": "x"}}]),
     "job.template.template.volumes[0].gcs",
     NOT_YET + "bucket volumes; for one machine see the annotation jobrunner.dev/host-mounts"),
    (put(minimal(), "ingress", "INGRESS_TRAFFIC_ALL"), "job.ingress",
     "not supported: it belongs to services, not to jobs"),
    (put(minimal(), "binaryAuthorization", {"useDefault": True, "policy": "p"}),
     "job.binaryAuthorization", "it has useDefault and a policy; give one of them"),
    ({**minimal(), "startExecutionToken": "a", "runExecutionToken": "b"}, "job.runExecutionToken",
     "a job has a start token or a run token, not both"),
    ([], "job", "a list is not an object"),
    ({}, "job.template.template.containers", "there is no container; a task needs one"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "field", "message"), BAD, ids=[row[1] for row in BAD])
def test_a_bad_document_is_answered_with_path_and_reason(
    document: object, field: str, message: str
) -> None:
    assert violations(document)[field] == message


def test_the_error_of_a_request_names_the_message_and_the_field() -> None:
    with pytest.raises(InvalidSpec) as caught:
        job_from_v2("small", put(minimal(), "template.taskCount", -1), request="UpdateJobRequest")
    assert caught.value.message == (
        "Violation in UpdateJobRequest.job.template.taskCount:"
        " -1 is out of range; allowed: 1 to 10000"
    )


def test_every_mistake_of_a_document_is_found() -> None:
    document = put(put(minimal(image=3), "labels", 5), "template.taskCount", "many")
    assert set(violations(document)) == {f"{C}.image", "job.labels", "job.template.taskCount"}


REFUSED = [
    field
    for field in FIELDS
    if field.resource == "Job" and field.v2 and field.standing is Standing.REFUSED
]
LISTS = ("dependsOn", "ports", "customAudiences", "containers[1]")


@pytest.mark.parametrize("field", REFUSED, ids=[field.v2 for field in REFUSED])
def test_every_field_of_the_refused_list_is_refused_by_its_reason(field: Any) -> None:
    last = field.v2.rsplit(".", 1)[-1]
    values: dict[str, object] = {
        "dependsOn": ["x"],
        "ports": [{"containerPort": 1}],
        "nodeSelector": {"accelerator": "a"},
        "gcs": {"bucket": "b"},
        "nfs": {"server": "s", "path": "/"},
        "cpuIdle": True,
        "startupCpuBoost": True,
        "startupProbe": {"grpc": {}},
        "livenessProbe": {"grpc": {}},
        "readinessProbe": {"grpc": {}},
        "minInstanceCount": 1,
    }
    base = put(minimal(), "template.template.volumes", [{"name": "v"}])
    if last == "containers[1]":
        document = put(base, "template.template.containers", [{"image": "a"}, {"image": "b"}])
    elif "[nvidia.com/gpu]" in field.v2:
        document = minimal(resources={"limits": {"nvidia.com/gpu": "1"}})
    else:
        path = field.v2.replace("[]", ".0")
        document = put(base, path, values.get(last, "x"))
    assert field.note in violations(document).values()


# ---------------------------------------------------------------- hostile documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = ["labels", "template", "template.template", "template.template.containers.0",
          "template.template.volumes", "launchStage", "template.template.timeout",
          "template.template.vpcAccess", "template.template.containers.0.env",
          "template.template.containers.0.resources", "binaryAuthorization"]  # fmt: skip


@given(JSON)
def test_any_json_is_a_job_or_invalid(value: object) -> None:
    with contextlib.suppress(InvalidSpec):
        job_from_v2("small", value)
    with contextlib.suppress(InvalidSpec):
        order_from_v2(value)


@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_is_a_job_or_invalid(place: str, value: object) -> None:
    with contextlib.suppress(InvalidSpec):
        job_from_v2("small", put(minimal(), place, value))


# ---------------------------------------------------------------- orders


def test_an_order_is_read() -> None:
    order = order_from_v2(
        {
            "overrides": {
                "taskCount": 3,
                "timeout": "900s",
                "containerOverrides": [
                    {"name": "main", "args": ["--quick"], "env": [{"name": "A", "value": "b"}]},
                    {"name": "other", "clearArgs": True},
                ],
            },
            "validateOnly": True,
            "etag": '"x"',
        }
    )
    assert order.overrides == Overrides(
        containers=(
            ContainerOverride("main", ("--quick",), False, (EnvVar("A", "b"),)),
            ContainerOverride("other", (), True),
        ),
        task_count=3,
        timeout=900.0,
    )
    assert order.validate_only
    assert order.etag == '"x"'


@pytest.mark.parametrize("body", [None, {}, {"overrides": {}}, {"overrides": None}, {"etag": ""}])
def test_an_empty_order_overrides_nothing(body: object) -> None:
    assert order_from_v2(body) == (None, False, "")


def test_a_misspelt_override_is_refused_in_the_words_of_the_request() -> None:
    with pytest.raises(InvalidSpec) as caught:
        order_from_v2({"overrides": {"tasks": 3}})
    assert caught.value.message.startswith("Violation in RunJobRequest.overrides.tasks: Unknown")


# ---------------------------------------------------------------- executions and tasks


def test_an_execution_that_was_just_opened_is_pending() -> None:
    execution = an_execution(
        labels={"team": "x"},
        annotations={"mine": "y", "run.googleapis.com/base-images": "{}"},
        resource_version=5,
    )
    assert execution_to_v2(execution) == {
        "name": "projects/local/locations/us-central1/jobs/job/executions/job-1",
        "uid": "uid-of-job-1",
        "creator": "me",
        "generation": "1",
        "labels": {"team": "x"},
        "annotations": {"mine": "y"},
        "createTime": "2025-06-15T15:06:40.000000Z",
        "updateTime": "2025-06-15T15:06:40.000000Z",
        "launchStage": "GA",
        "job": "job",
        "parallelism": 2,
        "taskCount": 3,
        "template": {"containers": [{"command": ["true"]}], "maxRetries": 2, "timeout": "60s"},
        "reconciling": True,
        "conditions": [
            {
                "type": "Started",
                "state": "CONDITION_PENDING",
                "message": "Waiting for execution to complete.",
                "lastTransitionTime": "2025-06-15T15:06:40.000000Z",
            },
            {
                "type": "Completed",
                "state": "CONDITION_PENDING",
                "message": "Waiting for execution to complete.",
                "lastTransitionTime": "2025-06-15T15:06:40.000000Z",
            },
            {
                "type": "ContainerReady",
                "state": "CONDITION_PENDING",
                "message": "Importing container image.",
                "lastTransitionTime": "2025-06-15T15:06:40.000000Z",
            },
            {
                "type": "ResourcesAvailable",
                "state": "CONDITION_PENDING",
                "message": "Provisioning imported containers.",
                "lastTransitionTime": "2025-06-15T15:06:40.000000Z",
            },
        ],
        "observedGeneration": "1",
        "etag": '"BQ"',
    }


def completed(**fields: Any) -> Any:
    document: Any = execution_to_v2(an_execution(**fields))
    (found,) = [one for one in document["conditions"] if one["type"] == "Completed"]
    return document, found


def test_a_failed_execution_says_why_and_counts() -> None:
    document, condition = completed(
        state=ExecutionState.FAILED,
        started_at=NOW + 1,
        completed_at=NOW + 9,
        reason="NonZeroExitCode",
        message="Task job-1-task0 failed",
        counters=Counters(succeeded=1, failed=2, retried=1),
    )
    assert condition["state"] == "CONDITION_FAILED"
    assert condition["executionReason"] == "NON_ZERO_EXIT_CODE"
    assert "reason" not in condition
    assert "reconciling" not in document
    assert "runningCount" not in document
    assert (document["succeededCount"], document["failedCount"]) == (1, 2)
    assert document["updateTime"] == document["completionTime"] == "2025-06-15T15:06:49.000000Z"


def test_an_execution_that_is_being_cancelled_is_reconciling() -> None:
    document, condition = completed(
        state=ExecutionState.STOPPING, started_at=NOW, abort=Abort(AbortKind.CANCEL, NOW)
    )
    assert condition["state"] == "CONDITION_RECONCILING"
    assert condition["executionReason"] == "CANCELLING"
    assert document["reconciling"] is True


@pytest.mark.parametrize(
    ("reason", "member", "name"),
    [
        ("Cancelled", "executionReason", "CANCELLED"),
        ("ContainerMissing", "reason", "CONTAINER_MISSING"),
        ("SecretsAccessCheckFailed", "reason", "SECRETS_ACCESS_CHECK_FAILED"),
        ("Lost", "reason", "INTERNAL"),
        ("CommandMissing", "reason", "UNKNOWN"),
    ],
)
def test_a_reason_is_one_that_google_knows(reason: str, member: str, name: str) -> None:
    _, condition = completed(state=ExecutionState.FAILED, completed_at=NOW, reason=reason)
    assert condition[member] == name


def test_the_first_task_has_no_index_and_its_names_are_short() -> None:
    execution = an_execution()
    document: Any = task_to_v2(Task(execution.uid, 0), execution)
    assert document["name"].endswith("/jobs/job/executions/job-1/tasks/job-1-task0")
    assert (document["job"], document["execution"]) == ("job", "job-1")
    assert "index" not in document
    assert "retried" not in document
    assert "lastAttemptResult" not in document
    assert [one["state"] for one in document["conditions"]] == ["CONDITION_PENDING"] * 2


def test_a_task_that_was_killed_shows_the_signal() -> None:
    execution = an_execution()
    task = Task(
        execution.uid,
        2,
        TaskState.FAILED,
        attempts=3,
        started_at=NOW,
        completed_at=NOW + 1,
        reason="NonZeroExitCode",
        message="The container exited with an error.",
        signal=9,
    )
    document: Any = task_to_v2(task, execution)
    assert document["index"] == 2
    assert document["retried"] == 2
    assert document["lastAttemptResult"] == {
        "status": {"code": 10, "message": "The container exited with an error."},
        "termSignal": 9,
    }


def test_a_task_that_succeeded_has_an_empty_status() -> None:
    execution = an_execution()
    task = Task(execution.uid, 1, TaskState.SUCCEEDED, 1, started_at=NOW, completed_at=NOW)
    document: Any = task_to_v2(task, execution)
    assert document["lastAttemptResult"] == {"status": {}}
