"""The spec of a job, an execution or a task as a v1 document. What is zero or empty is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from jobrunner.api.v1 import keys
from jobrunner.api.v1.annotations import compact, interfaces_text
from jobrunner.core.documents import Document, filled
from jobrunner.core.spec import (
    Container,
    EnvVar,
    ExecutionTemplate,
    JobSpec,
    SecretVolume,
    StringMap,
    TaskTemplate,
    Volume,
    VolumeMount,
)


def job_spec(spec: JobSpec, *, whole: bool = False) -> Document:
    """``whole``: with metadata of the template, empty though it be. gcloud takes a template without
    any for one that it may not look into, and crashes."""
    template = spec.template
    metadata = filled(
        labels=dict(template.labels),
        annotations={**template.annotations, **task_annotations(template.template)},
    )
    shown: Document = {"metadata": metadata} if whole else filled(metadata=metadata)
    shown["spec"] = execution_spec(template)
    return {
        "template": shown,
        **filled(
            startExecutionToken=spec.start_execution_token,
            runExecutionToken=spec.run_execution_token,
        ),
    }


def execution_spec(template: ExecutionTemplate) -> Document:
    shown = filled(parallelism=template.parallelism, taskCount=template.task_count)
    shown["template"] = {"spec": task_spec(template.template)}
    return shown


def task_spec(template: TaskTemplate) -> Document:
    shown: Document = {"containers": [container(one) for one in template.containers]}
    # Zero is not the default of maxRetries, so it is written.
    if template.max_retries is not None:
        shown["maxRetries"] = template.max_retries
    if template.timeout is not None:
        shown["timeoutSeconds"] = str(math.ceil(template.timeout))
    return {
        **shown,
        **filled(
            serviceAccountName=template.service_account,
            nodeSelector=dict(template.node_selector),
            volumes=[volume(one) for one in template.volumes],
        ),
    }


def job_annotations(spec: JobSpec) -> StringMap:
    """User annotations, and settings of the job that v1 keeps in annotations."""
    binary = spec.binary_authorization
    policy = ("default" if binary.use_default else binary.policy) if binary else ""
    return {
        **spec.annotations,
        **_texts(
            {
                keys.CLIENT_NAME: spec.client,
                keys.CLIENT_VERSION: spec.client_version,
                keys.LAUNCH_STAGE: spec.launch_stage,
                keys.BINARY_AUTHORIZATION: policy,
                keys.BREAKGLASS: binary.breakglass_justification if binary else "",
            }
        ),
    }


def task_annotations(template: TaskTemplate) -> StringMap:
    vpc = template.vpc_access
    interfaces = interfaces_text(vpc) if vpc and vpc.network_interfaces else ""
    depends = {one.name: list(one.depends_on) for one in template.containers if one.depends_on}
    aliases = ",".join(f"{alias}:{path}" for alias, path in template.secret_aliases.items())
    return _texts(
        {
            keys.EXECUTION_ENVIRONMENT: template.execution_environment,
            keys.SECRETS: aliases,
            keys.ENCRYPTION_KEY: template.encryption_key,
            keys.CONNECTOR: vpc.connector if vpc else "",
            keys.EGRESS: vpc.egress if vpc else "",
            keys.INTERFACES: interfaces,
            keys.DEPENDENCIES: compact(depends) if depends else "",
            keys.ZONAL: "true" if template.gpu_zonal_redundancy_disabled else "",
        }
    )


def _texts(texts: Mapping[str, str]) -> StringMap:
    return {key: value for key, value in texts.items() if value}


def container(one: Container) -> Document:
    ignored = {key: value for key, value in one.ignored.items() if key != keys.REQUESTS}
    resources = filled(limits=dict(one.limits), requests=one.ignored.get(keys.REQUESTS))
    return {
        **filled(
            name=one.name,
            image=one.image,
            command=list(one.command),
            args=list(one.args),
            env=[variable(each) for each in one.env],
            resources=resources,
            volumeMounts=[mount(each) for each in one.volume_mounts],
            workingDir=one.working_dir,
            ports=[filled(name=port.name, containerPort=port.container_port) for port in one.ports],
            startupProbe=one.startup_probe,
            livenessProbe=one.liveness_probe,
            readinessProbe=one.readiness_probe,
        ),
        **ignored,
    }


def variable(one: EnvVar) -> Document:
    if one.secret is None:
        return filled(name=one.name, value=one.value)
    reference = filled(name=one.secret.secret, key=one.secret.version)
    return filled(name=one.name, valueFrom={"secretKeyRef": reference})


def mount(one: VolumeMount) -> Document:
    return filled(
        name=one.name, mountPath=one.mount_path, subPath=one.sub_path, readOnly=one.read_only
    )


def volume(one: Volume) -> Document:
    shown = filled(name=one.name)
    if one.secret is not None:
        shown["secret"] = secret(one.secret)
    if one.empty_dir is not None:
        shown["emptyDir"] = filled(medium=one.empty_dir.medium, sizeLimit=one.empty_dir.size_limit)
    if one.gcs is not None:
        shown["csi"] = filled(
            driver=keys.GCS_DRIVER,
            readOnly=one.gcs.read_only,
            volumeAttributes=filled(
                bucketName=one.gcs.bucket, mountOptions=",".join(one.gcs.mount_options)
            ),
        )
    if one.cloud_sql is not None:
        shown["csi"] = filled(
            driver=keys.CLOUD_SQL_DRIVER,
            volumeAttributes=filled(instances=",".join(one.cloud_sql.instances)),
        )
    if one.nfs is not None:
        shown["nfs"] = filled(server=one.nfs.server, path=one.nfs.path, readOnly=one.nfs.read_only)
    return shown


def secret(one: SecretVolume) -> Document:
    return filled(
        secretName=one.secret,
        items=[filled(key=item.version, path=item.path, mode=item.mode) for item in one.items],
        defaultMode=one.default_mode,
        optional=one.optional,
    )
