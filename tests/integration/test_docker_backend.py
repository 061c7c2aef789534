"""What containers do on a real engine, beyond what every backend promises."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from jobrunner.backends._docker.create import container_name, create_body
from jobrunner.backends.docker import DockerBackend
from jobrunner.core.records import AttemptKey, ExitStatus
from jobrunner.errors import AttemptVanished, LaunchFailed
from jobrunner.lib import framelog
from jobrunner.lib.framelog import read_frames
from jobrunner.ports import (
    Bind,
    LaunchSpec,
    LaunchTemplate,
    LogLimits,
    Running,
    SecretFile,
    Tmpfs,
)
from tests.support.awaiting import until
from tests.support.backends import output
from tests.support.components import UnixConnection, engine_socket
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("busybox_image")

IMAGE = "jobrunner-test/busybox:latest"


def spec(
    home: Path, script: str = "", index: int = 0, *, lease: int = 1, **fields: Any
) -> LaunchSpec:
    if script:
        fields["args"] = ("/bin/sh", "-c", script)
    values: dict[str, Any] = {
        "execution": "e-1", "execution_name": "job-abcde", "job_name": "job", "project": "local",
        "region": "us-central1", "image": IMAGE,
    }  # fmt: skip
    key = AttemptKey("e-1", index, 0)
    template = LaunchTemplate(**(values | fields))
    return LaunchSpec(key, template, lease, log=f"{home}/logs/{index}.0")


@asynccontextmanager
async def opened(home: Path, **environ: str) -> AsyncIterator[DockerBackend]:
    backend = DockerBackend(str(home), environ={**os.environ, **environ})
    try:
        yield backend
    finally:
        async for found in backend.discover():
            await backend.discard(found.handle)
        await backend.close()


async def run(home: Path, script: str, **fields: Any) -> tuple[ExitStatus, str]:
    """How it ended and what it wrote. The order of two streams is nobody's promise."""
    wanted = spec(home, script, **fields)
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        status = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    return status, output(wanted).decode()


def answered(path: str) -> bytes:
    connection = UnixConnection(engine_socket())
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def engine(path: str) -> Any:
    return json.loads(answered(path))


def inspected(handle: str) -> Any:
    return engine(f"/containers/{handle.split('/')[1]}/json")


def gate(home: Path) -> Bind:
    """A directory that a test and its container share, for one to wait for the other."""
    place = home / "gate"
    place.mkdir()
    return Bind(str(place), "/gate")


def passing(name: object) -> str:
    return f"until [ -e /gate/{name} ]; do sleep 0.02; done"


# ---------------------------------------------------------------- what runs, and how


async def test_the_environment_and_the_working_directory_are_the_launchs(home: Path) -> None:
    status, said = await run(
        home, 'echo "$A|$B|$(pwd)"', env={"A": "a b", "B": "="}, working_dir="/tmp"
    )
    assert status.ok
    assert said == "a b|=|/tmp\n"


@contextmanager
def image_with(*changes: str) -> Iterator[str]:
    """The name of an image of this test alone: the engine is shared."""
    import docker

    client = docker.APIClient(base_url=f"unix://{engine_socket()}")
    repository = f"jobrunner-test/{uuid.uuid4().hex}"
    container = client.create_container(IMAGE, ["/bin/true"])["Id"]
    client.commit(container, repository, "latest", changes=list(changes))
    client.remove_container(container)
    try:
        yield f"{repository}:latest"
    finally:
        client.remove_image(f"{repository}:latest", force=True)
        client.close()


async def test_args_go_to_the_images_entrypoint_and_a_command_replaces_both(home: Path) -> None:
    with image_with('ENTRYPOINT ["/bin/echo", "entry"]', 'CMD ["cmd"]') as name:
        cases: list[tuple[tuple[str, ...], tuple[str, ...], bytes]] = [
            ((), (), b"entry cmd\n"),
            ((), ("x", "y"), b"entry x y\n"),
            (("/bin/echo",), (), b"\n"),
            (("/bin/echo", "own"), ("x",), b"own x\n"),
        ]
        async with opened(home) as backend:
            for index, (command, args, expected) in enumerate(cases):
                wanted = spec(home, index=index, image=name, command=command, args=args)
                launched = await backend.launch(wanted)
                await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
                assert output(wanted) == expected


@pytest.mark.parametrize("init", [False, True])
async def test_the_task_is_the_first_process_unless_an_init_is_asked_for(
    home: Path, init: bool
) -> None:
    status, said = await run(home, "cat /proc/1/comm", init=init)
    assert status.ok
    assert (said != "sh\n" and said != "cat\n") == init


