"""Output: at once, in order, bounded, and never at a neighbour's cost."""

import asyncio
import time
from pathlib import Path
from statistics import median

from jobrunner.lib.framelog import read_frames
from jobrunner.ports import LogLimits
from tests.support.awaiting import until
from tests.support.backends import output
from tests.support.supervisors import Processes

MIB = 1024 * 1024


async def test_a_line_is_in_the_log_a_tenth_of_a_second_after_it_was_written(
    processes: Processes,
) -> None:
    script = "while :; do date +%s.%N; sleep 0.15; done"
    async with processes.open() as backend:
        spec = processes.run(script)
        launched = await backend.launch(spec)
        await until(lambda: len(list(read_frames(spec.log))) >= 8, "eight lines")
        await backend.stop(launched.handle, grace=0)
        await backend.wait(launched.handle)
    delays = [frame.at - float(frame.data) for frame in read_frames(spec.log)]
    # Some may suffer from what else the machine does, but what is held back is always late.
    assert median(delays) < 0.1


async def test_a_flood_is_bounded_in_memory_and_on_disk_and_slows_no_neighbour(
    processes: Processes,
) -> None:
    limits = LogLimits(2 * MIB, 2 * MIB)
    volume = 200 * MIB
    async with processes.open() as backend:
        calm = processes.run("while :; do date +%s.%N; sleep 0.05; done", 1)
        calm_launched = await backend.launch(calm)
        await until(lambda: output(calm), "the calm one speaks")
        (supervisor,) = processes.supervisors()
        before = resident(supervisor)
        flood = processes.run(f"head -c {volume} /dev/zero | tr '\\0' x", log_limits=limits)
        begun = time.time()
        launched = await backend.launch(flood)
        peak = 0
        waiting = asyncio.ensure_future(backend.wait(launched.handle))
        while not waiting.done():
            peak = max(peak, resident(supervisor))
            await asyncio.sleep(0.02)
        end, over = await waiting, time.time()
        await backend.stop(calm_launched.handle, grace=0)
        await backend.wait(calm_launched.handle)
    assert end.output == volume
    assert peak - before < 8 * MIB
    files = list(Path(processes.logs).glob("0-0.*"))
    assert sum(file.stat().st_size for file in files) < 8 * MIB
    delays = [
        frame.at - float(line)
        for frame in read_frames(calm.log)
        for line in frame.data.split()
        if begun < float(line) < over
    ]
    assert len(delays) >= 3
    # Some may suffer from what else the machine does, but who is held up is always late.
    assert median(delays) < 0.1


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


async def test_head_and_tail_are_kept_and_the_gap_is_marked(processes: Processes) -> None:
    limits = LogLimits(100_000, 100_000)
    script = "seq 1000000 1300000"
    async with processes.open() as backend:
        spec = processes.run(script, log_limits=limits)
        launched = await backend.launch(spec)
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
    whole = "".join(f"{n}\n" for n in range(1000000, 1300001)).encode()
    frames = list(read_frames(spec.log))
    kept, dropped = b"".join(f.data for f in frames), sum(f.dropped for f in frames)
    assert end.output == len(whole)
    assert len(kept) + dropped == len(whole)
    gap = next(n for n, frame in enumerate(frames) if frame.dropped)
    head = b"".join(frame.data for frame in frames[:gap])
    assert len(head) >= 100_000
    assert whole.startswith(head)
    assert whole.endswith(kept[len(head) :])
    assert len(kept) - len(head) >= 100_000


async def test_what_a_process_writes_right_before_its_end_is_kept(processes: Processes) -> None:
    async with processes.open() as backend:
        specs = [processes.run(f"head -c 60000 /dev/zero; echo end {n}", n) for n in range(20)]
        launched = await asyncio.gather(*(backend.launch(spec) for spec in specs))
        await asyncio.gather(*(backend.wait(one.handle) for one in launched))
    for number, spec in enumerate(specs):
        assert output(spec) == bytes(60000) + f"end {number}\n".encode()


async def test_a_process_that_closes_its_output_and_goes_on_is_waited_for(
    processes: Processes, tmp_path: Path
) -> None:
    over = tmp_path / "over"
    async with processes.open() as backend:
        script = f"echo last; exec >&- 2>&-; sleep 0.4; date +%s.%N > {over}; exit 6"
        spec = processes.run(script)
        launched = await backend.launch(spec)
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
    assert end.code == 6
    assert output(spec) == b"last\n"
    assert end.ended_at is not None
    assert end.ended_at > float(over.read_text())


async def test_a_log_that_cannot_be_written_loses_output_and_never_the_task(
    processes: Processes,
) -> None:
    async with processes.open() as backend:
        spec = processes.run("echo hello; exit 4")
        Path(spec.log + ".log").mkdir()
        launched = await backend.launch(spec)
        end = await asyncio.wait_for(backend.wait(launched.handle), 60)
        Path(spec.log + ".log").rmdir()
    assert end.code == 4
    assert end.output == len("hello\n")


async def test_a_stranger_that_holds_the_pipe_does_not_hold_up_the_end(
    processes: Processes, tmp_path: Path
) -> None:
    # The test itself opens the write end through /proc, as a server that was handed it would.
    gate = tmp_path / "gate"
    async with processes.open() as backend:
        spec = processes.run(f"echo ready; until test -e {gate}; do sleep 0.05; done; exit 0")
        launched = await backend.launch(spec)
        await processes.ready(spec)
        main = launched.handle.split(":")[2]
        with open(f"/proc/{main}/fd/1", "wb", buffering=0):
            gate.touch()
            end = await asyncio.wait_for(backend.wait(launched.handle), 60)
    assert end.code == 0
