"""No-op tasks straight through ProcessBackend, without store or executor, against the C floor.

usage: supervisor_spawn.py [-n TASKS] [-p PARALLELISM] [-r ROUNDS] [--profile] [-- COMMAND …]

Each round runs the floor (benchmarks/spawnloop.c: posix_spawn, one log file per task) and then the
backend, and gives the ratio of the two; the last line is the median. Start-up of the supervisor is
not counted. With --profile the runner's side of the last round is profiled.
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from jobrunner.backends.process import ProcessBackend  # noqa: E402
from jobrunner.backends.supervisor import place  # noqa: E402
from jobrunner.core.records import AttemptKey  # noqa: E402
from jobrunner.ports import LaunchSpec, LaunchTemplate  # noqa: E402


def build_floor(directory: Path) -> Path:
    program = directory / "spawnloop"
    command = ["cc", "-O2", "-o", str(program), str(HERE / "spawnloop.c")]
    subprocess.run(command, check=True)
    return program


def floor(program: Path, tasks: int, parallelism: int, command: list[str]) -> float:
    logs = program.parent / "floor"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    words = [str(program), str(tasks), str(parallelism), str(logs), *command]
    run = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(json.loads(run.stdout)["seconds"])


def supervisor_cpu(home: Path) -> float:
    """CPU seconds that the one supervisor of this home has used; its children do not count."""
    (directory,) = Path(place.supervisors_dir(str(home))).iterdir()
    info = place.read_info(str(directory))
    assert info is not None
    fields = Path(f"/proc/{info['pid']}/schedstat").read_text().split()
    return int(fields[0]) / 1e9


async def ours(
    home: Path, tasks: int, parallelism: int, command: list[str], profile: bool
) -> tuple[float, float, float]:
    """Wall seconds from the first launch to the last end; CPU seconds of runner and supervisor."""
    backend = ProcessBackend(str(home))
    logs = home / "logs"
    logs.mkdir()
    template = LaunchTemplate(
        "e", "e", "j", "local", "here", command=tuple(command), env=dict(os.environ),
        timeout=600.0, log_dir=str(logs),
    )  # fmt: skip
    indices = iter(range(-1, tasks))
    bad = 0

    async def one(index: int) -> None:
        nonlocal bad
        key = AttemptKey("e", index, 0)
        spec = LaunchSpec(key, template, 1, {"CLOUD_RUN_TASK_INDEX": str(index)}, f"{logs}/{index}")
        launched = await backend.launch(spec)
        end = await backend.wait(launched.handle)
        bad += not end.ok
        await backend.discard(launched.handle)

    async def slot() -> None:
        for index in indices:
            await one(index)

    await one(next(indices))
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    before = supervisor_cpu(home)
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(slot() for _ in range(parallelism)))
    wall, used = time.perf_counter() - begun, time.process_time() - cpu
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    theirs = supervisor_cpu(home) - before
    await backend.close()
    assert not bad, f"{bad} tasks did not succeed"
    return wall, used, theirs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("-p", type=int, default=10)
    parser.add_argument("-r", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("command", nargs="*", default=["/bin/true"])
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="jr-bench-") as scratch:
        program = build_floor(Path(scratch))
        for number in range(options.r):
            home = Path(scratch) / f"home{number}"
            home.mkdir()
            lowest = floor(program, options.n, options.p, options.command)
            last = number == options.r - 1
            wall, used, theirs = asyncio.run(
                ours(home, options.n, options.p, options.command, options.profile and last)
            )
            ratios.append(wall / lowest)
            print(
                f"floor {lowest / options.n * 1e3:.3f} ms/task, ours"
                f" {wall / options.n * 1e3:.3f} ms/task, ratio {wall / lowest:.2f},"
                f" cpu of runner {used / options.n * 1e3:.3f} ms/task, of supervisor"
                f" {theirs / options.n * 1e3:.3f} ms/task"
            )
            shutil.rmtree(home, ignore_errors=True)
    print(f"median ratio {statistics.median(ratios):.2f} of {len(ratios)} pairs")


if __name__ == "__main__":
    main()
