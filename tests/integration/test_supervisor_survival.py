"""Runners and supervisors are killed; no running task is, and nothing that ended is forgotten."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.backends.supervisor import place, remains
from jobrunner.core.records import ExitStatus
from jobrunner.errors import AttemptVanished, BackendFault
from jobrunner.ports import Found, Running, Vanished
from tests.support.awaiting import until
from tests.support.backends import output
from tests.support.supervisors import Processes, alive, bearing

ROOT = Path(__file__).parents[2]
LINES = 60

DRIVER = """
import asyncio, sys
from pathlib import Path
from tests.support.supervisors import Processes

async def main():
    stage = Processes(Path(sys.argv[1]))
    script, count = sys.argv[2], int(sys.argv[3])
    async with stage.open() as backend:
        for n in range(count):
            launched = await backend.launch(stage.run(script, n))
            print(launched.handle, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@contextlib.contextmanager
def runner(processes: Processes, script: str, count: int) -> Iterator[tuple[int, list[str]]]:
    """A runner of its own process, and the handles of what it has launched."""
    words = [sys.executable, "-c", DRIVER, str(processes.home), script, str(count)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, [process.stdout.readline().strip() for _ in range(count)]
        finally:
            process.kill()


async def everything(processes: Processes) -> dict[int, Found]:
    async with processes.open() as backend:
        return {found.key.index: found async for found in backend.discover()}


async def test_kill_9_of_the_runner_interrupts_no_task_and_loses_nothing(
    processes: Processes,
) -> None:
    # Task 0 has ended before, the others live through it; each says lines all along.
    script = f"n=0; while [ $n -lt {LINES} ]; do echo line $n; n=$((n+1)); sleep 0.02; done; exit 7"
    with runner(processes, script, 5) as (pid, handles):
        await until(lambda: output(processes.run("", 4)), "all of them run")
        os.kill(pid, signal.SIGKILL)
    async with processes.open() as second:
        found = {item.key.index: item async for item in second.discover()}
        assert {index: item.handle for index, item in found.items()} == dict(enumerate(handles))
        assert all(isinstance(item.sighting, Running | ExitStatus) for item in found.values())
        ends = await asyncio.wait_for(asyncio.gather(*map(second.wait, handles)), 60)
    assert [end.code for end in ends] == [7] * 5
    whole = "".join(f"line {n}\n" for n in range(LINES)).encode()
    assert [output(processes.run("", n)) for n in range(5)] == [whole] * 5
    assert len(processes.directories()) == 1


async def test_what_ended_while_no_runner_was_there_is_read_by_the_next(
    processes: Processes,
) -> None:
    with runner(processes, "sleep 0.4; echo done; exit $((CLOUD + 3))", 3) as (pid, _):
        os.kill(pid, signal.SIGKILL)
    await until(lambda: processes.supervisors() == [], "the supervisor has left")
    found = await everything(processes)
    assert [found[n].sighting.code for n in range(3)] == [3, 3, 3]  # type: ignore[union-attr]


async def test_signals_of_a_terminal_do_not_reach_the_supervisor(processes: Processes) -> None:
    async with processes.open() as backend:
        spec = processes.run("echo ready; sleep 0.5; exit 9")
        launched = await backend.launch(spec)
        await processes.ready(spec)
        (supervisor,) = processes.supervisors()
        assert os.getsid(supervisor) not in (os.getsid(0), supervisor)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
            os.kill(supervisor, number)
        assert (await asyncio.wait_for(backend.wait(launched.handle), 60)).code == 9
        assert alive(supervisor)


async def test_the_supervisor_is_not_a_child_of_the_runner(processes: Processes) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("exit 0"))
        await backend.wait(launched.handle)
        (supervisor,) = processes.supervisors()
        with pytest.raises(ChildProcessError):
            os.waitpid(supervisor, os.WNOHANG)  # noqa: ASYNC222


async def test_after_the_death_of_runner_and_supervisor_the_leftovers_are_dead_and_vanished(
    processes: Processes,
) -> None:
    tag = f"{processes.home.name}-both"
    daemon = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\ntime.sleep(600)"
    script = f"python3 -c '{daemon}' {tag}; sh -c 'sleep 600; : {tag}' & echo ready; sleep 600"
    with runner(processes, script, 3) as (pid, handles):
        for index in range(3):
            await processes.ready(processes.run("", index))
        # A shell that is about to become a sleep counts for a moment too.
        await until(lambda: len(bearing(tag)) == 10, "three trees of three, and the driver")
        (supervisor,) = processes.supervisors()
        os.kill(supervisor, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid) and not alive(supervisor), "both are gone")
    # A shell that is about to become a sleep counts for a moment too.
    assert len(bearing(tag)) >= 9
    found = await everything(processes)
    assert bearing(tag) == []
    assert [found[n].handle for n in range(3)] == handles
    assert all(isinstance(item.sighting, Vanished) for item in found.values())
    async with processes.open() as backend:
        for handle in handles:
            with pytest.raises(AttemptVanished):
                await backend.wait(handle)
            await backend.discard(handle)
    assert processes.directories() == []


