"""What a user writes: the template of a job, field for field of the Cloud Run contract.

Times are seconds (float), sizes stay in the contract's text form (``512Mi``): it round-trips.
``None`` means *not set*; the default is filled in by :mod:`jobrunner.core.defaults`.
Sources: Cloud Run Admin API v1 ``Job`` and v2 ``Job``; the v1 path and the v2 path of each field
are listed in ``docs/reference/fields.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

StringMap = dict[str, str]


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A version of a secret. ``secret`` is an id, an alias or ``projects/P/secrets/S``."""

    secret: str
    version: str = "latest"


@dataclass(frozen=True, slots=True)
class EnvVar:
    """Exactly one of ``value`` and ``secret`` is set (an empty ``value`` counts as set)."""

    name: str
    value: str | None = None
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class VolumeMount:
    name: str
    mount_path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerPort:
    container_port: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a task. Without ``image`` the command runs as a plain process."""

    name: str = ""
    image: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    limits: StringMap = field(default_factory=dict)
    working_dir: str | None = None
    volume_mounts: tuple[VolumeMount, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    depends_on: tuple[str, ...] = ()
    startup_probe: dict[str, object] | None = None
    liveness_probe: dict[str, object] | None = None
    readiness_probe: dict[str, object] | None = None
    ignored: dict[str, object] = field(default_factory=dict)
    """Fields that nothing reads, by their v1 name, kept to be returned."""


@dataclass(frozen=True, slots=True)
class SecretItem:
    version: str
    path: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class SecretVolume:
    secret: str
    items: tuple[SecretItem, ...] = ()
    default_mode: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EmptyDirVolume:
    medium: str = "Memory"
    size_limit: str | None = None


@dataclass(frozen=True, slots=True)
class GcsVolume:
    bucket: str
    read_only: bool = False
    mount_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NfsVolume:
    server: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class CloudSqlVolume:
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """Exactly one of the kinds is set."""

    name: str
    secret: SecretVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    gcs: GcsVolume | None = None
    nfs: NfsVolume | None = None
    cloud_sql: CloudSqlVolume | None = None


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    network: str = ""
    subnetwork: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VpcAccess:
    connector: str = ""
    egress: str = ""
    network_interfaces: tuple[NetworkInterface, ...] = ()


@dataclass(frozen=True, slots=True)
class BinaryAuthorization:
    use_default: bool = False
    policy: str = ""
    breakglass_justification: str = ""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that every attempt of an execution can read; ``variable`` of its environment has the
    path. ``name`` is one segment of a path."""

    name: str
    variable: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """What each task runs. ``timeout`` is seconds per attempt. ``files`` are those that an order to
    run brings (:class:`Overrides`); a job has none."""

    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    max_retries: int | None = None
    timeout: float | None = None
    service_account: str = ""
    execution_environment: str = ""
    encryption_key: str = ""
    vpc_access: VpcAccess | None = None
    node_selector: StringMap = field(default_factory=dict)
    gpu_zonal_redundancy_disabled: bool = False
    secret_aliases: StringMap = field(default_factory=dict)
    files: tuple[InputFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionTemplate:
    """``labels`` and ``annotations`` go to each execution. Annotations keep every key that has no
    field of its own above, ours (``jobrunner.dev/…``) included."""

    template: TaskTemplate = field(default_factory=TaskTemplate)
    parallelism: int | None = None
    task_count: int | None = None
    labels: StringMap = field(default_factory=dict)
    annotations: StringMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The writable part of a job."""

    template: ExecutionTemplate = field(default_factory=ExecutionTemplate)
    labels: StringMap = field(default_factory=dict)
    annotations: StringMap = field(default_factory=dict)
    client: str = ""
    client_version: str = ""
    launch_stage: str = ""
    binary_authorization: BinaryAuthorization | None = None
    start_execution_token: str = ""
    run_execution_token: str = ""


@dataclass(frozen=True, slots=True)
class ContainerOverride:
    """``args`` replaces when not empty; ``clear_args`` empties; ``env`` is merged by name."""

    name: str = ""
    args: tuple[str, ...] = ()
    clear_args: bool = False
    env: tuple[EnvVar, ...] = ()


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one execution changes of its job's template (contract: ``jobs.run`` overrides).
    ``files`` are our own, and come with events: kept with the execution, so that whatever is tried
    again finds them, and beside its logs as long as those are kept."""

    containers: tuple[ContainerOverride, ...] = ()
    task_count: int | None = None
    timeout: float | None = None
    files: tuple[InputFile, ...] = ()
