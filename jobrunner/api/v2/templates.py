"""The spec of a job, an execution or a task as a v2 document. What is zero or empty is left out.

What v1 keeps in annotations has a place of its own here: Cloud SQL instances are a volume, an alias
of a secret is the path that it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jobrunner.api.v2.enums import EGRESS, EXECUTION_ENVIRONMENT, LAUNCH_STAGE, MEDIUM, OLD_EGRESS
from jobrunner.api.v2.keys import ACCELERATOR, BASE_IMAGES, CLOUD_SQL
from jobrunner.core.documents import Document, filled
from jobrunner.core.durations import duration
from jobrunner.core.label_rules import GOOGLE_NAMESPACES
from jobrunner.core.names import CLOUD_SQL_VOLUME
from jobrunner.core.spec import (
    BinaryAuthorization,
    CloudSqlVolume,
    Container,
    EnvVar,
    ExecutionTemplate,
    JobSpec,
    SecretVolume,
    StringMap,
    TaskTemplate,
    Volume,
    VolumeMount,
    VpcAccess,
)
from jobrunner.core.volume_rules import CLOUD_SQL_PATH


def job_spec(spec: JobSpec) -> Document:
    return {
        **filled(
            labels=users(spec.labels),
            annotations=users(spec.annotations),
            client=spec.client,
            clientVersion=spec.client_version,
            launchStage=LAUNCH_STAGE.name(spec.launch_stage),
            binaryAuthorization=_binary_authorization(spec.binary_authorization),
        ),
        "template": execution_template(spec.template),
        **filled(
            startExecutionToken=spec.start_execution_token,
            runExecutionToken=spec.run_execution_token,
        ),
    }


def users(texts: Mapping[str, str]) -> StringMap:
    """Labels or annotations without those under Google's keys, which v2 does not show."""
    return {key: value for key, value in texts.items() if not key.startswith(GOOGLE_NAMESPACES)}


def execution_template(template: ExecutionTemplate) -> Document:
    return {
        **filled(
            labels=users(template.labels),
            annotations=users(template.annotations),
            parallelism=template.parallelism,
            taskCount=template.task_count,
        ),
        "template": task_template(template.template, template.annotations),
    }


def task_template(template: TaskTemplate, annotations: Mapping[str, str]) -> Document:
    """``annotations`` are those of the execution template."""
    images = _base_images(annotations)
    instances = tuple(filter(None, annotations.get(CLOUD_SQL, "").split(",")))
    volumes = [volume(one, template.secret_aliases) for one in template.volumes]
    if instances and not any(one.cloud_sql for one in template.volumes):
        shown = Volume(CLOUD_SQL_VOLUME, cloud_sql=CloudSqlVolume(instances))
        volumes.append(volume(shown, {}))
    document: Document = {
        "containers": [
            container(one, template.secret_aliases, images, mounts_sql=bool(instances))
            for one in template.containers
        ],
        **filled(volumes=volumes),
    }
    # Zero is not the default of maxRetries, so it is written.
    if template.max_retries is not None:
        document["maxRetries"] = template.max_retries
    if template.timeout is not None:
        document["timeout"] = duration(template.timeout)
    accelerator = template.node_selector.get(ACCELERATOR, "")
    return {
        **document,
        **filled(
            serviceAccount=template.service_account,
            executionEnvironment=EXECUTION_ENVIRONMENT.name(template.execution_environment),
            encryptionKey=template.encryption_key,
            vpcAccess=_vpc(template.vpc_access),
            nodeSelector=filled(accelerator=accelerator),
            gpuZonalRedundancyDisabled=template.gpu_zonal_redundancy_disabled,
        ),
    }


def container(
    one: Container, aliases: Mapping[str, str], images: Mapping[str, str], *, mounts_sql: bool
) -> Document:
    mounts = [mount(each) for each in one.volume_mounts]
    if mounts_sql and not any(each.mount_path == CLOUD_SQL_PATH for each in one.volume_mounts):
        mounts.append(mount(VolumeMount(CLOUD_SQL_VOLUME, CLOUD_SQL_PATH)))
    return filled(
        name=one.name,
        image=one.image,
        command=list(one.command),
        args=list(one.args),
        env=[variable(each, aliases) for each in one.env],
        resources=filled(limits=dict(one.limits)),
        ports=[filled(name=port.name, containerPort=port.container_port) for port in one.ports],
        volumeMounts=mounts,
        workingDir=one.working_dir,
        livenessProbe=one.liveness_probe,
        startupProbe=one.startup_probe,
        readinessProbe=one.readiness_probe,
        dependsOn=list(one.depends_on),
        baseImageUri=images.get(one.name),
    )


def variable(one: EnvVar, aliases: Mapping[str, str]) -> Document:
    if one.secret is None:
        # Which of the two is set is part of the message: an empty value is written.
        return {**filled(name=one.name), "value": one.value or ""}
    secret = aliases.get(one.secret.secret, one.secret.secret)
    reference = filled(secret=secret, version=one.secret.version)
    return filled(name=one.name, valueSource={"secretKeyRef": reference})


def mount(one: VolumeMount) -> Document:
    return filled(name=one.name, mountPath=one.mount_path, subPath=one.sub_path)


def volume(one: Volume, aliases: Mapping[str, str]) -> Document:
    shown = filled(name=one.name)
    if one.secret is not None:
        shown["secret"] = secret_volume(one.secret, aliases)
    if one.cloud_sql is not None:
        shown["cloudSqlInstance"] = filled(instances=list(one.cloud_sql.instances))
    if one.empty_dir is not None:
        medium = MEDIUM.name(one.empty_dir.medium)
        shown["emptyDir"] = filled(medium=medium, sizeLimit=one.empty_dir.size_limit)
    if one.nfs is not None:
        nfs = one.nfs
        shown["nfs"] = filled(server=nfs.server, path=nfs.path, readOnly=nfs.read_only)
    if one.gcs is not None:
        gcs = one.gcs
        options = list(gcs.mount_options)
        shown["gcs"] = filled(bucket=gcs.bucket, readOnly=gcs.read_only, mountOptions=options)
    return shown


def secret_volume(one: SecretVolume, aliases: Mapping[str, str]) -> Document:
    return filled(
        secret=aliases.get(one.secret, one.secret),
        items=[filled(path=item.path, version=item.version, mode=item.mode) for item in one.items],
        defaultMode=one.default_mode,
    )


def _binary_authorization(one: BinaryAuthorization | None) -> Document:
    if one is None:
        return {}
    return filled(
        useDefault=one.use_default,
        policy="" if one.use_default else one.policy,
        breakglassJustification=one.breakglass_justification,
    )


def _vpc(one: VpcAccess | None) -> Document:
    if one is None:
        return {}
    return filled(
        connector=one.connector,
        egress=EGRESS.name(OLD_EGRESS.get(one.egress, one.egress)),
        networkInterfaces=[
            filled(network=each.network, subnetwork=each.subnetwork, tags=list(each.tags))
            for each in one.network_interfaces
        ],
    )


def _base_images(annotations: Mapping[str, str]) -> dict[str, str]:
    """Container → image that its build goes on from; nothing for text that is not of that form."""
    try:
        found = json.loads(annotations.get(BASE_IMAGES) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: uri for name, uri in found.items() if isinstance(uri, str)}
