"""Runners and supervisors meet: several at once, strangers, old versions, the deaf and the full."""

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.backends.process import backend as process_backend
from jobrunner.backends.process import link
from jobrunner.backends.supervisor import place, protocol, start
from jobrunner.errors import BackendFault, LaunchFailed
from jobrunner.ports import Running
from tests.support.awaiting import until
from tests.support.backends import output
from tests.support.supervisors import Processes, alive, bearing


async def test_two_runners_at_once_have_a_supervisor_each_and_see_both(
    processes: Processes,
) -> None:
    async with processes.open() as first, processes.open() as second:
        mine = await first.launch(processes.run("sleep 600", 0))
        theirs = await second.launch(processes.run("sleep 0.2; exit 4", 1))
        assert len(processes.supervisors()) == 2
        for backend in (first, second):
            found = {item.handle async for item in backend.discover()}
            assert found == {mine.handle, theirs.handle}
        ends = await asyncio.gather(first.wait(theirs.handle), second.wait(theirs.handle))
        assert [end.code for end in ends] == [4, 4]
        await second.stop(mine.handle, grace=0)
        assert (await asyncio.wait_for(first.wait(mine.handle), 60)).signal == 9


async def test_a_home_with_a_very_long_path_works(processes: Processes, home: Path) -> None:
    deep = home / ("x" * 120) / ("y" * 120)
    deep.mkdir(parents=True)
    stage = Processes(deep)
    async with stage.open() as backend:
        launched = await backend.launch(stage.run("exit 5"))
        assert (await backend.wait(launched.handle)).code == 5
    await stage.clear()


async def test_a_home_whose_path_holds_odd_characters_works(home: Path) -> None:
    odd = home / "a b'c\"d:é%s{}"
    odd.mkdir()
    stage = Processes(odd)
    async with stage.open() as backend:
        launched = await backend.launch(stage.run("exit 5"))
        assert (await backend.wait(launched.handle)).code == 5
    await stage.clear()


async def test_state_is_for_the_owner_only(processes: Processes) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("echo hello"))
        await backend.wait(launched.handle)
        (directory,) = processes.directories()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "journal").stat().st_mode & 0o777 == 0o600
        assert Path(processes.run("").log + ".log").stat().st_mode & 0o777 == 0o600


async def test_nothing_of_a_task_is_in_the_command_line_of_the_supervisor(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        secret = f"s3cret-{processes.home.name}"
        await backend.launch(processes.run("sleep 600", own={"TOKEN": secret}))
        (supervisor,) = processes.supervisors()
        line = Path(f"/proc/{supervisor}/cmdline").read_bytes()
        environment = Path(f"/proc/{supervisor}/environ").read_bytes()
        (directory,) = processes.directories()
        files = b"".join((directory / name).read_bytes() for name in ("journal", "info", "log"))
    assert secret.encode() not in line + environment + files


# ---------------------------------------------------------------- versions and strangers


def raw(processes: Processes) -> socket.socket:
    (directory,) = processes.directories()
    sock = place.connect(str(directory))
    sock.setblocking(True)
    sock.settimeout(20)
    return sock


def frame(*messages: object) -> bytes:
    body = json.dumps(messages).encode()
    return protocol.LENGTH.pack(len(body)) + body


def answers(sock: socket.socket) -> list[list[object]]:
    """Everything until the other side hangs up."""
    inbox, found = protocol.Inbox(), []
    while data := sock.recv(65536):
        for body in inbox.feed(data):
            found.extend(json.loads(body))
    return found


async def test_a_runner_of_another_version_is_told_so(processes: Processes) -> None:
    async with processes.open() as backend:
        await backend.launch(processes.run("sleep 600"))
        with raw(processes) as sock:
            sock.sendall(frame(["hello", 99]))
            (said,) = await asyncio.to_thread(answers, sock)
        assert said[0] == "refused"
        assert "speaks version 1" in str(said[1])
        assert len([item async for item in backend.discover()]) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        protocol.LENGTH.pack(3) + b"{}}",
        frame(["hello", 1], ["spawn", 7, "e/0/0", {}, "x", 1]),
        frame(["hello", 1], ["dance"]),
        frame(["spawn", 7]),
        frame(["hello", 1], ["template", 1, {"argv": []}]),
    ],
)
async def test_nonsense_from_one_runner_ends_its_line_and_nothing_else(
    processes: Processes, data: bytes
) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("sleep 600"))
        with raw(processes) as sock:
            sock.sendall(data)
            said = await asyncio.to_thread(answers, sock)
        assert said[-1][0] == "refused"
        assert isinstance(await backend.inspect(launched.handle), Running)


