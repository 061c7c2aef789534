"""Jobs as v1 documents: what is read, what is refused, what comes back."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.api.v1 import (
    export_v1,
    job_from_v1,
    job_to_v1,
    overrides_from_v1,
    seen_version,
    unfit_for_cloud_run,
)
from jobrunner.core.defaults import fill_defaults
from jobrunner.core.fields import FIELDS, Standing
from jobrunner.core.records import ExecutionRef, Job
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
from jobrunner.core.states import ExecutionState
from jobrunner.errors import InvalidSpec

DATA = Path(__file__).with_name("data")
C = "spec.template.spec.template.spec.containers[0]"
NOT_YET = "not supported yet by jobrunner: "


def load(name: str) -> Any:
    return yaml.safe_load((DATA / name).read_text())


def minimal(**container: object) -> dict[str, Any]:
    inner = {"containers": [{"image": "busybox", **container}]}
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": "small"},
        "spec": {"template": {"spec": {"template": {"spec": inner}}}},
    }


def stored(spec: JobSpec, name: str = "small", **fields: Any) -> Job:
    given = {"project": "local", "region": "us-central1", "created_at": 1.5, "updated_at": 2.0}
    return Job(uid="u-1", name=name, spec=spec, **{**given, **fields})


def violations(document: object) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        job_from_v1(document)
    return {violation.field: violation.message for violation in caught.value.violations}


def put(document: Any, path: str, value: object) -> Any:
    """``path`` with dots and numbers: ``spec.template.0.name``."""
    changed = copy.deepcopy(document)
    node: Any = changed
    *way, last = path.split(".")
    for part in way:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[int(last) if last.isdigit() else last] = value
    return changed


INNER = "spec.template.spec.template.spec"


# ---------------------------------------------------------------- whole documents


def test_the_sample_with_every_field_names_exactly_the_refused_ones() -> None:
    assert violations(load("every-field.yaml")) == {
        "spec.template.metadata.annotations[run.googleapis.com/container-dependencies]": NOT_YET
        + "more than one container (sidecars)",
        f"{INNER}.containers": NOT_YET + "more than one container (sidecars)",
        f"{C}.volumeMounts[1].subPath": NOT_YET + "mounting a part of a volume",
        f"{INNER}.containers[1].startupProbe": NOT_YET + "probes",
        f"{INNER}.volumes[2].csi.volumeAttributes.bucketName": NOT_YET
        + "bucket volumes; for one machine see the annotation jobrunner.dev/host-mounts",
        f"{INNER}.volumes[3].nfs": NOT_YET
        + "NFS volumes; for one machine see the annotation jobrunner.dev/host-mounts",
    }


def without_refused(document: Any) -> Any:
    template = document["spec"]["template"]
    del template["metadata"]["annotations"]["run.googleapis.com/container-dependencies"]
    task = template["spec"]["template"]["spec"]
    task["containers"] = task["containers"][:1]
    mounts = task["containers"][0]["volumeMounts"]
    task["containers"][0]["volumeMounts"] = [mounts[0], {"name": "scratch", "mountPath": "/s"}]
    task["volumes"] = task["volumes"][:2]
    return document


def test_the_rest_of_the_sample_is_read_field_by_field_and_warned_about_once() -> None:
    found = job_from_v1(without_refused(load("every-field.yaml")))
    assert (found.name, found.namespace) == ("nightly-report", "123456789012")
    assert found.spec == JobSpec(
        labels={"team": "data"},
        client="my-cli",
        client_version="1.0.0",
        launch_stage="BETA",
        binary_authorization=BinaryAuthorization(True, "", "ticket 4711"),
        template=ExecutionTemplate(
            parallelism=5,
            task_count=20,
            labels={"run-kind": "nightly", "client.knative.dev/nonce": "able_green_fox"},
            annotations={"run.googleapis.com/cloudsql-instances": "my-proj:us-central1:db1"},
            template=TaskTemplate(
                max_retries=3,
                timeout=1800.0,
                service_account="runner@my-proj.iam.gserviceaccount.com",
                execution_environment="gen2",
                encryption_key="projects/my-proj/locations/us-central1/keyRings/kr/cryptoKeys/k",
                vpc_access=VpcAccess(
                    "", "private-ranges-only", (NetworkInterface("net1", "sub1", ("batch",)),)
                ),
                secret_aliases={"shared-key": "projects/210987654321/secrets/api-key"},
                containers=(
                    Container(
                        name="main",
                        image="REGISTRY/team/report@sha256:" + "0" * 64,
                        command=("python",),
                        args=("-m", "report", "--full"),
                        working_dir="/app",
                        env=(
                            EnvVar("MODE", "full"),
                            EnvVar("API_KEY", secret=SecretRef("shared-key")),
                        ),
                        limits={"cpu": "2", "memory": "4Gi"},
                        volume_mounts=(
                            VolumeMount("creds", "/secrets/creds"),
                            VolumeMount("scratch", "/s"),
                        ),
                    ),
                ),
                volumes=(
                    Volume(
                        "creds",
                        secret=SecretVolume(
                            "db-creds", (SecretItem("3", "creds.json", 0o400),), 0o444
                        ),
                    ),
                    Volume("scratch", empty_dir=EmptyDirVolume("Memory", "512Mi")),
                ),
            ),
        ),
    )
    (warning,) = found.warnings
    assert warning == (
        "Stored and returned, but without effect here: run.googleapis.com/launch-stage,"
        " run.googleapis.com/binary-authorization, run.googleapis.com/cloudsql-instances,"
        " run.googleapis.com/encryption-key, run.googleapis.com/vpc-access-egress,"
        " run.googleapis.com/network-interfaces, serviceAccountName."
    )


def test_what_gcloud_exported_applies_and_exports_unchanged() -> None:
    document = load("exported.yaml")
    found = job_from_v1(document)
    job = stored(fill_defaults(found.spec), found.name, region="europe-west1")
    for key in ("creator", "lastModifier"):
        del document["metadata"]["annotations"][f"run.googleapis.com/{key}"]
    del document["metadata"]["labels"]["run.googleapis.com/lastUpdatedTime"]
    assert export_v1(job, namespace=found.namespace) == document


def test_an_export_leaves_out_what_belongs_to_one_deployment() -> None:
    spec = JobSpec(
        client="gcloud",
        client_version="1",
        annotations={"note": "x"},
        template=job_from_v1(minimal()).spec.template,
    )
    job = stored(spec, creator="me", last_modifier="you", generation=4, execution_count=2)
    document = export_v1(job)
    assert document["metadata"] == {
        "name": "small",
        "labels": {"cloud.googleapis.com/location": "us-central1"},
        "annotations": {"note": "x"},
    }
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert unfit_for_cloud_run(job) == []


def test_a_job_without_an_image_is_exported_with_a_word_of_warning() -> None:
    spec = fill_defaults(job_from_v1(minimal(image=None, command=["./work.sh"])).spec)
    assert unfit_for_cloud_run(stored(spec)) == [
        "Container 'work-sh-1' has no image: Cloud Run needs one."
    ]


def test_a_job_is_written_with_what_the_server_adds() -> None:
    job = stored(
        fill_defaults(job_from_v1(minimal()).spec),
        generation=2,
        resource_version=77,
        creator="me@example.com",
        last_modifier="you@example.com",
        execution_count=3,
        latest_execution=ExecutionRef("small-abcde", 5.0, 6.25, ExecutionState.CANCELLED),
    )
    assert job_to_v1(job) == {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": "small",
            "namespace": "1000000000001",
            "selfLink": "/apis/run.googleapis.com/v1/namespaces/1000000000001/jobs/small",
            "uid": "u-1",
            "resourceVersion": "77",
            "generation": 2,
            "creationTimestamp": "1970-01-01T00:00:01.500000Z",
            "labels": {
                "cloud.googleapis.com/location": "us-central1",
                "run.googleapis.com/lastUpdatedTime": "1970-01-01T00:00:02.000000Z",
            },
            "annotations": {
                "run.googleapis.com/creator": "me@example.com",
                "run.googleapis.com/lastModifier": "you@example.com",
            },
        },
        "spec": {
            "template": {
                # Always there: gcloud looks into it.
                "metadata": {},
                "spec": {
                    "taskCount": 1,
                    "template": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "busybox-1",
                                    "image": "busybox",
                                    "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                                }
                            ],
                            "maxRetries": 3,
                            "timeoutSeconds": "600",
                            "serviceAccountName": (
                                "1000000000001-compute@developer.gserviceaccount.com"
                            ),
                        }
                    },
                },
            }
        },
        "status": {
            "observedGeneration": 2,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "lastTransitionTime": "1970-01-01T00:00:02.000000Z",
                }
            ],
            "executionCount": 3,
            "latestCreatedExecution": {
                "name": "small-abcde",
                "creationTimestamp": "1970-01-01T00:00:05.000000Z",
                "completionTimestamp": "1970-01-01T00:00:06.250000Z",
                "completionStatus": "EXECUTION_CANCELLED",
            },
        },
    }


def test_what_the_server_wrote_may_be_sent_back() -> None:
    job = stored(fill_defaults(job_from_v1(minimal()).spec), creator="me", last_modifier="you")
    document: Any = json.loads(json.dumps(job_to_v1(job)))
    # gcloud copies the labels of a job to its template before it sends the whole back.
    document["spec"]["template"]["metadata"] = {"labels": document["metadata"]["labels"]}
    found = job_from_v1(document)
    assert found.spec == job.spec
    assert seen_version(document) == str(job.resource_version)


def test_the_body_that_gcloud_sends_to_create_a_job_is_read() -> None:
    body = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": "j1",
            "namespace": "demo",
            "labels": {},
            "annotations": {"run.googleapis.com/client-name": "gcloud"},
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"client.knative.dev/nonce": "qan_wos_hit"}},
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "",
                                    "image": "busybox:latest",
                                    "resources": {"limits": {"cpu": "1"}, "requests": {}},
                                }
                            ],
                            "maxRetries": 0,
                            "nodeSelector": {},
                            "timeoutSeconds": "30",
                        }
                    }
                },
            }
        },
        "status": {"latestCreatedExecution": {}},
    }
    found = job_from_v1(body)
    assert (found.namespace, found.warnings) == ("demo", ())
    assert found.spec.template.template.max_retries == 0
    assert found.spec.template.template.timeout == 30.0


# ---------------------------------------------------------------- one thing at a time


@pytest.mark.parametrize("namespace", ["my-proj", "123456789012", 123456789012])
def test_a_namespace_is_an_id_or_a_number(namespace: object) -> None:
    assert job_from_v1(put(minimal(), "metadata.namespace", namespace)).namespace == str(namespace)


@pytest.mark.parametrize("value", [90, "90", 90.0])
def test_a_64_bit_number_is_read_in_either_form_and_written_as_text(value: object) -> None:
    found = job_from_v1(put(minimal(), f"{INNER}.timeoutSeconds", value))
    assert found.spec.template.template.timeout == 90.0
    shown: Any = export_v1(stored(found.spec))
    assert shown["spec"]["template"]["spec"]["template"]["spec"]["timeoutSeconds"] == "90"


def test_no_retries_is_not_the_same_as_unset() -> None:
    none = job_from_v1(put(minimal(), f"{INNER}.maxRetries", 0)).spec
    unset = job_from_v1(minimal()).spec
    assert none.template.template.max_retries == 0
    assert unset.template.template.max_retries is None


def test_plain_numbers_of_limits_are_taken_as_their_text() -> None:
    found = job_from_v1(minimal(resources={"limits": {"cpu": 1, "memory": "1Gi"}}))
    assert found.spec.template.template.containers[0].limits == {"cpu": "1", "memory": "1Gi"}


def test_fields_that_nothing_reads_come_back_as_they_were() -> None:
    extra = {"imagePullPolicy": "Always", "securityContext": {"runAsUser": 5}}
    found = job_from_v1(minimal(**extra, resources={"requests": {"cpu": 1}}))
    assert found.warnings == (
        "Stored and returned, but without effect here: imagePullPolicy, securityContext,"
        " resources.requests.",
    )
    shown: Any = export_v1(stored(found.spec))
    container = shown["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]
    assert container == {"image": "busybox", **extra, "resources": {"requests": {"cpu": "1"}}}


UNKNOWN = "Unknown name"
BAD: list[tuple[Any, str, str]] = [
    ([], "document", "a list is not an object"),
    ("text", "document", "'text' is not an object"),
    (put(minimal(), "kind", "Service"), "kind", "'Service' is not allowed here; allowed: Job"),
    (put(minimal(), "kind", None), "kind", "it is missing; write Job"),
    (put(minimal(), "apiVersion", "v1"), "apiVersion",
     "'v1' is not allowed here; allowed: run.googleapis.com/v1"),
    (put(minimal(), "metadata.name", None), "metadata.name", "'' is not a job name; allowed: 1 to"),
    (put(minimal(), "metadata.name", 5), "metadata.name",
     '5 is not text; write it in quotes: "5"'),
    (put(minimal(), "metadata.namespace", True), "metadata.namespace",
     'true is not text; write it in quotes: "true"'),
    (put(minimal(), "metadata.labels", {"a": True}), "metadata.labels[a]",
     'true is not text; write it in quotes: "true"'),
    (put(minimal(), "metadata.labels", {1: "a"}), "metadata.labels[1]",
     '1 is not a key; keys are text; write it in quotes: "1"'),
    (put(minimal(), "spec", None), f"{INNER}.containers",
     "there is no container; a task needs one"),
    (put(minimal(), "spec.template", "x"), "spec.template", "'x' is not an object"),
    (put(minimal(), "spec.templates", {}), "spec.templates",
     "Unknown name \"templates\" at 'spec': Cannot find field. Did you mean 'template'?"),
    (put(minimal(), "spec.template.spec.tasks", 3), "spec.template.spec.tasks",
     "Unknown name \"tasks\" at 'spec.template.spec': Cannot find field."),
    (put(minimal(), "specs", {}), "specs",
     "Unknown name \"specs\" at '': Cannot find field. Did you mean 'spec'?"),
    (put(minimal(), "spec.template.spec.template.metadata", {}),
     "spec.template.spec.template.metadata",
     "Unknown name \"metadata\" at 'spec.template.spec.template': Cannot find field."),
    (put(minimal(), f"{INNER}.maxRetries", "many"), f"{INNER}.maxRetries",
     "'many' is not a whole number"),
    (put(minimal(), f"{INNER}.maxRetries", 1.5), f"{INNER}.maxRetries",
     "1.5 is not a whole number"),
    (put(minimal(), f"{INNER}.maxRetries", True), f"{INNER}.maxRetries",
     "true is not a whole number"),
    (put(minimal(), f"{INNER}.timeoutSeconds", "600s"), f"{INNER}.timeoutSeconds",
     "'600s' is not a whole number"),
    (put(minimal(), f"{INNER}.containers", {}), f"{INNER}.containers", "an object is not a list"),
    (put(minimal(), f"{INNER}.containers", [None]), f"{INNER}.containers[0]",
     "null is not an object"),
    (minimal(args="echo"), f"{C}.args", "'echo' is not a list"),
    (minimal(args=["-n", 5]), f"{C}.args[1]", '5 is not text; write it in quotes: "5"'),
    (minimal(env={"A": "1"}), f"{C}.env", "an object is not a list"),
    (minimal(env=[{"name": "PIN", "value": 1234}]), f"{C}.env[0].value",
     "it is not text; write it in quotes"),
    (minimal(env=[{"name": "A", "valu": "1"}]), f"{C}.env[0].valu",
     f"Unknown name \"valu\" at '{C}.env[0]': Cannot find field. Did you mean 'value'?"),
    (minimal(envFrom=[{"configMapRef": {}}]), f"{C}.envFrom",
     "not supported: Cloud Run has no config maps"),
    (minimal(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a"}}}]),
     f"{C}.env[0].valueFrom.configMapKeyRef", "not supported: Cloud Run has no config maps"),
    (minimal(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "optional": True}}}]),
     f"{C}.env[0].valueFrom.secretKeyRef.optional",
     NOT_YET + "variables whose secret may be missing"),
    (minimal(ports=[{"containerPort": 8080}]), f"{C}.ports",
     "not supported: a job serves no requests"),
    (minimal(livenessProbe={"httpGet": {}}), f"{C}.livenessProbe", NOT_YET + "probes"),
    (put(minimal(), f"{INNER}.volumes", [{"name": "a", "configMap": {"name": "x"}}]),
     f"{INNER}.volumes[0].configMap", "not supported: Cloud Run has no config maps"),
    (put(minimal(), f"{INNER}.volumes", [{"name": "a", "csi": {"driver": "other"}}]),
     f"{INNER}.volumes[0].csi.driver",
     "'other' is not a driver; allowed: cloudsql.run.googleapis.com"),
    (put(minimal(), f"{INNER}.nodeSelector", {"run.googleapis.com/accelerator": "nvidia-l4"}),
     f"{INNER}.nodeSelector", NOT_YET + "GPUs"),
    (put(minimal(), "metadata.generateName", "x-"), "metadata.generateName",
     "not supported: Cloud Run does not read it"),
    (put(minimal(), "spec.template.metadata.name", "x"), "spec.template.metadata.name",
     "not supported: Cloud Run does not read it"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "field", "message"), BAD, ids=[row[1] for row in BAD])
def test_a_bad_document_is_answered_with_path_and_reason(
    document: object, field: str, message: str
) -> None:
    found = violations(document)
    assert field in found
    assert found[field].startswith(message)
    if isinstance(document, dict):
        assert len(found) == 1, found


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network-interfaces", "{", "it is not JSON; write it as"),
        ("network-interfaces", "3", "3 is not a list"),
        ("network-interfaces", '[{"net":"a"}]', 'Unknown name "net"'),
        ("container-dependencies", "[]", "a list is not an object"),
        ("container-dependencies", '{"x":["y"]}', "'x' is not a container of this task"),
        ("secrets", "alias", "'alias' is not an alias; write ALIAS:projects/NUMBER/secrets/NAME"),
        ("gpu-zonal-redundancy-disabled", "maybe", "'maybe' is not allowed"),
        ("execution-environment", "gen9", "'gen9' is not an execution environment"),
        ("vpc-access-conector", "c", "is not an annotation of this part of a job; did you mean"),
    ],
)
def test_settings_in_annotations_are_checked_too(key: str, value: str, message: str) -> None:
    annotations = {f"run.googleapis.com/{key}": value}
    found = violations(put(minimal(), "spec.template.metadata.annotations", annotations))
    assert any(message in text for text in found.values()), found


def test_a_private_value_is_never_part_of_a_message() -> None:
    for text in violations(minimal(env=[{"name": "PIN", "value": 90210}])).values():
        assert "90210" not in text


def test_every_mistake_of_a_document_is_found() -> None:
    document = put(minimal(args=[1], imagee="x"), "spec.template.spec.taskCount", 0)
    document = put(document, "metadata.name", "Bad")
    assert set(violations(document)) == {
        f"{C}.args[0]",
        f"{C}.imagee",
        "spec.template.spec.taskCount",
        "metadata.name",
    }


@pytest.mark.parametrize(
    "field",
    [
        field
        for field in FIELDS
        if field.resource == "Job"
        and field.v1
        and field.standing is Standing.REFUSED
        and "containers[1]" not in field.v1
    ],
    ids=lambda field: field.v1,
)
def test_every_field_of_the_refused_list_is_refused_by_its_reason(field: Any) -> None:
    value: dict[str, Any] = {
        "container-dependencies]": '{"":["b"]}',
        "containers[].ports": [{"containerPort": 1}],
        "nodeSelector": {"a": "b"},
        "csi.volumeAttributes.bucketName": "b",
        "limits[nvidia.com/gpu]": "1",
        "finalizers": ["f"],
        "ownerReferences": [{}],
        "Probe": {"tcpSocket": {}},
        "nfs": {"server": "h", "path": "/p"},
        "configMap": {"name": "m"},
        "configMapKeyRef": {"name": "m"},
        "envFrom": [{}],
        "optional": True,
        "localObjectReference": {"name": "s"},
        "deletionGracePeriodSeconds": 5,
    }
    shown = next((v for end, v in value.items() if field.v1.endswith(end)), "x")
    document = minimal(
        env=[{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    driver = {"csi": {"driver": "gcsfuse.run.googleapis.com"}}
    kind = driver if "csi" in field.v1 else {"emptyDir": {}}
    document = put(document, f"{INNER}.volumes", [{"name": "v", **kind}])
    path = field.v1.replace("[]", ".0")
    if "[" in path:
        path, _, key = path.partition("[")
        document = put(document, path, {key.rstrip("]"): shown})
    else:
        document = put(document, path, shown)
    found = violations(document)
    assert found[field.v1.replace("[]", "[0]")] == field.note


# ---------------------------------------------------------------- overrides


def test_overrides_are_read() -> None:
    body = {
        "overrides": {
            "taskCount": 3,
            "timeoutSeconds": 900,
            "containerOverrides": [
                {"name": "main", "args": ["--quick"], "env": [{"name": "MODE", "value": "quick"}]},
                {"clearArgs": True},
            ],
        }
    }
    assert overrides_from_v1(body) == Overrides(
        (
            ContainerOverride("main", ("--quick",), env=(EnvVar("MODE", "quick"),)),
            ContainerOverride(clear_args=True),
        ),
        3,
        900.0,
    )


@pytest.mark.parametrize("body", [None, {}, {"overrides": {}}, {"overrides": None}])
def test_an_empty_order_overrides_nothing(body: object) -> None:
    assert overrides_from_v1(body) is None


def test_a_misspelt_override_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="Did you mean 'taskCount'"):
        overrides_from_v1({"overrides": {"taskcount": 3}})


# ---------------------------------------------------------------- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
KEYS = sorted(
    {part.rstrip("[]") for field in FIELDS for part in field.v1.split(".") if "[r" not in part}
    | {"metadata", "spec", "template", "containers", "env", "valueFrom", "secretKeyRef"}
)
SHAPED = st.recursive(
    JSON,
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4) | st.lists(inner, max_size=2)
    ),
    max_leaves=12,
)


@given(JSON | SHAPED)
def test_any_json_is_a_job_or_invalid(value: object) -> None:
    for read in (job_from_v1, overrides_from_v1):
        try:
            read(value)
        except InvalidSpec as error:
            assert all(violation.message for violation in error.violations)  # noqa: PT017


@given(st.sampled_from(["metadata", "spec.template.metadata", INNER, f"{INNER}.containers.0"]),
       st.sampled_from(KEYS), SHAPED)  # fmt: skip
def test_any_value_anywhere_is_a_job_or_invalid(place: str, key: str, value: object) -> None:
    document = put(minimal(), f"{place}.{key}", value)
    try:
        found = job_from_v1(document)
    except InvalidSpec:
        return
    assert job_from_v1(export_v1(stored(found.spec, found.name))).spec == found.spec


# ---------------------------------------------------------------- there and back

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
WORDS = st.lists(TEXTS, max_size=3).map(tuple)
LABELS = st.dictionaries(NAMES, NAMES, max_size=2)
ENV = st.one_of(
    st.builds(EnvVar, NAMES, TEXTS),
    st.builds(
        lambda name, secret, version: EnvVar(f"S_{name}", secret=SecretRef(secret, version)),
        NAMES,
        NAMES,
        st.sampled_from(["latest", "1", "42"]),
    ),
)
VOLUMES = st.one_of(
    st.builds(
        lambda name, items, mode, optional: Volume(
            f"s-{name}", secret=SecretVolume(name, tuple(items), mode, optional)
        ),
        NAMES,
        st.lists(
            st.builds(SecretItem, st.just("3"), NAMES, st.none() | st.integers(1, 511)),
            max_size=2,
            unique_by=lambda item: item.path,
        ),
        st.none() | st.integers(1, 511),
        st.booleans(),
    ),
    st.builds(
        lambda name, size: Volume(f"e-{name}", empty_dir=EmptyDirVolume("Memory", size)),
        NAMES,
        st.sampled_from([None, "1Mi", "2Gi"]),
    ),
    st.just(Volume("cloudsql", cloud_sql=CloudSqlVolume(("a:b:c", "d:e:f")))),
)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    volumes = draw(st.lists(VOLUMES, max_size=3, unique_by=lambda volume: volume.name))
    container = Container(
        name=draw(st.just("") | NAMES),
        image=draw(st.sampled_from(["busybox", "localhost:5000/a/b:1"])),
        command=draw(st.just(()) | st.just(("run",))),
        args=draw(WORDS),
        env=tuple(draw(st.lists(ENV, max_size=3, unique_by=lambda variable: variable.name))),
        limits=draw(st.sampled_from([{}, {"cpu": "1"}, {"cpu": "500m", "memory": "1Gi"}])),
        working_dir=draw(st.sampled_from([None, "/app"])),
        volume_mounts=tuple(
            VolumeMount(volume.name, f"/mnt/{volume.name}", read_only=draw(st.booleans()))
            for volume in volumes
        ),
        ignored=draw(st.sampled_from([{}, {"imagePullPolicy": "Always"}])),
    )
    vpc = draw(
        st.sampled_from(
            [
                None,
                VpcAccess("connector"),
                VpcAccess("", "all-traffic", (NetworkInterface("n", "s", ("a", "b")),)),
            ]
        )
    )
    return JobSpec(
        labels=draw(LABELS),
        annotations=draw(st.dictionaries(NAMES, TEXTS, max_size=2)),
        launch_stage=draw(st.sampled_from(["", "GA", "BETA"])),
        binary_authorization=draw(
            st.sampled_from([None, BinaryAuthorization(True), BinaryAuthorization(False, "p", "b")])
        ),
        template=ExecutionTemplate(
            parallelism=draw(st.none() | st.integers(1, 10_000)),
            task_count=draw(st.none() | st.integers(1, 10_000)),
            labels=draw(LABELS),
            annotations=draw(st.sampled_from([{}, {"jobrunner.dev/init": "true"}])),
            template=TaskTemplate(
                containers=(container,),
                volumes=tuple(volumes),
                max_retries=draw(st.none() | st.integers(0, 10)),
                timeout=draw(st.none() | st.integers(1, 604_800).map(float)),
                service_account=draw(st.sampled_from(["", "me@example.com"])),
                execution_environment=draw(st.sampled_from(["", "gen1", "gen2"])),
                encryption_key=draw(st.sampled_from(["", "k"])),
                vpc_access=vpc,
                gpu_zonal_redundancy_disabled=draw(st.booleans()),
                secret_aliases=draw(st.sampled_from([{}, {"a": "projects/1/secrets/s"}])),
            ),
        ),
    )


@given(specs(), st.booleans())
def test_a_spec_survives_being_written_and_read(spec: JobSpec, filled: bool) -> None:
    given_spec = fill_defaults(spec) if filled else spec
    job = stored(given_spec)
    back = job_from_v1(json.loads(json.dumps(job_to_v1(job)))).spec
    assert back == given_spec
    exported = job_from_v1(json.loads(json.dumps(export_v1(job)))).spec
    # A service account that nobody chose is not exported, and filled in again.
    assert (fill_defaults(exported) if filled else exported) == given_spec
