"""Whatever an attempt leaves behind ends with it: groups, sessions, orphans, zombies."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from jobrunner.backends.supervisor import procfs
from jobrunner.core.records import ExitStatus
from jobrunner.ports import Backend, LaunchSpec
from tests.support.awaiting import until
from tests.support.backends import READY, output
from tests.support.supervisors import Processes, bearing

DETACH = "import os,sys,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
"""The classic way of a daemon: two forks around a session of its own."""


async def finish(backend: Backend, spec: LaunchSpec) -> ExitStatus:
    launched = await backend.launch(spec)
    return await asyncio.wait_for(backend.wait(launched.handle), 60)


def nobody(tag: str) -> Callable[[], bool]:
    return lambda: not bearing(tag)


def tagged(processes: Processes, name: str) -> str:
    """A word for command lines that no other test and no other run of this one uses."""
    return f"{processes.home.name}-{name}"


async def ready(processes: Processes, spec: LaunchSpec, tag: str, count: int) -> None:
    await processes.ready(spec)
    # The main process bears the tag too: it stands in its script.
    await until(lambda: len(bearing(tag)) > count, f"{count} processes of {tag}")


async def test_background_children_end_with_the_main_process(processes: Processes) -> None:
    tag = tagged(processes, "background")
    script = f"for n in 1 2 3; do sh -c 'sleep 600; : {tag}' & done; sleep 0.2; exit 3"
    async with processes.open() as backend:
        end = await finish(backend, processes.run(script))
        assert bearing(tag) == []
    assert end.code == 3


async def test_a_daemon_ends_with_the_main_process(processes: Processes) -> None:
    tag = tagged(processes, "daemon")
    script = f"python3 -c '{DETACH}time.sleep(600)' {tag}; sleep 0.3; exit 0"
    async with processes.open() as backend:
        end = await finish(backend, processes.run(script))
        assert bearing(tag) == []
    assert end.code == 0


async def test_a_daemon_that_has_dropped_its_environment_ends_too(processes: Processes) -> None:
    tag = tagged(processes, "bare")
    script = f"env -i setsid python3 -c '{DETACH}time.sleep(600)' {tag}; sleep 0.3"
    async with processes.open() as backend:
        spec = processes.run(script, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
        await finish(backend, spec)
        assert bearing(tag) == []


async def test_a_daemon_of_one_attempt_does_not_end_with_another(processes: Processes) -> None:
    tag = tagged(processes, "neighbour")
    script = f"python3 -c '{DETACH}time.sleep(600)' {tag}; echo ready; sleep 600"
    async with processes.open() as backend:
        spec = processes.run(script, 0)
        launched = await backend.launch(spec)
        await ready(processes, spec, tag, 1)
        await asyncio.gather(*(finish(backend, processes.run("exit 0", n)) for n in range(1, 6)))
        # A shell that is about to become a sleep counts for a moment too.
        assert len(bearing(tag)) >= 2
        await backend.stop(launched.handle, grace=0)
        await asyncio.wait_for(backend.wait(launched.handle), 60)
        assert bearing(tag) == []


async def test_a_tree_that_ignores_term_is_killed_after_the_grace(processes: Processes) -> None:
    tag = tagged(processes, "stubborn")
    deaf = "import signal,sys,time,os\nsignal.signal(15, signal.SIG_IGN)\n"
    script = (
        f"trap '' TERM; python3 -c '{deaf}time.sleep(600)' {tag} & "
        f"setsid python3 -c '{deaf}time.sleep(600)' {tag} & "
        f"python3 -c '{deaf}{DETACH}time.sleep(600)' {tag} & "
        "sleep 0.5; echo ready; while :; do sleep 0.1; done"
    )
    async with processes.open() as backend:
        spec = processes.run(script)
        launched = await backend.launch(spec)
        await ready(processes, spec, tag, 3)
        begun = time.monotonic()
        await backend.stop(launched.handle, grace=0.6)
        await asyncio.sleep(0.3)
        alive = len(bearing(tag))
        # A machine that is busy may have come here too late to see them.
        assert alive >= 3 or time.monotonic() - begun >= 0.6
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
        assert time.monotonic() - begun >= 0.6
        assert bearing(tag) == []
    assert end.signal == 9


async def test_term_reaches_every_process_of_the_tree_once(processes: Processes) -> None:
    listen = (
        "import os,signal,sys,time\n"
        "def on(*_):\n os.write(1, ('got %s\\n' % sys.argv[1]).encode())\n"
        "signal.signal(15, on)\n"
    )
    up = "os.write(1, b'up ')\n"
    wait = "end=time.monotonic()+600\nwhile time.monotonic()<end: time.sleep(0.1)"
    script = (
        'python3 -c "$LISTEN$WAIT" child & '
        'setsid python3 -c "$LISTEN$WAIT" session & '
        'python3 -c "$LISTEN$DETACH$WAIT" daemon & '
        "trap 'echo got main' TERM; echo ready; while :; do sleep 0.05; done"
    )
    async with processes.open() as backend:
        own = {"LISTEN": listen, "WAIT": up + wait, "DETACH": DETACH}
        spec = processes.run(script, own=own)
        launched = await backend.launch(spec)
        await processes.ready(spec)
        await until(lambda: output(spec).count(b"up ") == 3, "the others are up")
        await backend.stop(launched.handle, grace=600)
        await until(lambda: output(spec).count(b"got ") >= 4, "all have heard it")
        await asyncio.sleep(0.5)
        await backend.stop(launched.handle, grace=0)
        await asyncio.wait_for(backend.wait(launched.handle), 60)
    lines = output(spec).decode().replace("up ", "").splitlines()
    said = sorted(line for line in lines if line.startswith("got"))
    assert said == ["got child", "got daemon", "got main", "got session"]


async def test_orphans_that_end_leave_no_zombies(processes: Processes) -> None:
    script = "n=0; while [ $n -lt 40 ]; do (sleep 0.05 &) ; n=$((n+1)); done; echo ready; sleep 600"
    async with processes.open() as backend:
        spec = processes.run(script)
        launched = await backend.launch(spec)
        await processes.ready(spec)
        (supervisor,) = processes.supervisors()
        main = int(launched.handle.split(":")[2])
        await until(
            lambda: procfs.children(supervisor) == [main], "the main process is the only child"
        )
        await backend.stop(launched.handle, grace=0)
        await asyncio.wait_for(backend.wait(launched.handle), 60)


async def test_a_chain_that_forks_as_it_dies_is_ended(processes: Processes) -> None:
    tag = tagged(processes, "chain")
    chain = "import os,sys,time\nwhile True:\n if os.fork(): time.sleep(0.02); os._exit(0)\n"
    script = f"setsid python3 -c '{chain}' {tag} & sleep 0.5; exit 0"
    async with processes.open() as backend:
        await finish(backend, processes.run(script))
        await until(nobody(tag), "the chain is broken")


async def test_a_stopped_process_is_woken_to_take_its_term(processes: Processes) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; kill -STOP $$; sleep 600"
    async with processes.open() as backend:
        spec = processes.run(script)
        launched = await backend.launch(spec)
        await processes.ready(spec)
        main = int(launched.handle.split(":")[2])
        await until(lambda: getattr(procfs.stat(main), "state", "") == "T", "it is stopped")
        await backend.stop(launched.handle, grace=20)
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
    assert end.code == 5
    assert output(spec) == READY + b"bye\n"


async def test_a_deadline_holds_while_no_runner_is_there(processes: Processes) -> None:
    tag = tagged(processes, "deadline")
    async with processes.open() as backend:
        spec = processes.run(f"sh -c 'sleep 600; : {tag}' & sleep 600", timeout=0.5, grace=0.2)
        launched = await backend.launch(spec)
    await until(nobody(tag), "the deadline has ended it")
    async with processes.open() as backend:
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
    assert end.signal == 15
    assert end.stopped == "timeout"


async def test_the_supervisor_leaves_with_the_last_attempt_and_takes_its_directory_along(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("exit 0"))
        await backend.wait(launched.handle)
        await backend.discard(launched.handle)
        assert len(processes.supervisors()) == 1
    await until(lambda: processes.directories() == [], "nothing is left")


async def test_ends_that_nobody_has_stored_survive_the_supervisor(processes: Processes) -> None:
    async with processes.open() as backend:
        launched = await backend.launch(processes.run("exit 7"))
    await until(lambda: processes.supervisors() == [], "the supervisor has left")
    (directory,) = processes.directories()
    assert Path(directory, "journal").exists()
    async with processes.open() as backend:
        assert (await backend.wait(launched.handle)).code == 7
        await backend.discard(launched.handle)
    assert processes.directories() == []


async def test_an_idle_supervisor_uses_no_processor(processes: Processes) -> None:
    async with processes.open() as backend:
        spec = processes.run("echo ready; sleep 600")
        launched = await backend.launch(spec)
        await processes.ready(spec)
        (supervisor,) = processes.supervisors()

        def used() -> int:
            return int(Path(f"/proc/{supervisor}/schedstat").read_text().split()[0])

        # A machine that is busy may need a moment until all of the start is over.
        before = 0
        while used() - before > 1_000_000:
            before = used()
            await asyncio.sleep(0.3)
        before = used()
        await asyncio.sleep(1.0)
        assert used() - before < 5_000_000
        await backend.stop(launched.handle, grace=0)
        await backend.wait(launched.handle)
