import socket
from pathlib import Path

import pytest

from jobrunner.backends._docker.endpoint import Endpoint
from jobrunner.backends._docker.engine import read_facts
from jobrunner.backends._docker.health import absent, present
from jobrunner.backends._docker.http import EngineAway
from jobrunner.backends.docker import DockerBackend
from jobrunner.errors import BackendFault

HERE = Endpoint("unix:///run/d.sock", socket="/run/d.sock")


def facts(**info: object):  # type: ignore[no-untyped-def]
    base = {
        "ServerVersion": "20.10.24", "OSType": "linux", "NCPU": 2, "MemTotal": 4 * 1024**3,
        "MemoryLimit": True, "CpuCfsQuota": True, "CgroupVersion": "2", "CgroupDriver": "systemd",
        "LiveRestoreEnabled": True,
    }  # fmt: skip
    return read_facts({"ApiVersion": "1.41"}, {**base, **info})


def caused_by(cause: OSError) -> BackendFault:
    error = EngineAway("x")
    error.__cause__ = cause
    return error


def test_an_engine_that_is_well_says_what_it_has() -> None:
    health = present(HERE, facts(), 50 * 1024**3)
    assert health.ok
    assert health.detail == "Docker 20.10.24, API 1.41, 2 CPUs, 4.0 GiB of memory"
    assert health.hint == ""
    assert health.facts["memory_bytes"] == str(4 * 1024**3)
    assert health.facts["cpus"] == "2"
    assert health.facts["cgroup"] == "v2, systemd"
    assert health.facts["free_bytes"] == str(50 * 1024**3)
    assert health.facts["live_restore"] == "yes"


def test_limits_that_the_kernel_does_not_enforce_are_told() -> None:
    health = present(HERE, facts(MemoryLimit=False, CpuCfsQuota=False), None)
    assert health.ok
    assert health.hint == "The kernel enforces no memory and no CPU limits of containers."


def test_little_space_is_told() -> None:
    assert "Only 10 MiB of disk" in present(HERE, facts(), 10 * 1024**2).hint


def test_an_engine_for_other_containers_is_not_usable() -> None:
    health = present(HERE, facts(OSType="windows"), None)
    assert not health.ok
    assert "windows" in health.detail


def test_a_missing_permission_says_how_to_get_it() -> None:
    health = absent(HERE, caused_by(PermissionError(13, "Permission denied")))
    assert health.detail == "No permission to use the container engine at /run/d.sock."
    assert "usermod -aG docker" in health.hint
    assert "root" in health.hint


def test_no_docker_at_all_is_told_apart_from_one_that_is_not_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = caused_by(FileNotFoundError(2, "No such file"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert absent(HERE, missing).detail == "Docker is not installed."
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert "not running: no socket /run/d.sock" in absent(HERE, missing).detail


async def test_a_probe_of_nothing_never_raises(tmp_path: Path) -> None:
    for host, words in (
        (f"unix://{tmp_path}/none.sock", ("not installed", "not running")),
        ("ssh://build", ("not supported",)),
    ):
        backend = DockerBackend(str(tmp_path), environ={"DOCKER_HOST": host})
        health = await backend.probe()
        await backend.close()
        assert not health.ok
        assert any(word in health.detail for word in words)


async def test_a_socket_that_nobody_answers_is_an_engine_that_is_not_running(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    backend = DockerBackend(str(tmp_path), environ={"DOCKER_HOST": f"unix://{path}"})
    health = await backend.probe()
    await backend.close()
    assert health.detail == f"The container engine is not running: nobody answers {path}."