async def test_standard_input_is_empty(home: Path) -> None:
    status, said = await run(home, "wc -c")
    assert status.ok
    assert said == "0\n"


async def test_limits_reach_the_kernel(home: Path) -> None:
    wanted = spec(home, "sleep 60", cpus=0.5, memory=64 * 1024**2)
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        config = inspected(launched.handle)["HostConfig"]
        assert (config["NanoCpus"], config["Memory"]) == (500_000_000, 64 * 1024**2)


async def test_more_cpus_than_there_are_do_not_stop_a_task(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    status, _ = await run(home, "true", cpus=500.0)
    assert status.ok
    assert "job-abcde asks for 500 CPUs" in caplog.text


async def test_running_out_of_memory_is_told_apart_from_being_killed(home: Path) -> None:
    # An engine that hears of it only after the container has gone takes it for a plain kill.
    script = f"tail /dev/zero; code=$?; {passing('noticed')}; exit $code"
    async with opened(home) as backend:
        hungry = await backend.launch(
            spec(home, script, 0, memory=16 * 1024**2, binds=(gate(home),))
        )
        await until(lambda: noticed(hungry.handle, "oom"), "the engine has noticed")
        (home / "gate" / "noticed").touch()
        killed = await backend.launch(spec(home, "sleep 60", 1))
        oom = await asyncio.wait_for(backend.wait(hungry.handle), PATIENCE)
        os.kill(inspected(killed.handle)["State"]["Pid"], signal.SIGKILL)
        plain = await asyncio.wait_for(backend.wait(killed.handle), PATIENCE)
    assert (oom.signal, oom.oom, oom.ok) == (9, True, False)
    assert (plain.signal, plain.oom) == (9, False)


def noticed(handle: str, event: str) -> bool:
    """Whether the engine has told of it."""
    filters = json.dumps({"container": [handle.split("/")[1]], "event": [event]})
    query = urlencode({"since": 0, "until": f"{time.time():.9f}", "filters": filters})
    return bool(answered(f"/events?{query}"))


async def test_memory_volumes_have_their_size_and_take_programs(home: Path) -> None:
    status, said = await run(
        home,
        "df -k /scratch | tail -n 1 | awk '{print $2}'; cp /bin/busybox /scratch/true && "
        "/scratch/true && stat -c %a /scratch",
        tmpfs=(Tmpfs("/scratch", 8 * 1024**2),),
    )
    assert status.ok, said
    assert said == "8192\n1777\n"


async def test_directories_of_the_machine_are_seen_as_they_were_allowed(home: Path) -> None:
    (home / "in").mkdir()
    (home / "out").mkdir()
    (home / "in" / "data").write_text("data\n")
    status, said = await run(
        home,
        "cat /in/data; echo done > /out/result; echo x > /in/data",
        binds=(Bind(f"{home}/in", "/in", read_only=True), Bind(f"{home}/out", "/out")),
    )
    assert status.code == 1
    assert "data\n" in said
    assert "Read-only file system" in said
    assert (home / "out" / "result").read_text() == "done\n"


async def test_the_network_can_be_chosen(home: Path) -> None:
    _, said = await run(home, "ls /sys/class/net", network="none")
    assert said == "lo\n"


async def test_a_container_may_gain_no_privileges(home: Path) -> None:
    _, said = await run(home, "grep NoNewPrivs /proc/self/status")
    assert said.split() == ["NoNewPrivs:", "1"]


# ---------------------------------------------------------------- secrets


async def test_secret_files_have_their_content_and_mode_and_cannot_be_written(home: Path) -> None:
    files = (
        SecretFile("/secrets/key", b"hunter2", 0o400),
        SecretFile("/secrets/more/cert", b"\x00\xff", 0o444),
    )
    status, said = await run(
        home,
        "cat /secrets/key; echo; stat -c '%a %n' /secrets/key /secrets/more/cert; "
        "wc -c < /secrets/more/cert; (echo x > /secrets/new) 2>&1",
        secret_files=files,
    )
    assert status.code == 1
    assert said.startswith("hunter2\n400 /secrets/key\n444 /secrets/more/cert\n2\n")
    assert "Read-only file system" in said


async def test_another_user_of_the_image_can_read_a_secret_that_allows_it(home: Path) -> None:
    with image_with("USER user") as image:
        files = (SecretFile("/s/open", b"yes", 0o444), SecretFile("/s/shut", b"no", 0o400))
        status, said = await run(
            home, "exec 2>&1; id -u; cat /s/open; cat /s/shut", secret_files=files, image=image
        )
    assert status.code == 1
    assert "1000\nyes" in said
    assert "Permission denied" in said


async def test_the_content_of_a_secret_file_is_in_no_configuration_and_goes_with_the_container(
    home: Path,
) -> None:
    async with opened(home) as backend:
        wanted = spec(home, "sleep 60", secret_files=(SecretFile("/s/key", b"hunter2"),))
        launched = await backend.launch(wanted)
        found = inspected(launched.handle)
        assert "hunter2" not in json.dumps(found)
        (source,) = [Path(m["Source"]) for m in found["Mounts"] if m["Destination"] == "/s"]
        assert (source / "key").read_bytes() == b"hunter2"
        await backend.stop(launched.handle, grace=0.0)
        await backend.wait(launched.handle)
        await backend.discard(launched.handle)
        assert not source.parent.exists()


async def test_a_launch_that_fails_leaves_no_secret_and_no_container(home: Path) -> None:
    async with opened(home) as backend:
        wanted = spec(home, args=("/no/such",), secret_files=(SecretFile("/s/key", b"hunter2"),))
        with pytest.raises(LaunchFailed):
            await backend.launch(wanted)
        root = backend._secret_files().root
        assert not os.path.exists(root)
        assert [found async for found in backend.discover()] == []
    label = f"dev.jobrunner.home={backend._home}"
    assert engine(f'/containers/json?all=1&filters={{"label":["{label}"]}}') == []


# ---------------------------------------------------------------- what cannot start


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"args": ("nope",)}, "ContainerCommandFailed", 'exec: "nope": executable file not found'),
        ({"args": ("/etc/passwd",)}, "ContainerCommandFailed", "permission denied"),
        (
            {"args": ("true",), "working_dir": "/etc/passwd"}, "ContainerConfigInvalid",
            "not a directory",
        ),
        ({"args": ("true",), "network": "nope"}, "ContainerConfigInvalid", "nope not found"),
        (
            {"args": ("true",), "binds": (Bind("/no/such/place", "/x"),)},
            "ContainerConfigInvalid", "/no/such/place",
        ),
        ({"args": ("true",), "image": "sha256:" + "0" * 64}, "ContainerMissing", "not found"),
        ({"args": ("true",), "memory": 1}, "ContainerConfigInvalid", "memory limit"),
    ],
)  # fmt: skip
async def test_what_cannot_start_says_why_and_is_not_tried_again(
    home: Path, fields: dict[str, Any], reason: str, words: str
) -> None:
    async with opened(home) as backend:
        with pytest.raises(LaunchFailed) as failed:
            await backend.launch(spec(home, **fields))
        assert failed.value.permanent
        assert failed.value.reason == reason
        assert words.lower() in failed.value.message.lower()
        assert "OCI runtime" not in failed.value.message
        assert [found async for found in backend.discover()] == []


