"""The same tasks through what people use today. ``setup_peers.sh`` installs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from harness import services
from harness.context import Context
from harness.measure import Failed, Sample, watch
from harness.pairs import Pair, run_pairs, whole
from harness.place import BENCHMARKS, peers_python
from harness.product import Homes, command_line, fan_out, shown
from harness.report import Report, pair_rows

TASKS = 1000
PARALLELISM = 10
PARALLEL = "seq {tasks} | parallel -j{parallelism} -n1 --joblog {log} --retries 3 /bin/true"


def run(context: Context) -> Report:
    with ExitStack() as stack:
        homes = stack.enter_context(Homes())
        product = partial(fan_out, homes, TASKS, PARALLELISM)
        celery = {"BENCH_REDIS": stack.enter_context(services.redis())}
        huey = {"BENCH_HUEY": str(homes.root / "huey.db")}
        procrastinate = {"BENCH_POSTGRES": stack.enter_context(services.postgres())}
        me = "jobrunner"
        pairs = [
            # Start and end of both commands are part of both figures here.
            Pair(
                "GNU parallel --joblog, whole commands", me,
                partial(gnu_parallel, homes), product, at_least=2.5, seconds=whole,
            ),
            Pair(
                "Celery, prefork, Redis", me,
                partial(peer, "p_celery.py", celery),
                product, at_least=2.0,
            ),
            Pair(
                "Huey, SQLite synchronous=FULL", me,
                partial(peer, "p_huey.py", huey),
                product, at_least=1.5,
            ),
            Pair(
                "Procrastinate, PostgreSQL", me,
                partial(peer, "p_procrastinate.py", procrastinate),
                product, at_least=3.0,
            ),
        ]  # fmt: skip
        results = run_pairs(pairs, context.rounds, tell=context.tell)
    return Report(
        "peers",
        f"{TASKS:,} tasks that do nothing, {PARALLELISM} at once, through what people use today",
        pair_rows(results),
        commands=[
            "benchmarks/setup_peers.sh",
            shown(command_line(TASKS, PARALLELISM)),
            PARALLEL.format(tasks=TASKS, parallelism=PARALLELISM, log="joblog"),
            "python benchmarks/peers/p_celery.py",
        ],
        notes=[
            "The ratio is how many times longer the peer takes. Workers of peers are up and warm "
            "before the clock starts; CPU of Redis and PostgreSQL themselves is not counted."
        ],
    )


def gnu_parallel(homes: Homes) -> Sample:
    if shutil.which("parallel") is None:
        raise Failed("GNU parallel is not installed: benchmarks/setup_peers.sh")
    scratch = homes.logs()
    log = scratch / "joblog"
    line = PARALLEL.format(tasks=TASKS, parallelism=PARALLELISM, log=log)
    watched = watch(["/bin/sh", "-c", line], scratch=scratch)
    ended = [row.split("\t")[6] for row in log.read_text().splitlines()[1:]]
    if ended != ["0"] * TASKS:
        raise Failed(f"GNU parallel ended {ended.count('0')} of {TASKS} tasks with 0")
    return watched.sample(None, TASKS)


def peer(script: str, addresses: Mapping[str, str]) -> Sample:
    python = peers_python()
    if not python.exists():
        raise Failed(f"{python} does not exist: benchmarks/setup_peers.sh")
    watched = watch(
        [str(python), script],
        scratch=services.scratch(),
        cwd=BENCHMARKS / "peers",
        env={**addresses, "TASKS": str(TASKS), "PARALLELISM": str(PARALLELISM)},
    )
    said = json.loads(watched.stdout.splitlines()[-1])
    if said["failed"]:
        raise Failed(f"{script}: {said}")
    return watched.sample(said["seconds"], TASKS)
