"""Every field of the contract, and what becomes of it here.

Three lists: *honoured*; *ignored*: stored, returned and otherwise without effect, with one warning
that names them; *refused*: an error that names the field and the reason. No field is silently
dropped, and one that is in none of the lists is unknown.

Paths use ``[]`` for "each of" and ``annotations[KEY]`` for one annotation. The page for people is
``docs/reference/fields.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from jobrunner.errors import Violation


class Standing(StrEnum):
    HONOURED = "honoured"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """``v1`` and ``v2`` are the paths of the field in a document of that version; empty where it
    has none. ``output`` fields are written by the server: a document may bear them and they are
    not read. ``note`` says what is special, or why a field is refused."""

    resource: str
    v1: str
    v2: str
    standing: Standing
    output: bool = False
    note: str = ""


_JM = "metadata"
_JA = "metadata.annotations[run.googleapis.com/"
_EM = "spec.template.metadata"
_EA = "spec.template.metadata.annotations[run.googleapis.com/"
_ES = "spec.template.spec"
_TS = "spec.template.spec.template.spec"
_C = f"{_TS}.containers[]"
_V = f"{_TS}.volumes[]"
_T2 = "template.template"
_C2 = f"{_T2}.containers[]"
_V2 = f"{_T2}.volumes[]"

_NOT_YET = "not supported yet by jobrunner: "
_NEVER = "not supported: "
_SERVICE = "not supported: it belongs to services, not to jobs"
_SIDECARS = _NOT_YET + "more than one container (sidecars)"
_PROBES = _NOT_YET + "probes"
_GPU = _NOT_YET + "GPUs"
_CONFIG_MAPS = _NEVER + "Cloud Run has no config maps"
_METADATA = _NEVER + "Cloud Run does not read it"


def _honoured(resource: str, *rows: tuple[str, str] | tuple[str, str, str]) -> Iterator[Field]:
    for v1, v2, *note in rows:
        yield Field(resource, v1, v2, Standing.HONOURED, note=note[0] if note else "")


def _output(resource: str, *rows: tuple[str, str] | tuple[str, str, str]) -> Iterator[Field]:
    for v1, v2, *note in rows:
        yield Field(resource, v1, v2, Standing.HONOURED, True, note[0] if note else "")


def _ignored(*rows: tuple[str, str] | tuple[str, str, str]) -> Iterator[Field]:
    for v1, v2, *note in rows:
        yield Field("Job", v1, v2, Standing.IGNORED, note=note[0] if note else "")


def _refused(why: str, *rows: tuple[str, str]) -> Iterator[Field]:
    for v1, v2 in rows:
        yield Field("Job", v1, v2, Standing.REFUSED, note=why)


FIELDS: tuple[Field, ...] = (
    *_honoured(
        "Job",
        (f"{_JM}.name", "name"),
        (f"{_JM}.namespace", "", "project id or number"),
        (f"{_JM}.labels", "labels"),
        (f"{_JM}.annotations", "annotations", "options of our own: see annotations.md"),
        (f"{_JA}client-name]", "client"),
        (f"{_JA}client-version]", "clientVersion"),
        ("spec.startExecutionToken", "startExecutionToken", "with a server; once per token"),
        ("spec.runExecutionToken", "runExecutionToken", "with a server; once per token"),
        (f"{_EM}.labels", "template.labels"),
        (f"{_EM}.annotations", "template.annotations"),
        (f"{_EA}client-name]", ""),
        (f"{_EA}client-version]", ""),
        (f"{_EA}secrets]", "", "aliases of secrets"),
        (f"{_ES}.parallelism", "template.parallelism", "0 means unset: as many as possible"),
        (f"{_ES}.taskCount", "template.taskCount", "default 1; 1 to 10,000"),
        (f"{_TS}.containers", f"{_T2}.containers", "one"),
        (f"{_TS}.maxRetries", f"{_T2}.maxRetries", "default 3; 0 to 10"),
        (f"{_TS}.timeoutSeconds", f"{_T2}.timeout", "default 600 s; 1 s to 168 h, per attempt"),
        (f"{_TS}.volumes", f"{_T2}.volumes"),
        (f"{_C}.name", f"{_C2}.name", "default: last part of the image and a number"),
        (f"{_C}.image", f"{_C2}.image", "may be missing here: the command is then a process"),
        (f"{_C}.command", f"{_C2}.command"),
        (f"{_C}.args", f"{_C2}.args"),
        (f"{_C}.workingDir", f"{_C2}.workingDir"),
        (f"{_C}.env", f"{_C2}.env"),
        (f"{_C}.env[].name", f"{_C2}.env[].name"),
        (f"{_C}.env[].value", f"{_C2}.env[].value"),
        (
            f"{_C}.env[].valueFrom.secretKeyRef.name",
            f"{_C2}.env[].valueSource.secretKeyRef.secret",
        ),
        (
            f"{_C}.env[].valueFrom.secretKeyRef.key",
            f"{_C2}.env[].valueSource.secretKeyRef.version",
        ),
        (
            f"{_C}.resources.limits",
            f"{_C2}.resources.limits",
            "cpu and memory, of containers; any positive amount",
        ),
        (f"{_C}.volumeMounts", f"{_C2}.volumeMounts"),
        (f"{_C}.volumeMounts[].name", f"{_C2}.volumeMounts[].name"),
        (f"{_C}.volumeMounts[].mountPath", f"{_C2}.volumeMounts[].mountPath"),
        (f"{_V}.name", f"{_V2}.name"),
        (f"{_V}.secret.secretName", f"{_V2}.secret.secret"),
        (f"{_V}.secret.items", f"{_V2}.secret.items"),
        (f"{_V}.secret.items[].key", f"{_V2}.secret.items[].version"),
        (f"{_V}.secret.items[].path", f"{_V2}.secret.items[].path"),
        (f"{_V}.secret.items[].mode", f"{_V2}.secret.items[].mode"),
        (f"{_V}.secret.defaultMode", f"{_V2}.secret.defaultMode", "default 0444"),
        (f"{_V}.secret.optional", ""),
        (f"{_V}.emptyDir.medium", f"{_V2}.emptyDir.medium", "Memory"),
        (f"{_V}.emptyDir.sizeLimit", f"{_V2}.emptyDir.sizeLimit"),
    ),
    *_ignored(
        (f"{_JA}launch-stage]", "launchStage"),
        (f"{_JA}binary-authorization]", "binaryAuthorization"),
        (
            f"{_JA}binary-authorization-breakglass]",
            "binaryAuthorization.breakglassJustification",
        ),
        (f"{_JA}build-id]", "", "and the other build-… annotations of source deploys"),
        (f"{_EA}execution-environment]", f"{_T2}.executionEnvironment", "gen1 or gen2"),
        (f"{_EA}cloudsql-instances]", f"{_V2}.cloudSqlInstance.instances"),
        (f"{_EA}encryption-key]", f"{_T2}.encryptionKey"),
        (f"{_EA}vpc-access-connector]", f"{_T2}.vpcAccess.connector"),
        (f"{_EA}vpc-access-egress]", f"{_T2}.vpcAccess.egress"),
        (f"{_EA}network-interfaces]", f"{_T2}.vpcAccess.networkInterfaces"),
        (f"{_EA}gpu-zonal-redundancy-disabled]", f"{_T2}.gpuZonalRedundancyDisabled"),
        (f"{_EA}base-images]", f"{_C2}.baseImageUri", "source deploys"),
        (f"{_TS}.serviceAccountName", f"{_T2}.serviceAccount", "the default one warns not"),
        (f"{_C}.imagePullPolicy", ""),
        (f"{_C}.terminationMessagePath", ""),
        (f"{_C}.terminationMessagePolicy", ""),
        (f"{_C}.securityContext", ""),
        (f"{_C}.resources.requests", ""),
        (f"{_C}.volumeMounts[].readOnly", "", "of a memory volume; secrets are read-only anyway"),
        (f"{_V}.csi", f"{_V2}.cloudSqlInstance", "driver cloudsql.run.googleapis.com"),
    ),
    *_refused(
        _GPU,
        (f"{_C}.resources.limits[nvidia.com/gpu]", f"{_C2}.resources.limits[nvidia.com/gpu]"),
        (f"{_TS}.nodeSelector", f"{_T2}.nodeSelector"),
    ),
    *_refused(
        _NOT_YET + "bucket volumes; for one machine see the annotation jobrunner.dev/host-mounts",
        (f"{_V}.csi.volumeAttributes.bucketName", f"{_V2}.gcs"),
    ),
    *_refused(
        _NOT_YET + "NFS volumes; for one machine see the annotation jobrunner.dev/host-mounts",
        (f"{_V}.nfs", f"{_V2}.nfs"),
    ),
    *_refused(
        _SIDECARS,
        (f"{_TS}.containers[1]", f"{_T2}.containers[1]"),
        (f"{_EA}container-dependencies]", f"{_C2}.dependsOn"),
    ),
    *_refused(
        _PROBES,
        (f"{_C}.startupProbe", f"{_C2}.startupProbe"),
        (f"{_C}.livenessProbe", f"{_C2}.livenessProbe"),
        (f"{_C}.readinessProbe", f"{_C2}.readinessProbe"),
    ),
    *_refused(_NEVER + "a job serves no requests", (f"{_C}.ports", f"{_C2}.ports")),
    *_refused(_NOT_YET + "mounting a part of a volume", (f"{_C}.volumeMounts[].subPath", "")),
    *_refused(
        _NOT_YET + "variables whose secret may be missing",
        (f"{_C}.env[].valueFrom.secretKeyRef.optional", ""),
    ),
    *_refused(
        _NEVER + "name the secret in `name`",
        (f"{_C}.env[].valueFrom.secretKeyRef.localObjectReference", ""),
    ),
    *_refused(
        _CONFIG_MAPS,
        (f"{_C}.envFrom", ""),
        (f"{_C}.env[].valueFrom.configMapKeyRef", ""),
        (f"{_V}.configMap", ""),
    ),
    *_refused(
        _METADATA,
        (f"{_JM}.clusterName", ""),
        (f"{_JM}.deletionGracePeriodSeconds", ""),
        (f"{_JM}.finalizers", ""),
        (f"{_JM}.generateName", ""),
        (f"{_JM}.ownerReferences", ""),
        (f"{_EM}.name", ""),
        (f"{_EM}.namespace", ""),
    ),
    *_refused(
        _NEVER + "build the image first and name it",
        ("", f"{_C2}.sourceCode"),
        ("", f"{_C2}.buildInfo"),
    ),
    *_refused(
        _SERVICE,
        ("metadata.annotations[autoscaling.knative.dev/minScale]", "scaling"),
        (f"{_JA}minScale]", "scaling.minInstanceCount"),
        (f"{_JA}ingress]", "ingress"),
        (f"{_JA}invoker-iam-disabled]", "invokerIamDisabled"),
        (f"{_JA}custom-audiences]", "customAudiences"),
        (f"{_JA}default-url-disabled]", "defaultUriDisabled"),
        (f"{_JA}iap-enabled]", "iapEnabled"),
        (f"{_JA}description]", "description"),
        (f"{_EA}cpu-throttling]", f"{_C2}.resources.cpuIdle"),
        (f"{_EA}startup-cpu-boost]", f"{_C2}.resources.startupCpuBoost"),
        (f"{_EA}sessionAffinity]", "template.sessionAffinity"),
        (f"{_EA}health-check-disabled]", "template.healthCheckDisabled"),
        (
            f"{_EA}post-key-revocation-action-type]",
            "template.encryptionKeyRevocationAction",
        ),
        (f"{_EA}encryption-key-shutdown-hours]", "template.encryptionKeyShutdownDuration"),
    ),
    *_output(
        "Job",
        (f"{_JM}.uid", "uid"),
        (f"{_JM}.generation", "generation"),
        (f"{_JM}.resourceVersion", "etag", "a replace that bears one must bear the current one"),
        (f"{_JM}.selfLink", ""),
        (f"{_JM}.creationTimestamp", "createTime"),
        (f"{_JM}.deletionTimestamp", "deleteTime"),
        (f"{_JM}.labels[run.googleapis.com/lastUpdatedTime]", "updateTime"),
        (f"{_JM}.labels[cloud.googleapis.com/location]", ""),
        (f"{_JM}.labels[run.googleapis.com/satisfiesPzs]", "satisfiesPzs", "never set"),
        (f"{_JA}creator]", "creator"),
        (f"{_JA}lastModifier]", "lastModifier"),
        (f"{_JA}operation-id]", ""),
        ("status.observedGeneration", "observedGeneration"),
        ("status.conditions", "terminalCondition"),
        ("status.executionCount", "executionCount"),
        ("status.latestCreatedExecution", "latestCreatedExecution"),
        ("", "reconciling"),
    ),
    *_honoured(
        "RunJobRequest",
        ("overrides.containerOverrides[].name", "overrides.containerOverrides[].name"),
        ("overrides.containerOverrides[].args", "overrides.containerOverrides[].args"),
        ("overrides.containerOverrides[].clearArgs", "overrides.containerOverrides[].clearArgs"),
        ("overrides.containerOverrides[].env", "overrides.containerOverrides[].env", "literals"),
        ("overrides.taskCount", "overrides.taskCount"),
        ("overrides.timeoutSeconds", "overrides.timeout"),
    ),
    *_output(
        "Execution",
        ("metadata.name", "name"),
        ("metadata.ownerReferences", "job"),
        ("metadata.labels[run.googleapis.com/job]", "job"),
        ("metadata.labels[run.googleapis.com/jobUid]", ""),
        ("metadata.labels[run.googleapis.com/jobGeneration]", ""),
        ("metadata.annotations[run.googleapis.com/creator]", "creator"),
        ("spec.parallelism", "parallelism", "the effective number"),
        ("spec.taskCount", "taskCount", "the effective number"),
        ("spec.template.spec", "template", "with the image pinned"),
        ("status.startTime", "startTime"),
        ("status.completionTime", "completionTime"),
        ("status.runningCount", "runningCount"),
        ("status.succeededCount", "succeededCount"),
        ("status.failedCount", "failedCount"),
        ("status.cancelledCount", "cancelledCount"),
        ("status.retriedCount", "retriedCount", "tasks that were retried at least once"),
        ("status.conditions", "conditions"),
        ("status.observedGeneration", "observedGeneration"),
        ("status.logUri", "logUri"),
    ),
    *_output(
        "Task",
        ("metadata.name", "name"),
        ("metadata.labels[run.googleapis.com/job]", "job"),
        ("metadata.labels[run.googleapis.com/execution]", "execution"),
        ("metadata.labels[run.googleapis.com/runningState]", ""),
        ("metadata.annotations[run.googleapis.com/scheduled-time]", "scheduledTime"),
        ("spec", "containers", "and the other fields of a task's template"),
        ("status.index", "index"),
        ("status.retried", "retried"),
        ("status.startTime", "startTime"),
        ("status.completionTime", "completionTime"),
        ("status.lastAttemptResult.exitCode", "lastAttemptResult.exitCode"),
        ("", "lastAttemptResult.termSignal"),
        ("status.lastAttemptResult.status", "lastAttemptResult.status"),
        ("status.conditions", "conditions"),
        ("status.observedGeneration", "observedGeneration"),
        ("status.logUri", "logUri"),
    ),
)

_JOB_BY_V1 = {field.v1: field for field in FIELDS if field.resource == "Job" and field.v1}
_JOB_BY_V2 = {field.v2: field for field in FIELDS if field.resource == "Job" and field.v2}


def of_job(path: str) -> Field | None:
    """The field of a v1 Job document at ``path``, whose numbers in brackets do not matter."""
    return _JOB_BY_V1.get(path) or _JOB_BY_V1.get(_without_numbers(path))


def refusal(path: str) -> Violation:
    """The error for a refused field of a v1 Job document that is there."""
    field = of_job(path)
    if field is None or field.standing is not Standing.REFUSED:
        raise KeyError(path)
    return Violation(path, field.note)


def refusal_v2(path: str) -> Violation:
    """The same for a v2 Job document."""
    field = _JOB_BY_V2[_without_numbers(path)]
    if field.standing is not Standing.REFUSED:
        raise KeyError(path)
    return Violation(path, field.note)


def annotation_keys(field: str) -> Iterator[str]:
    """Keys of the annotations under ``field`` that may be set."""
    start = f"{field}["
    for path, known in _JOB_BY_V1.items():
        usable = known.standing is not Standing.REFUSED and not known.output
        if usable and path.startswith(start):
            yield path[len(start) : -1]


def v2_path(path: str) -> str:
    """The v2 path of a field that a v1 path names, numbers in brackets kept; a path that v2 does
    not have is returned as it is. What stands below a known field is kept too."""
    numbers = re.findall(r"\[([0-9]+)\]", path)
    known = _without_numbers(path)
    rest = ""
    while known:
        field = _JOB_BY_V1.get(known)
        if field is not None and field.v2:
            text = field.v2 + rest
            for number in numbers:
                text = text.replace("[]", f"[{number}]", 1)
            return text
        cut = max(known.rfind("."), known.rfind("["))
        if cut < 0:
            break
        known, rest = known[:cut], known[cut:] + rest
    return path


def _without_numbers(path: str) -> str:
    return re.sub(r"\[[0-9]+\]", "[]", path)
