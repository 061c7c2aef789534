"""One task that writes 1 GiB, beside quiet ones: nobody else may notice."""

from __future__ import annotations

from functools import partial

from harness.context import Context
from harness.measure import Sample
from harness.pairs import Pair, run_pairs
from harness.product import QUIET, Homes, command_line, fan_out, shown
from harness.report import Report, limit_row, pair_rows

TASKS = 300
PARALLELISM = 10
QUIET_SECONDS = 0.1
BYTES = 1 << 30
SLOWER = 1.1
GROWTH_MB = 8.0
NONE, PREFIX = ("--output", "none"), ("--output", "prefix")


def script(where: str) -> tuple[str, ...]:
    """The first task writes; the others sleep. ``where`` follows the writing command."""
    loud = f"head -c {BYTES} /dev/zero {where}"
    line = f'if [ "$CLOUD_RUN_TASK_INDEX" = 0 ]; then {loud}; else exec sleep {QUIET_SECONDS}; fi'
    return ("/bin/sh", "-c", line)


def run(context: Context) -> Report:
    loud, silent = script(""), script(">/dev/null")
    with Homes() as homes:
        product = partial(fan_out, homes, TASKS, PARALLELISM, figure=QUIET)
        pairs = [
            Pair(
                "1 GiB into the log", "the same into /dev/null",
                partial(product, loud, options=NONE), partial(product, silent, options=NONE),
                at_most=SLOWER,
            ),
            Pair(
                "1 GiB shown, line by line", "the same into /dev/null",
                partial(product, loud, options=PREFIX), partial(product, silent, options=PREFIX),
            ),
        ]  # fmt: skip
        results = run_pairs(pairs, context.rounds, tell=context.tell)
    rows = pair_rows(results)
    for result in results:
        if result.samples:
            what = result.pair.what
            grown = growth(result.samples, result.bases)
            rows.append(limit_row(f"runner grows, {what}", [grown[0]], GROWTH_MB, "MB"))
            rows.append(limit_row(f"supervisor grows, {what}", [grown[1]], GROWTH_MB, "MB"))
    return Report(
        "noise",
        f"{TASKS - 1} tasks of {QUIET_SECONDS} s beside one that writes 1 GiB, "
        f"{PARALLELISM} at once",
        rows,
        notes=["Compared is how long a quiet task takes, from its claim to its recorded end."],
        commands=[shown(command_line(TASKS, PARALLELISM, loud, options=NONE))],
    )


def growth(loud: list[Sample], silent: list[Sample]) -> tuple[float, float]:
    """Worst peak with the noise over the best peak without; runner, supervisor; MB."""
    return (
        max(s.runner_mb for s in loud) - min(s.runner_mb for s in silent),
        max(s.supervisor_mb for s in loud) - min(s.supervisor_mb for s in silent),
    )
