"""An engine that stops, dies and comes back while tasks run on it."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jobrunner.backends import docker as docker_backend
from jobrunner.backends.docker import DockerBackend
from jobrunner.core.records import AttemptKey
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.ports import LaunchSpec, LaunchTemplate, Running
from tests.support.awaiting import until
from tests.support.backends import output
from tests.support.components import require
from tests.support.engines import PrivateEngine, private_engine
from tests.support.fixtures import BUSYBOX_IMAGE
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    with private_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def held_engine() -> Iterator[PrivateEngine]:
    """One whose socket is held by somebody else, as systemd does it."""
    with private_engine(held=True) as engine:
        yield engine


@pytest.fixture(scope="module")
def patient_engine() -> Iterator[PrivateEngine]:
    """One that leaves its containers running while it is away."""
    with private_engine("--live-restore") as engine:
        yield engine


def spec(home: Path, script: str, index: int = 0, **fields: Any) -> LaunchSpec:
    template = LaunchTemplate(
        execution="e-1", execution_name="job-abcde", job_name="job", project="local",
        region="us-central1", image=BUSYBOX_IMAGE, args=("/bin/sh", "-c", script),
        network="none", grace=1.0, **fields,
    )  # fmt: skip
    return LaunchSpec(AttemptKey("e-1", index, 0), template, 1, log=f"{home}/logs/{index}.0")


@asynccontextmanager
async def opened(home: Path, engine: PrivateEngine) -> AsyncIterator[DockerBackend]:
    backend = DockerBackend(str(home), environ={**os.environ, "DOCKER_HOST": engine.url})
    try:
        yield backend
        async for found in backend.discover():
            await backend.discard(found.handle)
    finally:
        await backend.close()


@asynccontextmanager
async def opened_blindly(home: Path, engine: PrivateEngine) -> AsyncIterator[DockerBackend]:
    """A later runner, which has never met this engine."""
    backend = DockerBackend(str(home), environ={**os.environ, "DOCKER_HOST": engine.url})
    yield backend
    await backend.close()


@pytest.mark.parametrize(
    "script",
    [
        "echo up; sleep 600",
        "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done",
        "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done",
    ],
    ids=["killed", "obeys with success", "obeys with failure"],
)
@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_task_that_an_engine_took_down_with_it_has_vanished_and_is_not_judged(
    engine: PrivateEngine, home: Path, script: str, way: str
) -> None:
    wanted = spec(home, script)
    async with opened(home, engine) as backend:
        launched = await backend.launch(wanted)
        await until(lambda: b"up" in output(wanted), "the task runs")
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        await asyncio.to_thread(engine.stop if way == "stop" else engine.kill)
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done, "nothing is known before the engine answers again"
        async with opened_blindly(home, engine) as other:
            with pytest.raises(BackendFault, match="not running"):
                await other.inspect(launched.handle)
        await asyncio.to_thread(engine.start)
        with pytest.raises(AttemptVanished, match="engine went away while it ran"):
            await asyncio.wait_for(waiting, PATIENCE)


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_socket_that_stays_does_not_hide_that_its_engine_went_away(
    held_engine: PrivateEngine, home: Path, way: str
) -> None:
    wanted = spec(home, "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    async with opened(home, held_engine) as backend:
        launched = await backend.launch(wanted)
        await until(lambda: b"up" in output(wanted), "the task runs")
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        await asyncio.to_thread(held_engine.stop if way == "stop" else held_engine.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(held_engine.start)
        with pytest.raises(AttemptVanished, match="engine went away while it ran"):
            await asyncio.wait_for(waiting, PATIENCE)


async def test_a_task_that_outlives_its_engine_is_followed_on(
    patient_engine: PrivateEngine, home: Path
) -> None:
    lasting = spec(home, "echo one; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 0", 0)
    counting = spec(home, "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.1; done", 1)
    ending = spec(home, "sleep 0.7; exit 9", 2)
    async with opened(home, patient_engine) as backend:
        launched = [await backend.launch(wanted) for wanted in (lasting, counting, ending)]
        await until(lambda: b"one" in output(lasting), "the first task runs")
        waiting = [asyncio.ensure_future(backend.wait(each.handle)) for each in launched]
        await asyncio.to_thread(patient_engine.stop)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(patient_engine.start)
        assert (await asyncio.wait_for(waiting[1], PATIENCE)).code == 0
        assert (await asyncio.wait_for(waiting[2], PATIENCE)).code == 9
        assert isinstance(await backend.inspect(launched[0].handle), Running)
        await backend.stop(launched[0].handle, grace=0.0)
        assert (await asyncio.wait_for(waiting[0], PATIENCE)).signal == 9
    assert output(counting) == b"".join(b"%d\n" % number for number in range(40))


async def test_a_launch_waits_for_an_engine_that_is_being_started_anew(
    engine: PrivateEngine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_backend, "PATIENCE", PATIENCE)
    async with opened(home, engine) as backend:
        assert (await backend.probe()).ok
        first = await backend.launch(spec(home, "exit 0", 0))
        assert (await asyncio.wait_for(backend.wait(first.handle), PATIENCE)).ok
        await asyncio.to_thread(engine.stop)
        launching = asyncio.ensure_future(backend.launch(spec(home, "exit 4", 1)))
        await asyncio.sleep(0.2)
        assert not launching.done()
        await asyncio.to_thread(engine.start)
        launched = await asyncio.wait_for(launching, PATIENCE)
        assert (await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)).code == 4


async def test_an_engine_that_went_away_for_good_is_not_the_fault_of_an_attempt(
    engine: PrivateEngine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_backend, "PATIENCE", 0.5)
    async with opened(home, engine) as backend:
        first = await backend.launch(spec(home, "exit 0", 0))
        assert (await asyncio.wait_for(backend.wait(first.handle), PATIENCE)).ok
        await asyncio.to_thread(engine.stop)
        try:
            with pytest.raises(BackendFault, match="not running") as fault:
                await asyncio.wait_for(backend.launch(spec(home, "exit 4", 1)), PATIENCE)
            assert not isinstance(fault.value, LaunchFailed)
        finally:
            await asyncio.to_thread(engine.start)
        launched = await asyncio.wait_for(backend.launch(spec(home, "exit 4", 1)), PATIENCE)
        assert (await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)).code == 4


async def test_what_ended_before_the_engine_stopped_keeps_its_end(
    engine: PrivateEngine, home: Path
) -> None:
    async with opened(home, engine) as backend:
        launched = await backend.launch(spec(home, "exit 6"))
        await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
        await asyncio.to_thread(engine.stop)
        assert (await backend.wait(launched.handle)).code == 6
        await asyncio.to_thread(engine.start)
        async with opened(home, engine) as later:
            assert (await asyncio.wait_for(later.wait(launched.handle), PATIENCE)).code == 6


async def test_an_engine_that_was_never_there_is_told_at_once(home: Path) -> None:
    missing = {**os.environ, "DOCKER_HOST": f"unix://{home}/none.sock"}
    backend = DockerBackend(str(home), environ=missing)
    with pytest.raises(BackendFault) as fault:
        await asyncio.wait_for(backend.prepare(BUSYBOX_IMAGE, print), 60)
    assert not isinstance(fault.value, LaunchFailed)
    assert fault.value.hint
    with pytest.raises(BackendFault):
        await asyncio.wait_for(backend.launch(spec(home, "true")), 60)
    with pytest.raises(BackendFault):
        _ = [found async for found in backend.discover()]
    await backend.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MB."""
    require("docker")
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = Path(tempfile.mkdtemp(prefix="jr-small-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 4096)


async def test_a_full_disk_is_the_engines_trouble_and_not_the_tasks(
    home: Path, small_disk: Path
) -> None:
    with private_engine("--data-root", str(small_disk)) as engine:
        async with opened(home, engine) as backend:
            first = await backend.launch(spec(home, "exit 0", 0))
            assert (await asyncio.wait_for(backend.wait(first.handle), PATIENCE)).ok
            with pytest.raises(OSError, match="space"):
                fill(small_disk / "filler")
            with pytest.raises(LaunchFailed) as failed:
                await asyncio.wait_for(backend.launch(spec(home, "exit 0", 1)), PATIENCE)
            assert not failed.value.permanent
            assert "no space left" in failed.value.message
            (small_disk / "filler").unlink()
            again = await backend.launch(spec(home, "exit 0", 1))
            assert (await asyncio.wait_for(backend.wait(again.handle), PATIENCE)).ok