async def test_another_user_is_not_heard(processes: Processes) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can become somebody else")
    async with processes.open() as backend:
        await backend.launch(processes.run("sleep 600"))
        (directory,) = processes.directories()
        # Even if somebody opened all the doors by hand.
        for path in (processes.home, *directory.parents[:2], directory):
            path.chmod(0o755)
        (directory / "sock").chmod(0o777)
        program = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.settimeout(20); print(s.recv(100))"
        )
        words = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", program]
        run = await asyncio.to_thread(
            subprocess.run, [*words, str(directory / "sock")], capture_output=True, text=True,
            cwd="/",
        )  # fmt: skip
        assert run.stdout == "b''\n" or "ConnectionReset" in run.stderr, run.stderr


@contextlib.contextmanager
def impostor(processes: Processes, answer: bytes) -> Iterator[Path]:
    """A directory of a living supervisor in which something else answers, or nothing does."""
    directory = Path(place.supervisors_dir(str(processes.home))) / "0123456789ab"
    directory.mkdir(parents=True, mode=0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    listener = place.listen(str(directory))
    listener.setblocking(True)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.sendall(answer)
                kept.append(sock)

    kept: list[socket.socket] = []
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield directory
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for sock in kept:
            sock.close()
        place.remove(str(directory))
        os.close(lock)


async def test_a_supervisor_of_another_version_is_named_with_what_to_do(
    processes: Processes,
) -> None:
    with impostor(processes, frame(["hello", 99])):
        async with processes.open() as backend:
            with pytest.raises(BackendFault, match="another version of jobrunner") as caught:
                assert [item async for item in backend.discover()]
            assert caught.value.hint is not None
            # Its attempts are its own; ours go on.
            launched = await backend.launch(processes.run("exit 0"))
            await backend.wait(launched.handle)
            await backend.discard(launched.handle)


async def test_a_supervisor_that_says_nothing_is_a_fault_and_no_loss(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_backend, "PATIENCE", 0.3)
    with impostor(processes, b"") as directory:
        (directory / "log").write_text("first line\nsomething bad happened\n")
        async with processes.open() as backend:
            with pytest.raises(BackendFault, match="something bad happened"):
                assert [item async for item in backend.discover()]


# ---------------------------------------------------------------- deaf, dead, full


async def test_a_stopped_supervisor_is_named_as_stopped_by_the_next_runner(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with processes.open() as first:
        launched = await first.launch(processes.run("sleep 0.2; exit 8"))
        (supervisor,) = processes.supervisors()
        os.kill(supervisor, signal.SIGSTOP)
        try:
            monkeypatch.setattr(process_backend, "PATIENCE", 0.5)
            async with processes.open() as second:
                with pytest.raises(BackendFault, match=rf"process {supervisor}.*is stopped") as it:
                    assert [item async for item in second.discover()]
                assert it.value.hint == f"if somebody stopped it: kill -CONT {supervisor}"
        finally:
            os.kill(supervisor, signal.SIGCONT)
            monkeypatch.undo()
        assert (await asyncio.wait_for(first.wait(launched.handle), 60)).code == 8


async def test_a_launch_that_was_given_up_never_happens(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that is busy may need a good part of it for the first launch.
    monkeypatch.setattr(link, "SILENCE", 1.0)
    tag = f"{processes.home.name}-given-up"
    async with processes.open() as backend:
        first = await backend.launch(processes.run("exit 0", 0))
        await backend.wait(first.handle)
        await backend.discard(first.handle)
        (supervisor,) = processes.supervisors()
        os.kill(supervisor, signal.SIGSTOP)
        try:
            with pytest.raises(BackendFault, match="is stopped"):
                await backend.launch(processes.run(f"echo ran; sleep 600; : {tag}", 1))
        finally:
            os.kill(supervisor, signal.SIGCONT)
            monkeypatch.undo()
        later = await asyncio.wait_for(backend.launch(processes.run("exit 0", 2)), 60)
        await backend.wait(later.handle)
        await until(lambda: bearing(tag) == [], "it does not run")
        found = {item.key.index async for item in backend.discover()}
        assert found == {2}


async def test_a_supervisor_that_cannot_start_is_a_fault_that_says_why(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PROGRAM", "import sys; sys.exit('no way, {root!r}')")
    async with processes.open() as backend:
        with pytest.raises(BackendFault, match="no way"):
            await backend.launch(processes.run("exit 0"))
    assert processes.directories() == []


async def test_a_home_that_cannot_be_written_is_a_fault_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").write_text("in the way")
    stage = Processes(tmp_path)
    async with stage.open() as backend:
        with pytest.raises(BackendFault, match=str(tmp_path / "run")):
            await backend.launch(stage.run("exit 0"))


async def test_while_the_journal_cannot_be_written_nothing_starts_and_no_end_is_lost(
    processes: Processes, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with processes.open() as backend:
        script = f"until test -e {gate}; do sleep 0.05; done; exit 3"
        running = await backend.launch(processes.run(script, 0))
        (supervisor,) = processes.supervisors()
        (directory,) = processes.directories()
        size = (directory / "journal").stat().st_size
        # As on a full disk: every write beyond this size fails.
        hard = resource.prlimit(supervisor, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (size, hard))
        with pytest.raises(LaunchFailed) as caught:
            await backend.launch(processes.run("exit 0", 1))
        assert not caught.value.permanent
        assert caught.value.reason == "JournalUnwritable"
        waiting = asyncio.ensure_future(backend.wait(running.handle))
        gate.touch()
        main = int(running.handle.split(":")[2])
        await until(lambda: not alive(main), "it has ended")
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert isinstance(await backend.inspect(running.handle), Running)
        resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (hard, hard))
        assert (await asyncio.wait_for(waiting, 60)).code == 3
        again = await backend.launch(processes.run("exit 4", 1))
        assert (await backend.wait(again.handle)).code == 4


async def test_a_torn_last_line_of_a_journal_is_no_line(processes: Processes) -> None:
    async with processes.open() as backend:
        ended = await backend.launch(processes.run("exit 5", 0))
        await backend.wait(ended.handle)
        (supervisor,) = processes.supervisors()
        (directory,) = processes.directories()
        os.kill(supervisor, signal.SIGKILL)
        await until(lambda: not alive(supervisor), "it is dead")
    with (directory / "journal").open("a") as file:
        file.write("S e-1/1/0 e-1/2")
    async with processes.open() as backend:
        found = {str(item.key): item async for item in backend.discover()}
        assert found.keys() == {"e-1/0/0"}
        await backend.discard(ended.handle)
    assert processes.directories() == []


async def test_the_journal_of_a_long_life_stays_small(processes: Processes) -> None:
    async with processes.open() as backend:
        kept = await backend.launch(processes.run("sleep 600", 9000))
        (directory,) = processes.directories()
        largest = 0
        long = "x" * 4000
        for number in range(160):
            execution = f"e-{number}-{long}"
            launched = await backend.launch(
                processes.command("/bin/true", index=number, execution=execution)
            )
            await backend.wait(launched.handle)
            await backend.discard(launched.handle)
            largest = max(largest, (directory / "journal").stat().st_size)
        assert largest > 1_000_000
        assert (directory / "journal").stat().st_size < 1_100_000
        assert [item.handle async for item in backend.discover()] == [kept.handle]
    # It still says what it must.
    (supervisor,) = processes.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    async with processes.open() as backend:
        assert [item.handle async for item in backend.discover()] == [kept.handle]


async def test_thousands_of_ends_at_once_reach_a_runner_that_was_asleep(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        specs = [processes.run("echo hi", n) for n in range(400)]
        launched = await asyncio.gather(*(backend.launch(spec) for spec in specs))
        ends = await asyncio.gather(*(backend.wait(one.handle) for one in launched))
        assert all(end.ok for end in ends)
    assert all(output(spec) == b"hi\n" for spec in specs)


def test_the_supervisor_needs_nothing_but_the_standard_library() -> None:
    program = (
        f"import sys; sys.path.append({start.ROOT!r})\n"
        "import jobrunner.backends.supervisor.main\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('jobrunner', 'msgspec'))))"
    )
    words = [sys.executable, "-I", "-S", "-c", program]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    foreign = [
        name for name in run.stdout.split()
        if not name.startswith(("jobrunner.backends.supervisor", "jobrunner.lib"))
    ]  # fmt: skip
    assert foreign == ["jobrunner", "jobrunner.backends"]
