"""Rules about volumes and where they are mounted."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.names import (
    CLOUD_SQL_VOLUME,
    secret_problem,
    secret_version_problem,
    volume_name_problem,
)
from jobrunner.core.problems import VOLUMES, Problems
from jobrunner.core.quantities import parse_memory
from jobrunner.core.spec import EmptyDirVolume, SecretVolume, Volume, VolumeMount

MAX_MODE = 0o777
CLOUD_SQL_PATH = "/cloudsql"
SYSTEM_PATHS = ("/dev", "/proc", "/sys")


def check_volumes(problems: Problems, volumes: Sequence[Volume]) -> None:
    names: set[str] = set()
    for place, volume in enumerate(volumes):
        field = f"{VOLUMES}[{place}]"
        if problems.check(f"{field}.name", volume_name_problem(volume.name)):
            if volume.name in names:
                problems.add(f"{field}.name", f"another volume has the name '{volume.name}' too")
            if volume.name == CLOUD_SQL_VOLUME and volume.cloud_sql is None:
                problems.add(f"{field}.name", f"'{CLOUD_SQL_VOLUME}' is kept for Cloud SQL")
        names.add(volume.name)
        check_kind(problems, field, volume)


def check_kind(problems: Problems, field: str, volume: Volume) -> None:
    kinds = (volume.secret, volume.empty_dir, volume.gcs, volume.nfs, volume.cloud_sql)
    count = sum(kind is not None for kind in kinds)
    if count != 1:
        problems.add(
            field,
            f"it has {count or 'no'} kinds; give exactly one of secret, emptyDir, csi and nfs",
        )
    if volume.secret is not None:
        check_secret(problems, f"{field}.secret", volume.secret)
    if volume.empty_dir is not None:
        check_empty_dir(problems, f"{field}.emptyDir", volume.empty_dir)
    if volume.gcs is not None:
        problems.refuse(f"{field}.csi.volumeAttributes.bucketName")
    if volume.nfs is not None:
        problems.refuse(f"{field}.nfs")


def check_secret(problems: Problems, field: str, volume: SecretVolume) -> None:
    problems.check(f"{field}.secretName", secret_problem(volume.secret))
    check_mode(problems, f"{field}.defaultMode", volume.default_mode)
    paths: set[str] = set()
    for place, item in enumerate(volume.items):
        where = f"{field}.items[{place}]"
        problems.check(f"{where}.key", secret_version_problem(item.version))
        check_mode(problems, f"{where}.mode", item.mode)
        parts = item.path.split("/")
        if not item.path or item.path.startswith("/") or ".." in parts or "\0" in item.path:
            problems.add(
                f"{where}.path",
                f"'{item.path}' is not a path in the volume; write it without a leading '/' and"
                " without '..'",
            )
        elif item.path in paths:
            problems.add(f"{where}.path", f"another item has the path '{item.path}' too")
        paths.add(item.path)


def check_mode(problems: Problems, field: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= MAX_MODE:
        problems.add(field, f"{mode} is not a file mode; allowed: 0 to {MAX_MODE} (0777 in octal)")


def check_empty_dir(problems: Problems, field: str, volume: EmptyDirVolume) -> None:
    if volume.medium != "Memory":
        problems.add(f"{field}.medium", f"'{volume.medium}' is not a medium; allowed: Memory")
    if volume.size_limit is not None:
        try:
            parse_memory(volume.size_limit)
        except ValueError as error:
            problems.add(f"{field}.sizeLimit", str(error))


def check_mounts(
    problems: Problems, field: str, mounts: Sequence[VolumeMount], volumes: Sequence[Volume]
) -> None:
    declared = {volume.name: volume for volume in volumes}
    paths: set[str] = set()
    for place, mount in enumerate(mounts):
        where = f"{field}[{place}]"
        volume = declared.get(mount.name)
        if volume is None:
            names = ", ".join(declared) or "there is none"
            problems.add(
                f"{where}.name", f"'{mount.name}' is not a volume of this task; declared: {names}"
            )
        if mount.sub_path:
            problems.refuse(f"{where}.subPath")
        problem = mount_path_problem(mount.mount_path)
        clean = normal_path(mount.mount_path)
        if (
            problem is None
            and (clean == CLOUD_SQL_PATH)
            and (volume is not None and volume.cloud_sql is None)
        ):
            problem = f"'{CLOUD_SQL_PATH}' is kept for Cloud SQL"
        if problem is None and clean in paths:
            problem = f"something else is mounted at '{clean}' too"
        problems.check(f"{where}.mountPath", problem)
        paths.add(clean)


def mount_path_problem(path: str) -> str | None:
    if not path.startswith("/") or ":" in path or "\0" in path or ".." in path.split("/"):
        return f"'{path}' is not a mount path; write an absolute path without ':' and '..'"
    clean = normal_path(path)
    if clean == "/":
        return "'/' cannot be mounted over; mount below it"
    for system in SYSTEM_PATHS:
        if clean == system or clean.startswith(f"{system}/"):
            return f"'{path}' is in {system}, which belongs to the system"
    return None


def normal_path(path: str) -> str:
    """``path`` without doubled and trailing slashes and ``.``."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
