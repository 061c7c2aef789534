"""A disk without a free byte, and homes that are not their owner's alone."""

import contextlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from jobrunner.app import App
from jobrunner.core.records import AttemptKey, Scope
from jobrunner.errors import StoreFault
from jobrunner.ports import Turn
from jobrunner.settings import Settings
from tests.support.commands import jobrunner
from tests.support.served import PLACE, Answered, Served, served
from tests.support.stores import NOW, TTL, a_job, an_execution, settled
from tests.support.waiting import until

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


def old_runs(home: Path, count: int, log_size: int) -> None:
    """Executions that ended long ago, each with a log."""
    with App.open(Settings(str(home), f"sqlite:///{home}/jobrunner.db")) as app:
        app.store.create_job(a_job())
        for i in range(count):
            execution = app.store.create_execution(an_execution(f"job-{i}", tasks=1))
            claimed = app.store.claim(execution.uid, "me", now=NOW, ttl=TTL)
            app.store.record(Turn(settled(claimed, NOW), at=NOW))
            path = app.logs.path_for(AttemptKey(execution.uid, 0, 0))
            Path(path + ".log").write_bytes(bytes(log_size))


def test_prune_makes_room_on_a_disk_that_is_completely_full(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(small_disk))
    old_runs(small_disk, 4, MIB)
    assert (small_disk / "reserve").stat().st_blocks * 512 >= 4 * MIB
    fill(small_disk)
    listed = jobrunner("executions", "list")
    assert listed.returncode == 5
    assert listed.stderr.startswith("Error: The disk is full: the database ")
    assert "jobrunner db prune" in listed.stderr
    pruned = jobrunner("db", "prune")
    assert pruned.returncode == 0, pruned.stderr
    assert pruned.stdout.split() == [f"job-{i}" for i in range(4)]
    assert os.statvfs(small_disk).f_bavail * 4096 >= 4 * MIB
    assert jobrunner("executions", "list").returncode == 0
    assert jobrunner("tokens", "create", "ci", "--role", "viewer").returncode == 0


def test_without_room_for_a_reserve_everything_works_without_one(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(small_disk))
    with (small_disk / "filler").open("wb") as filler:
        filler.write(bytes(13 * MIB))
    assert jobrunner("jobs", "list").returncode == 0
    assert not (small_disk / "reserve").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_home_that_others_may_write_to_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    refused = jobrunner("jobs", "list")
    assert refused.returncode == 4
    assert f"Other users may write to the home directory {home} (its mode is " in refused.stderr
    assert f"Hint: Take that away: chmod go-w {home}" in refused.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_home_that_others_may_only_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    assert jobrunner("jobs", "list").returncode == 0


def test_a_home_of_somebody_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a directory away needs root")
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    os.chown(home, 12345, 12345)
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    refused = jobrunner("jobs", "list")
    assert refused.returncode == 4
    assert "belongs to another user (uid 12345), and you are root." in refused.stderr
    assert list(home.iterdir()) == []


def test_a_group_on_a_disk_that_fills_up_is_stored_whole_or_not_at_all(small_disk: Path) -> None:
    home = small_disk
    with App.open(Settings(str(home), f"sqlite:///{home}/jobrunner.db")) as app:
        store = app.store

        def creating(group: int) -> list[object]:
            names = [f"job-{group}-{i}" for i in range(8)]
            jobs = [a_job(name, creator="x" * 20_000) for name in names]
            return list(store.group([partial(store.create_job, job) for job in jobs]))

        stored = 0
        full = None
        while full is None:
            try:
                assert creating(stored) == [None] * 8
                stored += 1
            except StoreFault as fault:
                full = fault
        assert full.message.startswith("The disk is full: ")
        assert stored > 3
        assert len(store.job_names(Scope())) == 8 * stored
        (home / "reserve").unlink()
        assert creating(stored) == [None] * 8
        assert len(store.job_names(Scope())) == 8 * (stored + 1)


def test_a_server_whose_disk_is_full_is_not_ready_until_there_is_room(small_disk: Path) -> None:
    with served(small_disk / "home") as server:
        server.create("j", "true")
        fill(small_disk)
        with pytest.raises(Answered, match="The disk is full"):
            server.create("k", "true")
        until(lambda: not ready(server))
        assert server.call("GET", f"{PLACE}/jobs/j")["name"].endswith("/j")
        (small_disk / "filler").unlink()
        until(lambda: ready(server))
        server.create("k", "true")


def ready(server: Served) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz"):
            return True
    except urllib.error.HTTPError as error:
        said = error.read().decode()
        error.close()
    assert "The disk is full" in said
    return False