@pytest.mark.parametrize("image", ["Not An Image", "", "a:b:c"])
async def test_what_is_no_image_name_is_refused_with_the_form(home: Path, image: str) -> None:
    async with opened(home) as backend:
        with pytest.raises(LaunchFailed) as failed:
            await backend.prepare(image, print)
    assert failed.value.permanent
    assert failed.value.message.startswith(f"'{image}' is not the name of an image; the form is")


async def test_a_local_image_without_a_digest_is_pinned_by_its_id(home: Path) -> None:
    async with opened(home) as backend:
        pinned = await backend.prepare(IMAGE, print)
        assert pinned == engine(f"/images/{IMAGE}/json")["Id"]
        assert await backend.prepare(pinned, print) == pinned


# ---------------------------------------------------------------- output


BINARY = bytes(range(256)) * 8


def awkward(size: int) -> str:
    """Writes a line of ``size`` bytes, bytes that are no text, and an unfinished line."""
    octal = "".join(f"\\{byte:03o}" for byte in range(256))
    return (
        f"head -c {size} /dev/zero | tr '\\0' x; echo; "
        f"for i in 1 2 3 4 5 6 7 8; do printf '{octal}'; done; printf tail"
    )


def expected(size: int) -> bytes:
    return b"x" * size + b"\n" + BINARY + b"tail"


async def test_long_lines_and_bytes_that_are_no_text_come_back_exactly(home: Path) -> None:
    wanted = spec(home, awkward(100_000))
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        status = await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    assert output(wanted, 1) == expected(100_000)
    assert status.output == len(expected(100_000))


