"""1,000 tasks that do nothing, against a bare C loop of posix_spawn and waitpid."""

from __future__ import annotations

from functools import partial

from harness.context import Context
from harness.floor import spawn_loop
from harness.pairs import Pair, run_pairs
from harness.product import Homes, command_line, fan_out, shown
from harness.report import Report, limit_row, pair_rows

TASKS = 1000
ECHO = ("/bin/echo", "one line of output")
RUNNER_MB = 80.0


def run(context: Context) -> Report:
    with Homes() as homes:
        product = partial(fan_out, homes, TASKS)
        floor = partial(spawn_loop, homes, TASKS)
        ten, two = "true, parallelism 10", "true, parallelism 2"
        file, bare = "C loop, one log file per task", "C loop, no log files"
        pairs = [
            Pair(ten, file, partial(product, 10), partial(floor, 10), at_most=2.0, goal=1.6),
            Pair(two, file, partial(product, 2), partial(floor, 2), at_most=3.0),
            Pair(ten, bare, partial(product, 10), partial(floor, 10, log_files=False)),
            Pair(
                "a line of output each, parallelism 10",
                file,
                partial(product, 10, ECHO),
                partial(floor, 10, ECHO),
            ),
        ]
        results = run_pairs(pairs, context.rounds, tell=context.tell)
    rows = pair_rows(results)
    samples = [sample for result in results for sample in result.samples]
    if samples:
        rows += [
            limit_row("runner, peak memory", [s.runner_mb for s in samples], RUNNER_MB, "MB"),
            limit_row("supervisor, peak memory", [s.supervisor_mb for s in samples], None, "MB"),
            limit_row(
                "start-up and end: whole command less the fan-out",
                [s.wall - s.seconds for s in results[0].samples] or [0.0],
                None,
                "s",
            ),
            *[
                limit_row(
                    f"CPU per task at parallelism 10: {part}",
                    [1e3 * s.parts.get(part, 0.0) / s.tasks for s in results[0].samples] or [0.0],
                    None,
                    "ms",
                )
                for part in ("runner", "supervisor", "tasks")
            ],
        ]
    return Report(
        "fanout",
        f"{TASKS:,} tasks that do nothing",
        rows,
        commands=[shown(command_line(TASKS, 10)), f"spawnloop {TASKS} 10 LOGS /bin/true"],
        notes=[
            "From the first claim to the recorded end; state durable (SQLite, synchronous=FULL), "
            "output captured per task, retries and timeouts armed."
        ],
    )
