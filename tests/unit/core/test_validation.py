"""Which jobs are allowed, and what is said about the others: every mistake, with its path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobrunner.core.defaults import fill_defaults
from jobrunner.core.env_rules import NO_TEXT
from jobrunner.core.notices import notices
from jobrunner.core.spec import (
    CloudSqlVolume,
    Container,
    ContainerOverride,
    ContainerPort,
    EmptyDirVolume,
    EnvVar,
    ExecutionTemplate,
    GcsVolume,
    JobSpec,
    NetworkInterface,
    NfsVolume,
    Overrides,
    SecretItem,
    SecretRef,
    SecretVolume,
    TaskTemplate,
    Volume,
    VolumeMount,
    VpcAccess,
)
from jobrunner.core.validation import validate_job, validate_overrides

TASK = "spec.template.spec.template.spec"
C = f"{TASK}.containers[0]"
V = f"{TASK}.volumes"
EA = "spec.template.metadata.annotations"
NOT_YET = "not supported yet by jobrunner: "


def job(
    container: Container | None = None,
    task: dict[str, Any] | None = None,
    execution: dict[str, Any] | None = None,
    **spec: Any,
) -> JobSpec:
    containers = (container or Container(image="busybox", command=("true",)),)
    template = TaskTemplate(**{"containers": containers, **(task or {})})
    return JobSpec(template=ExecutionTemplate(template=template, **(execution or {})), **spec)


def image(**fields: Any) -> Container:
    return Container(image="busybox", **fields)


def secrets(*volumes: Volume) -> dict[str, Any]:
    return {"volumes": volumes}


def mounted(*mounts: VolumeMount, volumes: tuple[Volume, ...] = ()) -> JobSpec:
    return job(image(volume_mounts=mounts), task={"volumes": volumes})


MEMORY = Volume("scratch", empty_dir=EmptyDirVolume())
SECRET = Volume("creds", secret=SecretVolume("db"))
LONG = "x" * 64

BAD: list[tuple[str, JobSpec, str, str]] = [
    # how many
    ("no task", job(execution={"task_count": 0}), "spec.template.spec.taskCount",
     "0 is out of range; allowed: 1 to 10000"),
    ("too many tasks", job(execution={"task_count": 10_001}), "spec.template.spec.taskCount",
     "10001 is out of range; allowed: 1 to 10000"),
    ("parallelism below 0", job(execution={"parallelism": -1}), "spec.template.spec.parallelism",
     "-1 is out of range; allowed: 0 to 2147483647"),
    ("too many retries", job(task={"max_retries": 11}), f"{TASK}.maxRetries",
     "11 is out of range; allowed: 0 to 10"),
    ("retries below 0", job(task={"max_retries": -1}), f"{TASK}.maxRetries",
     "-1 is out of range; allowed: 0 to 10"),
    ("timeout 0", job(task={"timeout": 0.0}), f"{TASK}.timeoutSeconds",
     "0 s is out of range; allowed: 1 s to 604800 s (168 h)"),
    ("timeout too long", job(task={"timeout": 604_801.0}), f"{TASK}.timeoutSeconds",
     "604801 s is out of range; allowed: 1 s to 604800 s (168 h)"),
    ("timeout not a number", job(task={"timeout": float("nan")}), f"{TASK}.timeoutSeconds",
     "nan s is out of range; allowed: 1 s to 604800 s (168 h)"),
    # containers
    ("no container", job(task={"containers": ()}), f"{TASK}.containers",
     "there is no container; a task needs one"),
    ("container name", job(image(name="Main")), f"{C}.name",
     "'Main' is not a container name; allowed: 1 to 63 lower-case letters, digits, hyphens and"
     " dots, beginning and ending with a letter or digit"),
    ("image with a blank", job(Container(image="busy box")), f"{C}.image",
     "'busy box' is not an image; write it as NAME, NAME:TAG, HOST/PATH/NAME:TAG or"
     " NAME@sha256:DIGEST, with a lower-case name"),
    ("nothing to run", job(Container(args=("x",))), C,
     "it has no image and no command; name an image, or a command to run as a process"),
    ("empty program", job(Container(command=("",))), f"{C}.command[0]",
     "it is empty; the first word names the program"),
    ("too many args", job(image(args=("x",) * 1001)), f"{C}.args",
     "1001 entries are too many; allowed: at most 1000"),
    ("NUL in an arg", job(image(args=("a", "b\0"))), f"{C}.args[1]",
     "it holds a NUL character, which no argument can"),
    ("no text in an arg", job(image(args=("a", "b\udcff"))), f"{C}.args[1]",
     f"'b\\udcff' {NO_TEXT}"),
    ("no text in a value", job(image(env=(EnvVar("A", "\udcff"),))), f"{C}.env[0].value",
     f"it {NO_TEXT}"),
    ("working directory", job(image(working_dir="app")), f"{C}.workingDir",
     "'app' is not absolute; in a container it begins with '/'"),
    ("cpu", job(image(limits={"cpu": "two"})), f"{C}.resources.limits[cpu]",
     "'two' is not an amount of cpu; write it as 1, 0.5 or 1000m"),
    ("memory", job(image(limits={"memory": "0"})), f"{C}.resources.limits[memory]",
     "'0' is out of range; memory is more than 0 and less than 8Ei"),
    ("unknown resource", job(image(limits={"disk": "1"})), f"{C}.resources.limits[disk]",
     "'disk' is not a resource; allowed: cpu, memory"),
    # environment
    ("empty name", job(image(env=(EnvVar("", "v"),))), f"{C}.env[0].name",
     "the name is empty; every variable needs a name"),
    ("name with =", job(image(env=(EnvVar("A=B", "v"),))), f"{C}.env[0].name",
     "'A=B' is not a variable name; it must not hold '=' or a NUL character"),
    ("long name", job(image(env=(EnvVar("A" * 32_769, "v"),))), f"{C}.env[0].name",
     "the name is 32769 characters long; allowed: at most 32768"),
    ("long value", job(image(env=(EnvVar("A", "é" * 16_385),))), f"{C}.env[0].value",
     "it is 32770 bytes long; allowed: at most 32768"),
    ("NUL in a value", job(image(env=(EnvVar("A", "\0"),))), f"{C}.env[0].value",
     "it holds a NUL character, which no variable can"),
    ("no value", job(image(env=(EnvVar("A"),))), f"{C}.env[0]",
     "'A' has no value; give value or valueFrom"),
    ("value and secret", job(image(env=(EnvVar("A", "v", SecretRef("s")),))), f"{C}.env[0]",
     "'A' has a value and a secret; give one of them"),
    ("reserved names",
     job(image(env=(EnvVar("CLOUD_RUN_JOB", "v"), EnvVar("OK", "v"), EnvVar("X_GOOGLE_A", "v")))),
     f"{C}.env",
     "The following reserved env names were provided: CLOUD_RUN_JOB, X_GOOGLE_A. These values are"
     " automatically set by the system."),
    ("secret twice", job(image(env=(EnvVar("A", "v"), EnvVar("A", secret=SecretRef("s"))))),
     f"{C}.env[1].name", "'A' is set twice; a variable that holds a secret is set once"),
    ("secret's name", job(image(env=(EnvVar("A", secret=SecretRef("a b")),))),
     f"{C}.env[0].valueFrom.secretKeyRef.name",
     "'a b' is not a secret; allowed: 1 to 255 letters, digits, hyphens and underscores, or"
     " projects/PROJECT/secrets/NAME"),
    ("secret's version", job(image(env=(EnvVar("A", secret=SecretRef("s", "newest")),))),
     f"{C}.env[0].valueFrom.secretKeyRef.key",
     "'newest' is not a version of a secret; allowed: latest or a number from 1"),
    ("too many variables", job(image(env=tuple(EnvVar(f"V{n}", "") for n in range(1001)))),
     f"{C}.env", "1001 variables are too many; allowed: at most 1000"),
    # volumes
    ("volume's name", job(task=secrets(replace(MEMORY, name="a b"))), f"{V}[0].name",
     "'a b' is not a volume name; allowed: 1 to 300 letters, digits, hyphens and underscores"),
    ("two of a name", job(task=secrets(MEMORY, MEMORY)), f"{V}[1].name",
     "another volume has the name 'scratch' too"),
    ("name of Cloud SQL", job(task=secrets(replace(MEMORY, name="cloudsql"))), f"{V}[0].name",
     "'cloudsql' is kept for Cloud SQL"),
    ("no kind", job(task=secrets(Volume("a"))), f"{V}[0]",
     "it has no kinds; give exactly one of secret, emptyDir, csi and nfs"),
    ("two kinds", job(task=secrets(replace(MEMORY, secret=SecretVolume("s")))), f"{V}[0]",
     "it has 2 kinds; give exactly one of secret, emptyDir, csi and nfs"),
    ("item outside", job(task=secrets(Volume("a", SecretVolume("s", (SecretItem("1", "../x"),))))),
     f"{V}[0].secret.items[0].path",
     "'../x' is not a path in the volume; write it without a leading '/' and without '..'"),
    ("items of a path",
     job(task=secrets(Volume("a", SecretVolume("s", (SecretItem("1", "x"),) * 2)))),
     f"{V}[0].secret.items[1].path", "another item has the path 'x' too"),
    ("mode", job(task=secrets(Volume("a", SecretVolume("s", default_mode=512)))),
     f"{V}[0].secret.defaultMode", "512 is not a file mode; allowed: 0 to 511 (0777 in octal)"),
    ("medium", job(task=secrets(Volume("a", empty_dir=EmptyDirVolume("Disk")))),
     f"{V}[0].emptyDir.medium", "'Disk' is not a medium; allowed: Memory"),
    ("size", job(task=secrets(Volume("a", empty_dir=EmptyDirVolume("Memory", "much")))),
     f"{V}[0].emptyDir.sizeLimit",
     "'much' is not an amount of memory; write it as 512Mi, 2Gi or 500M"),
    ("not declared", mounted(VolumeMount("a", "/a"), volumes=(MEMORY, SECRET)),
     f"{C}.volumeMounts[0].name", "'a' is not a volume of this task; declared: scratch, creds"),
    ("none declared", mounted(VolumeMount("a", "/a")),
     f"{C}.volumeMounts[0].name", "'a' is not a volume of this task; declared: there is none"),
    ("relative mount", mounted(VolumeMount("scratch", "a"), volumes=(MEMORY,)),
     f"{C}.volumeMounts[0].mountPath",
     "'a' is not a mount path; write an absolute path without ':' and '..'"),
    ("mount at the root", mounted(VolumeMount("scratch", "//"), volumes=(MEMORY,)),
     f"{C}.volumeMounts[0].mountPath", "'/' cannot be mounted over; mount below it"),
    ("mount in the system", mounted(VolumeMount("scratch", "/./proc/x"), volumes=(MEMORY,)),
     f"{C}.volumeMounts[0].mountPath", "'/./proc/x' is in /proc, which belongs to the system"),
    ("mount at Cloud SQL's place", mounted(VolumeMount("scratch", "/cloudsql"), volumes=(MEMORY,)),
     f"{C}.volumeMounts[0].mountPath", "'/cloudsql' is kept for Cloud SQL"),
    ("two at a place",
     mounted(VolumeMount("scratch", "/a"), VolumeMount("creds", "/a/"), volumes=(MEMORY, SECRET)),
     f"{C}.volumeMounts[1].mountPath", "something else is mounted at '/a' too"),
    # labels and annotations
    ("label's key", job(labels={"Team": "x"}), "metadata.labels[Team]",
     "'Team' is not a label key; allowed: 1 to 63 lower-case letters, digits, hyphens and"
     " underscores, beginning with a letter"),
    ("label's value", job(execution={"labels": {"team": LONG}}),
     "spec.template.metadata.labels[team]",
     f"'{LONG}' is not a label value; allowed: at most 63 lower-case letters, digits, hyphens and"
     " underscores"),
    ("system label", job(labels={"run.googleapis.com/job": "x"}),
     "metadata.labels[run.googleapis.com/job]",
     "labels under run.googleapis.com/ are set by the system"),
    ("option as a label", job(labels={"jobrunner.dev/init": "true"}),
     "metadata.labels[jobrunner.dev/init]",
     "'jobrunner.dev/init' is not a label; options of jobrunner are annotations"),
    ("too many labels", job(labels={f"l{n}": "" for n in range(65)}), "metadata.labels",
     "65 labels are too many; allowed: at most 64"),
    ("annotation's key", job(annotations={"a b": ""}), "metadata.annotations[a b]",
     "'a b' is not an annotation key; allowed: NAME or DOMAIN/NAME, where NAME is 1 to 63 letters,"
     " digits, hyphens, underscores and dots, beginning and ending with a letter or digit"),
    ("much annotation", job(annotations={"a": "x" * 262_144}), "metadata.annotations",
     "they hold 262145 bytes; allowed: at most 262144"),
    ("unknown annotation",
     job(execution={"annotations": {"run.googleapis.com/cloudsql-instance": "x"}}),
     f"{EA}[run.googleapis.com/cloudsql-instance]",
     "'run.googleapis.com/cloudsql-instance' is not an annotation of this part of a job; did you"
     " mean 'run.googleapis.com/cloudsql-instances'?"),
    ("unknown option", job(annotations={"jobrunner.dev/fail-fats": "true"}),
     "metadata.annotations[jobrunner.dev/fail-fats]",
     "'jobrunner.dev/fail-fats' is not an option of jobrunner; did you mean"
     " 'jobrunner.dev/fail-fast'?"),
    ("option of the job", job(annotations={"jobrunner.dev/init": "1"}),
     "metadata.annotations[jobrunner.dev/init]",
     "'1' is not allowed; allowed: \"true\" or \"false\""),
    ("option of the template", job(execution={"annotations": {"jobrunner.dev/init": "1"}}),
     f"{EA}[jobrunner.dev/init]", "'1' is not allowed; allowed: \"true\" or \"false\""),
    ("launch stage", job(launch_stage="beta"),
     "metadata.annotations[run.googleapis.com/launch-stage]",
     "'beta' is not a launch stage; allowed: GA, BETA, ALPHA"),
    ("environment", job(task={"execution_environment": "gen3"}),
     f"{EA}[run.googleapis.com/execution-environment]",
     "'gen3' is not an execution environment; allowed: gen1, gen2"),
    ("egress", job(task={"vpc_access": VpcAccess(egress="some")}),
     f"{EA}[run.googleapis.com/vpc-access-egress]",
     "'some' is not an egress setting; allowed: private-ranges-only, all-traffic"),
    ("two networks", job(task={"vpc_access": VpcAccess("c", "", (NetworkInterface("n"),))}),
     f"{EA}[run.googleapis.com/network-interfaces]",
     "a job has a VPC connector or network interfaces, not both"),
    # refused by name
    ("GPU", job(image(limits={"nvidia.com/gpu": "1"})), f"{C}.resources.limits[nvidia.com/gpu]",
     NOT_YET + "GPUs"),
    ("GPU kind", job(task={"node_selector": {"run.googleapis.com/accelerator": "nvidia-l4"}}),
     f"{TASK}.nodeSelector", NOT_YET + "GPUs"),
    ("bucket", job(task=secrets(Volume("a", gcs=GcsVolume("b")))),
     f"{V}[0].csi.volumeAttributes.bucketName",
     NOT_YET + "bucket volumes; for one machine see the annotation jobrunner.dev/host-mounts"),
    ("NFS", job(task=secrets(Volume("a", nfs=NfsVolume("h", "/x")))), f"{V}[0].nfs",
     NOT_YET + "NFS volumes; for one machine see the annotation jobrunner.dev/host-mounts"),
    ("sidecars", job(task={"containers": (image(name="a"), image(name="b"))}),
     f"{TASK}.containers", NOT_YET + "more than one container (sidecars)"),
    ("dependencies", job(image(depends_on=("b",))),
     f"{EA}[run.googleapis.com/container-dependencies]",
     NOT_YET + "more than one container (sidecars)"),
    ("probe", job(image(startup_probe={"tcpSocket": {"port": 1}})), f"{C}.startupProbe",
     NOT_YET + "probes"),
    ("port", job(image(ports=(ContainerPort(8080),))), f"{C}.ports",
     "not supported: a job serves no requests"),
    ("part of a volume", mounted(VolumeMount("scratch", "/a", "b"), volumes=(MEMORY,)),
     f"{C}.volumeMounts[0].subPath", NOT_YET + "mounting a part of a volume"),
    ("token", job(start_execution_token="A"), "spec.startExecutionToken",
     "'A' is not a token; allowed: lower-case letters, digits and hyphens, beginning and ending"
     " with a letter or digit"),
    ("two tokens", job(start_execution_token="a", run_execution_token="b"),
     "spec.runExecutionToken", "a job has a start token or a run token, not both"),
    ("setting of services",
     job(execution={"annotations": {"run.googleapis.com/cpu-throttling": "false"}}),
     f"{EA}[run.googleapis.com/cpu-throttling]",
     "not supported: it belongs to services, not to jobs"),
    # plain processes
    ("volumes of a process", job(Container(command=("a",)), task=secrets(MEMORY)), V,
     "volumes need an image: a process sees the machine's own files"),
    ("mounts of a process",
     job(Container(command=("a",), volume_mounts=(VolumeMount("x", "/x"),))),
     f"{C}.volumeMounts", "volumes need an image: a process sees the machine's own files"),
    ("Docker without an image",
     job(Container(command=("a",)), annotations={"jobrunner.dev/backend": "docker"}), f"{C}.image",
     "it is missing, and jobrunner.dev/backend is docker; name an image"),
    ("a process without a command",
     job(image(), annotations={"jobrunner.dev/backend": "process"}), f"{C}.command",
     "it is empty, and jobrunner.dev/backend is process; a process needs a command"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "field", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_a_broken_rule_is_answered_with_its_path_and_exact_reason(
    spec: JobSpec, field: str, message: str
) -> None:
    (violation,) = validate_job("job", spec)
    assert (violation.field, violation.message) == (field, message)


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "a_b", "-a", "a-", "a" * 64, "a b", "ä", "a\n", "a.b"]
)
def test_a_bad_job_name_is_refused(name: str) -> None:
    (violation,) = validate_job(name, job())
    assert violation.field == "metadata.name"
    assert violation.message.startswith(f"'{name}' is not a job name; allowed: 1 to 63")


@pytest.mark.parametrize("name", ["a", "a" * 63, "nightly-report-2"])
def test_a_good_job_name_passes(name: str) -> None:
    assert validate_job(name, job()) == []


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "busybox:1.36",
        "localhost:5000/team/app:v1_2",
        "us-docker.pkg.dev/proj/repo/app@sha256:" + "0" * 64,
        "REGISTRY/team/app:1",
        "gcr.io/p/my__app",
        "sha256:" + "a" * 64,
    ],
)
def test_every_form_of_an_image_passes(image: str) -> None:
    assert validate_job("job", job(Container(image=image))) == []


@pytest.mark.parametrize(
    "image", ["App", "a//b", "a:", ":1", "a@sha256:00", "/a", "a/", "-rm", "a:b:c"]
)
def test_what_is_no_image_is_refused(image: str) -> None:
    assert [v.field for v in validate_job("job", job(Container(image=image)))] == [f"{C}.image"]


def test_all_mistakes_are_found_at_once() -> None:
    spec = job(
        image(env=(EnvVar("", "v"),), limits={"cpu": "x"}),
        task={"max_retries": 11, "timeout": 0.0, "volumes": (Volume("a"),)},
        execution={"task_count": 0},
        labels={"Team": ""},
    )
    assert len(validate_job("Job", spec)) == 8


def test_of_equal_literal_names_the_last_wins_and_that_is_no_mistake() -> None:
    assert validate_job("job", job(image(env=(EnvVar("A", "1"), EnvVar("A", "2"))))) == []


def test_a_value_is_never_part_of_a_message() -> None:
    private = "hush" * 10_000
    for violation in validate_job("job", job(image(env=(EnvVar("A", private),)))):
        assert "hush" not in violation.message


def test_any_positive_cpu_and_memory_pass_in_any_combination() -> None:
    assert validate_job("job", job(image(limits={"cpu": "500m", "memory": "16Gi"}))) == []


def test_the_template_wins_over_the_job_before_options_are_checked() -> None:
    spec = job(
        Container(command=("a",)),
        annotations={"jobrunner.dev/backend": "docker"},
        execution={"annotations": {"jobrunner.dev/backend": "process"}},
    )
    assert validate_job("job", spec) == []


def test_user_labels_of_other_tools_pass() -> None:
    labels = {"client.knative.dev/nonce": "able_green_fox", "team": "données", "a": ""}
    assert validate_job("job", job(labels=labels, execution={"labels": labels})) == []


# ---------------------------------------------------------------- notices


def test_a_plain_job_has_no_notices() -> None:
    assert notices(job()) == []
    assert notices(fill_defaults(job())) == []


def test_one_notice_names_every_field_without_effect() -> None:
    spec = job(
        image(
            ignored={"imagePullPolicy": "Always"},
            volume_mounts=(VolumeMount("scratch", "/s", read_only=True),),
        ),
        task={
            "service_account": "me@p.iam.gserviceaccount.com",
            "vpc_access": VpcAccess("c"),
            "encryption_key": "k",
            "execution_environment": "gen1",
            "volumes": (MEMORY, Volume("cloudsql", cloud_sql=CloudSqlVolume(("i",)))),
        },
        execution={"annotations": {"run.googleapis.com/cloudsql-instances": "i"}},
        launch_stage="BETA",
    )
    assert validate_job("job", spec) == []
    assert notices(spec) == [
        "Stored and returned, but without effect here: run.googleapis.com/launch-stage,"
        " run.googleapis.com/cloudsql-instances, run.googleapis.com/execution-environment,"
        " run.googleapis.com/encryption-key, run.googleapis.com/vpc-access-connector,"
        " serviceAccountName, imagePullPolicy, volumeMounts[].readOnly (memory volume),"
        " volumes[].csi (Cloud SQL)."
    ]


def test_limits_of_a_process_are_accepted_with_a_notice() -> None:
    spec = job(Container(command=("a",), limits={"memory": "1Gi", "cpu": "1"}))
    assert validate_job("job", spec) == []
    assert notices(spec) == [
        "Limits of cpu and memory are not enforced on a process; give the job an image to have"
        " them enforced."
    ]


def test_limits_that_were_filled_in_are_not_worth_a_notice() -> None:
    process = {"jobrunner.dev/backend": "process"}
    spec = job(image(command=("a",)), annotations=process)
    assert notices(fill_defaults(spec)) == []
    asked = job(image(command=("a",), limits={"cpu": "2"}), annotations=process)
    assert [notice[:20] for notice in notices(fill_defaults(asked))] == ["Limits of cpu are no"]


# ---------------------------------------------------------------- overrides

ONE = job(Container(image="busybox", name="main")).template
TWO = replace(
    ONE,
    template=replace(ONE.template, containers=(Container("main", "a"), Container("side", "b"))),
)
O = "overrides.containerOverrides"  # noqa: E741

BAD_OVERRIDES: list[tuple[str, Overrides, ExecutionTemplate, str, str]] = [
    ("no task", Overrides(task_count=0), ONE, "overrides.taskCount",
     "0 is out of range; allowed: 1 to 10000"),
    ("timeout", Overrides(timeout=604_801), ONE, "overrides.timeoutSeconds",
     "604801 s is out of range; allowed: 1 s to 604800 s (168 h)"),
    ("unknown container", Overrides((ContainerOverride("x"),)), TWO, f"{O}[0].name",
     "'x' is not a container of the job; it has: main, side"),
    ("no name of several", Overrides((ContainerOverride(""),)), TWO, f"{O}[0].name",
     "'' is not a container of the job; it has: main, side"),
    ("twice", Overrides((ContainerOverride("a"), ContainerOverride("b"))), ONE, f"{O}[1].name",
     "another override changes the same container"),
    ("args and none", Overrides((ContainerOverride(args=("a",), clear_args=True),)), ONE,
     f"{O}[0].args", "it must be empty when clearArgs is set"),
    ("secret", Overrides((ContainerOverride(env=(EnvVar("A", secret=SecretRef("s")),)),)), ONE,
     f"{O}[0].env[0]", "'A' names a secret; an override takes values only"),
    ("reserved", Overrides((ContainerOverride(env=(EnvVar("CLOUD_RUN_JOB", ""),)),)), ONE,
     f"{O}[0].env",
     "The following reserved env names were provided: CLOUD_RUN_JOB. These values are automatically"
     " set by the system."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "template", "field", "message"),
    [row[1:] for row in BAD_OVERRIDES],
    ids=[row[0] for row in BAD_OVERRIDES],
)
def test_a_bad_override_is_answered_with_its_path_and_exact_reason(
    overrides: Overrides, template: ExecutionTemplate, field: str, message: str
) -> None:
    (violation,) = validate_overrides(overrides, template)
    assert (violation.field, violation.message) == (field, message)


def test_variables_are_counted_after_they_are_merged() -> None:
    env = tuple(EnvVar(f"V{n}", "") for n in range(1000))
    template = job(image(env=env)).template
    same = Overrides((ContainerOverride(env=(EnvVar("V1", "x"),)),))
    more = Overrides((ContainerOverride(env=(EnvVar("NEW", "x"),)),))
    assert validate_overrides(same, template) == []
    assert [v.field for v in validate_overrides(more, template)] == [f"{O}[0].env"]


def test_a_one_off_process_may_have_any_number_of_words_and_a_stored_job_a_thousand() -> None:
    words = ("a",) * 1001
    process = job(Container(command=("tar",), args=words))
    assert validate_job("job", process, one_off=True) == []
    assert [v.field for v in validate_job("job", process)] == [f"{C}.args"]
    in_container = validate_job("job", job(image(args=words)), one_off=True)
    assert [v.field for v in in_container] == [f"{C}.args"]
