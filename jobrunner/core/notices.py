"""What a user should know about an allowed job: fields without effect, limits not enforced."""

from __future__ import annotations

from collections.abc import Iterator

from jobrunner.core.container_rules import runs_image
from jobrunner.core.defaults import DEFAULT_ACCOUNT, DEFAULT_LIMITS
from jobrunner.core.options import BACKEND
from jobrunner.core.spec import Container, JobSpec, TaskTemplate
from jobrunner.core.validation import BUILD_ANNOTATIONS

_EXECUTION_ANNOTATIONS = ("base-images", "cloudsql-instances")
_GOOGLE = "run.googleapis.com/"


def notices(spec: JobSpec) -> list[str]:
    """Whole sentences, at most one about ignored fields. Defaults may be filled in or not."""
    found = []
    fields = list(dict.fromkeys(ignored_fields(spec)))
    if fields:
        found.append(f"Stored and returned, but without effect here: {', '.join(fields)}.")
    backend = {**spec.annotations, **spec.template.annotations}.get(BACKEND)
    for container in spec.template.template.containers:
        if runs_image(container, backend):
            continue
        # A container with an image has limits that nobody asked for.
        filled = DEFAULT_LIMITS if container.image else {}
        asked = [key for key, value in container.limits.items() if filled.get(key) != value]
        if asked:
            names = " and ".join(sorted(asked))
            found.append(
                f"Limits of {names} are not enforced on a process; give the job an image to have"
                " them enforced."
            )
    return found


def ignored_fields(spec: JobSpec) -> Iterator[str]:
    """Names of the fields that are set, are allowed and have no effect; as in a v1 document."""
    if spec.launch_stage and spec.launch_stage != "GA":
        yield _GOOGLE + "launch-stage"
    if spec.binary_authorization is not None:
        yield _GOOGLE + "binary-authorization"
    yield from (key for key in spec.annotations if key in BUILD_ANNOTATIONS)
    for name in _EXECUTION_ANNOTATIONS:
        if _GOOGLE + name in spec.template.annotations:
            yield _GOOGLE + name
    yield from _of_task(spec.template.template)


def _of_task(template: TaskTemplate) -> Iterator[str]:
    # gen2 is what a container gets here too, as near as a machine of one's own can come.
    if template.execution_environment not in ("", "gen2"):
        yield _GOOGLE + "execution-environment"
    if template.encryption_key:
        yield _GOOGLE + "encryption-key"
    if template.vpc_access is not None:
        if template.vpc_access.connector:
            yield _GOOGLE + "vpc-access-connector"
        if template.vpc_access.egress:
            yield _GOOGLE + "vpc-access-egress"
        if template.vpc_access.network_interfaces:
            yield _GOOGLE + "network-interfaces"
    if template.gpu_zonal_redundancy_disabled:
        yield _GOOGLE + "gpu-zonal-redundancy-disabled"
    # The default account of any project is what a job has that asks for none.
    if template.service_account and not template.service_account.endswith(DEFAULT_ACCOUNT):
        yield "serviceAccountName"
    memory = {volume.name for volume in template.volumes if volume.empty_dir is not None}
    for container in template.containers:
        yield from _of_container(container, memory)
    if any(volume.cloud_sql is not None for volume in template.volumes):
        yield "volumes[].csi (Cloud SQL)"


def _of_container(container: Container, memory: set[str]) -> Iterator[str]:
    yield from container.ignored
    if any(mount.read_only and mount.name in memory for mount in container.volume_mounts):
        yield "volumeMounts[].readOnly (memory volume)"
