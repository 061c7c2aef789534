"""Containers and volumes of a v1 document."""

from __future__ import annotations

from collections.abc import Mapping

from jobrunner.api.v1.keys import (
    CLOUD_SQL_DRIVER,
    GCS_DRIVER,
    IGNORED_CONTAINER_FIELDS,
    REQUESTS,
)
from jobrunner.core.documents import Node
from jobrunner.core.spec import (
    CloudSqlVolume,
    Container,
    ContainerPort,
    EmptyDirVolume,
    EnvVar,
    GcsVolume,
    NfsVolume,
    SecretItem,
    SecretRef,
    SecretVolume,
    Volume,
    VolumeMount,
)


def read_container(node: Node, depends_on: Mapping[str, tuple[str, ...]]) -> Container:
    resources = node.node("resources")
    ignored: dict[str, object] = {}
    for key in IGNORED_CONTAINER_FIELDS:
        value = node.raw(key)
        if value not in (None, "", {}):
            ignored[key] = value
    requests = resources.text_map("requests", numbers=True)
    if requests:
        ignored[REQUESTS] = dict(requests)
    node.refuse("envFrom")
    name = node.text("name")
    container = Container(
        name=name,
        image=node.optional_text("image") or None,
        command=node.texts("command"),
        args=node.texts("args"),
        env=read_env(node),
        limits=resources.text_map("limits", numbers=True),
        working_dir=node.optional_text("workingDir") or None,
        volume_mounts=tuple(read_mount(mount) for mount in node.nodes("volumeMounts")),
        ports=tuple(read_port(port) for port in node.nodes("ports")),
        depends_on=depends_on.get(name, ()),
        startup_probe=read_probe(node, "startupProbe"),
        liveness_probe=read_probe(node, "livenessProbe"),
        readiness_probe=read_probe(node, "readinessProbe"),
        ignored=ignored,
    )
    resources.end()
    node.end()
    return container


def read_env(node: Node) -> tuple[EnvVar, ...]:
    return tuple(read_variable(variable) for variable in node.nodes("env"))


def read_variable(node: Node) -> EnvVar:
    name, value = node.text("name"), node.optional_text("value", private=True)
    source = node.node("valueFrom")
    reference = source.node("secretKeyRef")
    secret = None
    if reference.present:
        reference.refuse("optional", "localObjectReference")
        secret = SecretRef(reference.text("name"), reference.text("key") or "latest")
        reference.end()
    source.refuse("configMapKeyRef")
    if value is None and secret is None and not source.has("configMapKeyRef"):
        value = ""
    elif not value and secret is not None:
        value = None
    source.end()
    node.end()
    return EnvVar(name, value, secret)


def read_mount(node: Node) -> VolumeMount:
    mount = VolumeMount(
        name=node.text("name"),
        mount_path=node.text("mountPath"),
        sub_path=node.text("subPath"),
        read_only=node.flag("readOnly"),
    )
    node.end()
    return mount


def read_port(node: Node) -> ContainerPort:
    node.skip("protocol")
    port = ContainerPort(node.whole("containerPort") or 0, node.text("name"))
    node.end()
    return port


def read_probe(node: Node, key: str) -> dict[str, object] | None:
    probe = node.node(key)
    value = node.raw(key)
    return dict(value) if probe.present and isinstance(value, Mapping) else None


def read_volume(node: Node) -> Volume:
    node.refuse("configMap")
    secret, empty_dir = node.node("secret"), node.node("emptyDir")
    csi, nfs = node.node("csi"), node.node("nfs")
    gcs, cloud_sql = read_csi(csi)
    volume = Volume(
        name=node.text("name"),
        secret=read_secret(secret) if secret.present else None,
        empty_dir=read_empty_dir(empty_dir) if empty_dir.present else None,
        gcs=gcs,
        nfs=read_nfs(nfs) if nfs.present else None,
        cloud_sql=cloud_sql,
    )
    node.end()
    return volume


def read_secret(node: Node) -> SecretVolume:
    volume = SecretVolume(
        secret=node.text("secretName"),
        items=tuple(read_item(item) for item in node.nodes("items")),
        default_mode=node.whole("defaultMode") or None,
        optional=node.flag("optional"),
    )
    node.end()
    return volume


def read_item(node: Node) -> SecretItem:
    item = SecretItem(
        version=node.text("key"), path=node.text("path"), mode=node.whole("mode") or None
    )
    node.end()
    return item


def read_empty_dir(node: Node) -> EmptyDirVolume:
    volume = EmptyDirVolume(
        medium=node.text("medium") or "Memory", size_limit=node.optional_text("sizeLimit") or None
    )
    node.end()
    return volume


def read_nfs(node: Node) -> NfsVolume:
    volume = NfsVolume(node.text("server"), node.text("path"), node.flag("readOnly"))
    node.end()
    return volume


def read_csi(node: Node) -> tuple[GcsVolume | None, CloudSqlVolume | None]:
    if not node.present:
        return None, None
    driver, read_only = node.text("driver"), node.flag("readOnly")
    attributes = node.node("volumeAttributes")
    gcs = cloud_sql = None
    if driver == GCS_DRIVER:
        options = attributes.text("mountOptions")
        gcs = GcsVolume(
            bucket=attributes.text("bucketName"),
            read_only=read_only,
            mount_options=tuple(options.split(",")) if options else (),
        )
    elif driver == CLOUD_SQL_DRIVER:
        instances = attributes.text("instances")
        cloud_sql = CloudSqlVolume(tuple(instances.split(",")) if instances else ())
    else:
        attributes = Node(None, attributes.path, node.problems)
        node.wrong(node.at("driver"), driver, f"a driver; allowed: {CLOUD_SQL_DRIVER}")
    attributes.end()
    node.end()
    return gcs, cloud_sql