@pytest.mark.parametrize("size", [16383, 16384, 16385, 100_000])
async def test_a_later_runner_reads_the_same_bytes_again(home: Path, size: int) -> None:
    wanted = spec(home, awkward(size))
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
        later = DockerBackend(str(home))
        again = await asyncio.wait_for(later.wait(launched.handle), PATIENCE)
        await later.close()
    assert output(wanted, 1) == expected(size)
    assert again.output == len(expected(size))


async def test_output_is_in_the_log_while_the_task_runs(home: Path) -> None:
    # No line is written before the one before it was seen.
    script = f"for i in 0 1 2 3 4; do cat /proc/uptime; {passing('$i')}; done; sleep 60"
    wanted = spec(home, script, binds=(gate(home),))
    seen = []
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        for number in range(5):
            await until(lambda n=number: output(wanted).count(b"\n") > n, f"line {number}")  # type: ignore[misc]
            seen.append(time.time())
            (home / "gate" / str(number)).touch()
        assert isinstance(await backend.inspect(launched.handle), Running)
    frames = list(read_frames(wanted.log))
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for frame, seen_at in zip(frames, seen, strict=True):
        # The kernel tells hundredths of a second.
        assert booted_at + float(frame.data.split()[0]) - 0.02 <= frame.at <= seen_at


async def test_what_is_adopted_keeps_its_streams_its_times_and_its_order(home: Path) -> None:
    # What is written to two pipes has an order only where one waits for the other.
    script = f"echo a; {passing('b')}; echo b >&2; {passing('c')}; echo c; sleep 60"
    wanted = spec(home, script, binds=(gate(home),))
    moments = []
    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        for number, name in enumerate("bc", 1):
            await until(lambda n=number: kept_lines(launched.handle) == n, f"{number} lines")  # type: ignore[misc]
            moments.append(time.time())
            (home / "gate" / name).touch()
        await until(lambda: kept_lines(launched.handle) == 3, "the last line")
        await backend.close()
        framelog.remove(wanted.log)
        later = DockerBackend(str(home))
        waiting = asyncio.ensure_future(later.wait(launched.handle))
        await until(lambda: output(wanted).count(b"\n") == 3, "the log is written anew")
        await later.stop(launched.handle, grace=0.0)
        await asyncio.wait_for(waiting, PATIENCE)
        await later.discard(launched.handle)
        await later.close()
    frames = list(read_frames(wanted.log))
    assert [(frame.stream, frame.data) for frame in frames] == [
        (1, b"a\n"), (2, b"b\n"), (1, b"c\n"),
    ]  # fmt: skip
    a, b, c = (frame.at for frame in frames)
    assert a <= moments[0] <= b <= moments[1] <= c


def kept_lines(handle: str) -> int:
    """How many lines of output the engine has stored."""
    return answered(f"/containers/{handle.split('/')[1]}/logs?stdout=1&stderr=1").count(b"\n")


async def test_much_output_is_bounded_on_disk_and_in_memory(home: Path) -> None:
    megabytes = 60
    wanted = spec(
        home, f"yes 0123456789012345678901234567890123456789 | head -c {megabytes * 1_000_000}",
        log_limits=LogLimits(1_000_000, 1_000_000),
    )  # fmt: skip
    import resource

    async with opened(home) as backend:
        launched = await backend.launch(wanted)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status = await asyncio.wait_for(backend.wait(launched.handle), 120)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert status.output == megabytes * 1_000_000
    frames = list(read_frames(wanted.log))
    kept = sum(len(frame.data) for frame in frames)
    assert 2_000_000 <= kept <= 3_000_000
    assert kept + sum(frame.dropped for frame in frames) == megabytes * 1_000_000
    assert after - before < 20_000


# ---------------------------------------------------------------- runners that go away


RUNNER = """
import asyncio, sys
from jobrunner.backends.docker import DockerBackend
from jobrunner.core.records import AttemptKey
from jobrunner.ports import LaunchSpec, LaunchTemplate

home, image, script = sys.argv[1:]

async def main():
    backend = DockerBackend(home)
    template = LaunchTemplate(
        execution="e-1", execution_name="job-abcde", job_name="job", project="local",
        region="us-central1", image=image, args=("/bin/sh", "-c", script),
    )
    spec = LaunchSpec(AttemptKey("e-1", 0, 0), template, 1, log=f"{home}/logs/0.0")
    launched = await backend.launch(spec)
    print(launched.handle, flush=True)
    await backend.wait(launched.handle)

asyncio.run(main())
"""


