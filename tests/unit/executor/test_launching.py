"""What a task is given: environment, secrets, limits and mounts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobrunner.core.records import AttemptKey, Execution
from jobrunner.core.spec import (
    Container,
    EmptyDirVolume,
    EnvVar,
    ExecutionTemplate,
    SecretItem,
    SecretRef,
    SecretVolume,
    TaskTemplate,
    Volume,
    VolumeMount,
)
from jobrunner.errors import LaunchFailed
from jobrunner.executor.environment import DEFAULT_PATH
from jobrunner.executor.launching import Launcher
from jobrunner.ports import SecretFile, Tmpfs
from jobrunner.store.logs import FileLogs
from jobrunner.store.secrets import FileSecrets
from tests.support.simulation import execution_of

CALLER = {"PATH": "/opt/mine", "HOME": "/home/me", "COLOUR": "red", "LANG": "de_DE.UTF-8"}


def launcher(folder: Path, **machine: float) -> Launcher:
    return Launcher(
        logs=FileLogs(str(folder / "logs")),
        secrets=FileSecrets(str(folder / "secrets")),
        environ=CALLER,
        machine_memory=int(machine["memory"]) if "memory" in machine else None,
        machine_cpus=machine.get("cpus"),
    )


def execution(container: Container, **fields: object) -> Execution:
    volumes = fields.pop("volumes", ())
    aliases = fields.pop("aliases", {})
    task = TaskTemplate(
        containers=(container,),
        volumes=volumes,  # type: ignore[arg-type]
        secret_aliases=aliases,  # type: ignore[arg-type]
    )
    template = ExecutionTemplate(template=task)
    values: dict[str, object] = {"backend": "docker" if container.image else "process"}
    return execution_of(3, template=template, **(values | fields))


def secret(folder: Path, name: str, version: str, content: bytes, mode: int = 0o600) -> None:
    path = folder / "secrets" / name / version
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def key(run: Execution, index: int = 1, number: int = 2) -> AttemptKey:
    return AttemptKey(run.uid, index, number)


def test_a_stored_job_starts_from_a_small_clean_environment(tmp_path: Path) -> None:
    run = execution(Container(command=("true",), env=(EnvVar("A", "1"),)))
    env = launcher(tmp_path).compile(run).env
    assert env == {
        "HOME": "/home/me",
        "LANG": "de_DE.UTF-8",
        "PATH": DEFAULT_PATH,
        "A": "1",
        "CLOUD_RUN_JOB": "job",
        "CLOUD_RUN_EXECUTION": "job-abcde",
        "CLOUD_RUN_TASK_COUNT": "3",
    }


def test_an_ad_hoc_run_inherits_the_caller_s_environment(tmp_path: Path) -> None:
    run = execution(Container(command=("true",)), hidden=True)
    env = launcher(tmp_path).compile(run).env
    assert (env["COLOUR"], env["PATH"]) == ("red", "/opt/mine")


def test_a_container_gets_nothing_of_the_machine_s_environment(tmp_path: Path) -> None:
    run = execution(Container(image="x", env=(EnvVar("A", "1"),)), hidden=True)
    env = launcher(tmp_path).compile(run).env
    assert set(env) == {"A", "CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION", "CLOUD_RUN_TASK_COUNT"}


def test_what_is_injected_wins_over_what_is_written(tmp_path: Path) -> None:
    run = execution(Container(command=("true",), env=(EnvVar("CLOUD_RUN_JOB", "other"),)))
    spec = launcher(tmp_path).spec(run, key(run))
    assert spec.template.env["CLOUD_RUN_JOB"] == "job"
    assert spec.env == {"CLOUD_RUN_TASK_INDEX": "1", "CLOUD_RUN_TASK_ATTEMPT": "2"}


def test_a_re_run_s_tasks_see_the_parent_s_task_count(tmp_path: Path) -> None:
    run = execution(Container(command=("true",)), env_task_count=100, indices=(7, 8, 42))
    assert launcher(tmp_path).compile(run).env["CLOUD_RUN_TASK_COUNT"] == "100"


def test_a_secret_is_read_at_each_attempt_so_latest_follows_a_rotation(tmp_path: Path) -> None:
    run = execution(Container(command=("true",), env=(EnvVar("KEY", secret=SecretRef("api")),)))
    ours = launcher(tmp_path)
    secret(tmp_path, "api", "1", b"old")
    assert ours.spec(run, key(run)).env["KEY"] == "old"
    secret(tmp_path, "api", "10", b"new")
    secret(tmp_path, "api", "9", b"nine")
    assert ours.spec(run, key(run)).env["KEY"] == "new"


def test_a_secret_by_alias_or_full_path_is_found_by_its_last_name(tmp_path: Path) -> None:
    secret(tmp_path, "api-key", "3", b"s")
    env = (
        EnvVar("A", secret=SecretRef("shared", "3")),
        EnvVar("B", secret=SecretRef("projects/1/secrets/api-key", "3")),
    )
    run = execution(
        Container(command=("true",), env=env), aliases={"shared": "projects/2/secrets/api-key"}
    )
    assert launcher(tmp_path).spec(run, key(run)).env["A"] == "s"
    assert launcher(tmp_path).spec(run, key(run)).env["B"] == "s"


def test_a_missing_secret_fails_the_launch_and_says_where_to_put_it(tmp_path: Path) -> None:
    run = execution(Container(command=("true",), env=(EnvVar("KEY", secret=SecretRef("api")),)))
    with pytest.raises(LaunchFailed, match="Secret 'api' has no version") as caught:
        launcher(tmp_path).spec(run, key(run))
    assert caught.value.reason == "SecretsAccessCheckFailed"
    assert caught.value.permanent
    assert "mode 0600" in caught.value.message


def test_a_secret_that_others_may_read_is_refused_without_showing_it(tmp_path: Path) -> None:
    secret(tmp_path, "api", "1", b"hunter2", mode=0o644)
    run = execution(Container(command=("true",), env=(EnvVar("KEY", secret=SecretRef("api")),)))
    with pytest.raises(LaunchFailed, match="can be read by others") as caught:
        launcher(tmp_path).spec(run, key(run))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_secret_that_is_no_plain_file_fails_the_launch_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    secret(tmp_path, "api", "1", b"hunter2")
    make(tmp_path / "secrets" / "api" / "2")
    run = execution(Container(command=("true",), env=(EnvVar("KEY", secret=SecretRef("api")),)))
    with pytest.raises(LaunchFailed, match="api/2 is not a file") as caught:
        launcher(tmp_path).spec(run, key(run))
    assert caught.value.permanent


@pytest.mark.parametrize("name", ["../etc", "a/b", "", "a" * 256, "."])
def test_a_secret_s_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    run = execution(Container(command=("true",), env=(EnvVar("K", secret=SecretRef(name, "1")),)))
    with pytest.raises(LaunchFailed):
        launcher(tmp_path).spec(run, key(run))


def test_no_secret_shows_in_the_repr_of_a_launch(tmp_path: Path) -> None:
    secret(tmp_path, "api", "1", b"hunter2")
    container = Container(
        image="x",
        env=(EnvVar("KEY", secret=SecretRef("api")),),
        volume_mounts=(VolumeMount("v", "/s"),),
    )
    run = execution(container, volumes=(Volume("v", secret=SecretVolume("api")),))
    assert "hunter2" not in repr(launcher(tmp_path).spec(run, key(run)))


def test_a_secret_volume_becomes_files_with_the_contract_s_modes(tmp_path: Path) -> None:
    secret(tmp_path, "db", "3", b"three")
    secret(tmp_path, "db", "4", b"four")
    mounts = (VolumeMount("named", "/creds/"), VolumeMount("whole", "/all"))
    volumes = (
        Volume(
            "named",
            secret=SecretVolume(
                "db",
                items=(SecretItem("3", "a.json", 0o400), SecretItem("latest", "b.json", 0o666)),
            ),
        ),
        Volume("whole", secret=SecretVolume("db")),
    )
    run = execution(Container(image="x", volume_mounts=mounts), volumes=volumes)
    assert launcher(tmp_path).spec(run, key(run)).template.secret_files == (
        SecretFile("/creds/a.json", b"three", 0o400),
        SecretFile("/creds/b.json", b"four", 0o444),
        SecretFile("/all/db", b"four", 0o444),
    )


def test_an_in_memory_volume_becomes_a_tmpfs_of_its_size(tmp_path: Path) -> None:
    run = execution(
        Container(image="x", volume_mounts=(VolumeMount("v", "/scratch"),)),
        volumes=(Volume("v", empty_dir=EmptyDirVolume(size_limit="64Mi")),),
    )
    assert launcher(tmp_path).compile(run).tmpfs == (Tmpfs("/scratch", 64 * 1024**2),)


def test_a_limit_above_the_machine_is_clamped_with_a_warning(tmp_path: Path) -> None:
    run = execution(Container(image="x", limits={"memory": "64Gi", "cpu": "8"}))
    said: list[str] = []
    template = launcher(tmp_path, memory=2 * 1024**3, cpus=2.0).compile(run, said.append)
    assert (template.memory, template.cpus) == (2 * 1024**3, 2.0)
    assert len(said) == 2
    assert "64Gi is more than this machine has (2048Mi)" in said[0]


def test_limits_are_not_put_on_processes(tmp_path: Path) -> None:
    run = execution(Container(command=("true",), limits={"memory": "64Gi", "cpu": "8"}))
    template = launcher(tmp_path, memory=2 * 1024**3, cpus=2.0).compile(run)
    assert (template.memory, template.cpus) == (None, None)


def test_the_pinned_digest_is_launched_instead_of_the_tag(tmp_path: Path) -> None:
    run = execution(Container(image="x:latest"), image_digest="x@sha256:1234")
    assert launcher(tmp_path).compile(run).image == "x@sha256:1234"


def test_with_the_process_backend_the_image_is_ignored(tmp_path: Path) -> None:
    run = execution(Container(image="x", command=("true",)), backend="process")
    template = launcher(tmp_path).compile(run)
    assert template.image is None
    assert template.working_dir == "/home/me"


def test_the_log_of_an_attempt_has_a_directory_to_be_written_in(tmp_path: Path) -> None:
    run = execution(Container(command=("true",)))
    spec = launcher(tmp_path).spec(run, key(run))
    assert Path(spec.log).parent.is_dir()