async def test_leftovers_are_found_even_where_the_environment_was_dropped(
    processes: Processes,
) -> None:
    tag = f"{processes.home.name}-bare"
    async with processes.open() as backend:
        words = ("/usr/bin/env", "-i", "/bin/sh", "-c", f"sleep 600; : {tag}")
        launched = await backend.launch(processes.command(*words))
        await until(lambda: len(bearing(tag)) == 1, "it runs")
        (supervisor,) = processes.supervisors()
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(AttemptVanished):
            await asyncio.wait_for(backend.wait(launched.handle), 60)
        assert bearing(tag) == []


async def test_a_process_that_only_looks_like_a_leftover_is_left_alone(
    processes: Processes,
) -> None:
    # Same mark, but of another supervisor: as a task of the same home under a living one.
    async with processes.open() as first:
        launched = await first.launch(processes.run("sleep 600", 0))
        (doomed,) = processes.supervisors()
        async with processes.open() as second:
            other = await second.launch(processes.run("sleep 600", 0, execution="e-2"))
            os.kill(doomed, signal.SIGKILL)
            with pytest.raises(AttemptVanished):
                await asyncio.wait_for(first.wait(launched.handle), 60)
            assert isinstance(await second.inspect(other.handle), Running)


async def test_a_runner_whose_supervisor_dies_reads_the_journal_first(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        ended = await backend.launch(processes.run("exit 5", 0))
        running = await backend.launch(processes.run("sleep 600", 1))
        await backend.wait(ended.handle)
        (supervisor,) = processes.supervisors()
        waiting = asyncio.ensure_future(backend.wait(running.handle))
        await asyncio.sleep(0.05)
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(AttemptVanished):
            await asyncio.wait_for(waiting, 60)
        assert (await backend.wait(ended.handle)).code == 5
        assert isinstance(await backend.inspect(running.handle), Vanished)


async def test_an_end_that_was_written_down_but_not_told_wins_over_vanished(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("sleep 0.3; exit 6"))
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        (directory,) = processes.directories()
        journal = directory / "journal"
        # The loop stands still while the journal gets its line and the supervisor is killed, so
        # the runner hears of both together; which one it reads first must not matter.
        await asyncio.sleep(0)
        deadline = time.monotonic() + 60
        while b"\nX " not in journal.read_bytes():
            assert time.monotonic() < deadline
        for supervisor in processes.supervisors():
            os.kill(supervisor, signal.SIGKILL)
        assert (await asyncio.wait_for(waiting, 60)).code == 6


async def test_after_the_death_of_its_supervisor_a_runner_starts_a_new_one(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        first = await backend.launch(processes.run("exit 1", 0))
        await backend.wait(first.handle)
        (supervisor,) = processes.supervisors()
        os.kill(supervisor, signal.SIGKILL)
        launches = [backend.launch(processes.run("exit 2", n)) for n in range(1, 4)]
        launched = await asyncio.wait_for(asyncio.gather(*launches), 60)
        ends = await asyncio.gather(*(backend.wait(one.handle) for one in launched))
        assert [end.code for end in ends] == [2, 2, 2]
        # What the dead one knew is still known.
        assert (await backend.wait(first.handle)).code == 1


async def test_after_a_reboot_everything_unfinished_has_vanished_and_nothing_is_killed(
    processes: Processes,
) -> None:
    tag = f"{processes.home.name}-reboot"
    async with processes.open() as backend:
        ended = await backend.launch(processes.run("exit 3", 0))
        await backend.launch(processes.run(f"sleep 600; : {tag}", 1))
        await backend.wait(ended.handle)
    (supervisor,) = processes.supervisors()
    (directory,) = processes.directories()
    os.kill(supervisor, signal.SIGKILL)
    info = directory / "info"
    now = place.read_info(str(directory))
    assert now is not None
    info.write_text(info.read_text().replace(now["boot"], "0" * 36))
    found = await everything(processes)
    assert found[0].sighting.code == 3  # type: ignore[union-attr]
    assert isinstance(found[1].sighting, Vanished)
    await until(lambda: len(bearing(tag)) == 1, "it runs on")
    # A shell that is about to become a sleep counts for a moment too.
    (left,) = {os.getpgid(pid) for pid in bearing(tag)}
    os.killpg(left, signal.SIGKILL)


async def test_a_handle_whose_supervisor_is_forgotten_has_vanished_and_runs_no_more(
    processes: Processes,
) -> None:
    tag = f"{processes.home.name}-forgotten"
    async with processes.open() as backend:
        launched = await backend.launch(processes.run(f"sleep 600; : {tag}"))
    (supervisor,) = processes.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    await until(lambda: not alive(supervisor), "it is dead")
    (directory,) = processes.directories()
    place.remove(str(directory))
    await until(lambda: len(bearing(tag)) == 1, "it runs on")
    async with processes.open() as backend:
        with pytest.raises(AttemptVanished):
            await backend.wait(launched.handle)
    assert bearing(tag) == []


async def test_leftovers_that_cannot_be_killed_are_a_fault_until_they_are_gone(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def immune(*_: object) -> None:
        """As a process that waits for a dead disk."""

    monkeypatch.setattr(remains, "PATIENCE", 0.2)
    monkeypatch.setattr(remains.signal, "pidfd_send_signal", immune)
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("sleep 600"))
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        (supervisor,) = processes.supervisors()
        await asyncio.sleep(0.05)
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(BackendFault, match="cannot be killed"):
            await asyncio.wait_for(waiting, 60)
        monkeypatch.undo()
        with pytest.raises(AttemptVanished):
            await asyncio.wait_for(backend.wait(launched.handle), 60)
