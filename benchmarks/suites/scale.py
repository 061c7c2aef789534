"""10,000 tasks against 1,000: a task must not become dearer, and memory must stay small."""

from __future__ import annotations

from functools import partial

from harness.context import Context
from harness.pairs import Pair, run_pairs
from harness.product import Homes, command_line, fan_out, shown
from harness.report import Report, limit_row, pair_rows

FEW, MANY = 1_000, 10_000
PARALLELISM = 10
RUNNER_MB = {FEW: 80.0, MANY: 100.0}


def run(context: Context) -> Report:
    with Homes() as homes:
        pair = Pair(
            f"{MANY:,} tasks, per task",
            f"{FEW:,} tasks, per task",
            partial(fan_out, homes, MANY, PARALLELISM),
            partial(fan_out, homes, FEW, PARALLELISM),
            at_most=1.3,
        )
        results = run_pairs([pair], context.rounds, tell=context.tell)
    rows = pair_rows(results)
    for count, samples in ((FEW, results[0].bases), (MANY, results[0].samples)):
        if samples:
            memory = [sample.runner_mb for sample in samples]
            rows.append(limit_row(f"runner, {count:,} tasks", memory, RUNNER_MB[count], "MB"))
            memory = [sample.supervisor_mb for sample in samples]
            rows.append(limit_row(f"supervisor, {count:,} tasks", memory, None, "MB"))
    return Report(
        "scale",
        f"{MANY:,} tasks against {FEW:,}, {PARALLELISM} at once",
        rows,
        commands=[shown(command_line(MANY, PARALLELISM))],
    )