def doomed_runner(home: Path, script: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", RUNNER, str(home), IMAGE, script]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ends", ["later", "meanwhile"])
async def test_a_killed_runner_interrupts_nothing_and_loses_nothing(home: Path, ends: str) -> None:
    script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; exit 5"
    runner = doomed_runner(home, script)
    assert runner.stdout is not None
    handle = (await asyncio.to_thread(runner.stdout.readline)).strip()
    runner.kill()
    runner.wait()
    runner.stdout.close()
    if ends == "meanwhile":
        await until(lambda: not inspected(handle)["State"]["Running"], "the task has ended")
    async with opened(home) as backend:
        (found,) = [found async for found in backend.discover()]
        assert found.handle == handle
        assert found.key == AttemptKey("e-1", 0, 0)
        status = await asyncio.wait_for(backend.wait(handle), PATIENCE)
    assert status.code == 5
    assert output(spec(home)) == b"1\n2\n3\n4\n5\n6\n"


async def test_a_runner_killed_at_any_moment_of_a_launch_leaves_one_container_or_none(
    home: Path,
) -> None:
    for moment in range(8):
        runner = doomed_runner(home, "sleep 60")
        await asyncio.sleep(0.15 + 0.05 * moment)
        runner.kill()
        runner.wait()
        assert runner.stdout is not None
        runner.stdout.close()
        async with opened(home) as backend:
            await backend.fence("e-1", 2)
            found = [found async for found in backend.discover()]
            assert len(found) <= 1
            again = await backend.launch(spec(home, "sleep 60", lease=2))
            assert [again.handle] == [f.handle for f in found] or not found
            assert len([f async for f in backend.discover()]) == 1
            await backend.stop(again.handle, grace=0.0)
            await asyncio.wait_for(backend.wait(again.handle), PATIENCE)


async def test_what_was_created_and_never_started_is_started_by_the_next_launch(
    home: Path,
) -> None:
    wanted = spec(home, "echo ran")
    async with opened(home) as backend:
        facts = await backend._engine().facts()
        name = container_name(backend._home, wanted)
        made = create_body(wanted, home=backend._home, cpus=0, log_drivers=facts.logs)
        await backend._engine().post("/containers/create", {"name": name}, made)
        launched = await backend.launch(wanted)
        assert (await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)).ok
    assert output(wanted) == b"ran\n"


async def test_what_was_created_under_an_older_lease_is_removed_by_the_survey(home: Path) -> None:
    wanted = spec(home, "echo ran")
    async with opened(home) as backend:
        facts = await backend._engine().facts()
        name = container_name(backend._home, wanted)
        made = create_body(wanted, home=backend._home, cpus=0, log_drivers=facts.logs)
        created = await backend._engine().post("/containers/create", {"name": name}, made)
        await backend.fence("e-1", 2)
        assert [found async for found in backend.discover()] == []
    assert "No such container" in engine(f"/containers/{created['Id']}/json")["message"]


async def test_a_container_that_somebody_removed_has_vanished(home: Path) -> None:
    async with opened(home) as backend:
        launched = await backend.launch(spec(home, "sleep 60"))
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        await backend._engine().delete(
            f"/containers/{launched.handle.split('/')[1]}", {"force": "1"}
        )
        with pytest.raises(AttemptVanished, match=r"no longer knows|removes its container"):
            await asyncio.wait_for(waiting, PATIENCE)


async def test_a_home_sees_and_touches_its_own_containers_only(home: Path, tmp_path: Path) -> None:
    async with opened(home) as mine, opened(tmp_path) as theirs:
        launched = await mine.launch(spec(home, "sleep 60"))
        assert [found async for found in theirs.discover()] == []
        with pytest.raises(AttemptVanished):
            await theirs.wait(launched.handle)
        with pytest.raises(AttemptVanished):
            await theirs.discard(launched.handle)
        assert inspected(launched.handle)["State"]["Running"]


async def test_an_engine_behind_plain_tcp_is_as_good(home: Path) -> None:
    async with tcp_bridge() as port:
        wanted = spec(home, "echo over tcp")
        async with opened(home, DOCKER_HOST=f"tcp://127.0.0.1:{port}") as backend:
            assert (await backend.probe()).ok
            launched = await backend.launch(wanted)
            assert (await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)).ok
        assert output(wanted) == b"over tcp\n"


@asynccontextmanager
async def tcp_bridge() -> AsyncIterator[int]:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(engine_socket())
        await asyncio.gather(carry(reader, up_writer), carry(up_reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_what_is_here_can_be_told(home: Path) -> None:
    async with opened(home) as backend:
        health = await backend.probe()
    assert health.ok
    assert int(health.facts["memory_bytes"]) > 0
    assert int(health.facts["cpus"]) >= 1
    assert int(health.facts["free_bytes"]) > 0
