"""What a runner pays that holds 500 MB."""

from __future__ import annotations

from functools import partial

from harness.context import Context
from harness.pairs import Pair, run_pairs
from harness.product import Homes, command_line, fan_out, shown
from harness.report import Report, pair_rows

TASKS = 1000
MEGABYTES = 500


def run(context: Context) -> Report:
    with Homes() as homes:
        product = partial(fan_out, homes, TASKS, 10)
        pair = Pair(
            f"runner holds {MEGABYTES} MB", "the same without",
            partial(product, ballast_mb=MEGABYTES), product, at_most=1.3,
        )  # fmt: skip
        results = run_pairs([pair], context.rounds, tell=context.tell)
    return Report(
        "parent500",
        f"{TASKS:,} tasks, 10 at once, from a runner that holds {MEGABYTES} MB",
        pair_rows(results),
        commands=[shown(command_line(TASKS, 10, ballast_mb=MEGABYTES))],
    )
