"""Containers and volumes of a v2 document."""

from __future__ import annotations

from jobrunner.api.v1.containers import read_nfs, read_probe
from jobrunner.api.v2.enums import MEDIUM
from jobrunner.api.v2.refusing import refuse
from jobrunner.core.documents import Node
from jobrunner.core.spec import (
    CloudSqlVolume,
    Container,
    ContainerPort,
    EmptyDirVolume,
    EnvVar,
    GcsVolume,
    SecretItem,
    SecretRef,
    SecretVolume,
    Volume,
    VolumeMount,
)


def read_container(node: Node) -> Container:
    refuse(node, "sourceCode", "buildInfo")
    resources = node.node("resources")
    refuse(resources, "cpuIdle", "startupCpuBoost")
    # Read by the execution template: v1 keeps it in an annotation there.
    node.skip("baseImageUri")
    container = Container(
        name=node.text("name"),
        image=node.optional_text("image") or None,
        command=node.texts("command"),
        args=node.texts("args"),
        env=read_env(node),
        limits=resources.text_map("limits"),
        working_dir=node.optional_text("workingDir") or None,
        volume_mounts=tuple(read_mount(mount) for mount in node.nodes("volumeMounts")),
        ports=tuple(read_port(port) for port in node.nodes("ports")),
        depends_on=node.texts("dependsOn"),
        startup_probe=read_probe(node, "startupProbe"),
        liveness_probe=read_probe(node, "livenessProbe"),
        readiness_probe=read_probe(node, "readinessProbe"),
    )
    resources.end()
    node.end()
    return container


def read_env(node: Node) -> tuple[EnvVar, ...]:
    return tuple(read_variable(variable) for variable in node.nodes("env"))


def read_variable(node: Node) -> EnvVar:
    name, value = node.text("name"), node.optional_text("value", private=True)
    source = node.node("valueSource")
    reference = source.node("secretKeyRef")
    secret = None
    if reference.present:
        secret = SecretRef(reference.text("secret"), reference.text("version") or "latest")
        reference.end()
    if value is None and secret is None:
        value = ""
    elif not value and secret is not None:
        value = None
    source.end()
    node.end()
    return EnvVar(name, value, secret)


def read_mount(node: Node) -> VolumeMount:
    mount = VolumeMount(node.text("name"), node.text("mountPath"), node.text("subPath"))
    node.end()
    return mount


def read_port(node: Node) -> ContainerPort:
    port = ContainerPort(node.whole("containerPort") or 0, node.text("name"))
    node.end()
    return port


def read_volume(node: Node) -> Volume:
    secret, empty_dir = node.node("secret"), node.node("emptyDir")
    gcs, nfs, cloud_sql = node.node("gcs"), node.node("nfs"), node.node("cloudSqlInstance")
    volume = Volume(
        name=node.text("name"),
        secret=read_secret(secret) if secret.present else None,
        empty_dir=read_empty_dir(empty_dir) if empty_dir.present else None,
        gcs=read_gcs(gcs) if gcs.present else None,
        nfs=read_nfs(nfs) if nfs.present else None,
        cloud_sql=read_cloud_sql(cloud_sql) if cloud_sql.present else None,
    )
    node.end()
    return volume


def read_secret(node: Node) -> SecretVolume:
    volume = SecretVolume(
        secret=node.text("secret"),
        items=tuple(read_item(item) for item in node.nodes("items")),
        default_mode=node.whole("defaultMode") or None,
    )
    node.end()
    return volume


def read_item(node: Node) -> SecretItem:
    # Without a version the newest is meant.
    item = SecretItem(
        version=node.text("version") or "latest",
        path=node.text("path"),
        mode=node.whole("mode") or None,
    )
    node.end()
    return item


def read_empty_dir(node: Node) -> EmptyDirVolume:
    volume = EmptyDirVolume(
        medium=MEDIUM.read(node, "medium") or "Memory",
        size_limit=node.optional_text("sizeLimit") or None,
    )
    node.end()
    return volume


def read_gcs(node: Node) -> GcsVolume:
    volume = GcsVolume(node.text("bucket"), node.flag("readOnly"), node.texts("mountOptions"))
    node.end()
    return volume


def read_cloud_sql(node: Node) -> CloudSqlVolume:
    volume = CloudSqlVolume(node.texts("instances"))
    node.end()
    return volume
