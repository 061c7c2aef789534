"""What the store takes per attempt and for 10,000 tasks at once; see ``store_record.py``."""

from __future__ import annotations

import re
import subprocess
import sys

from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS, base
from harness.report import Report, Row, limit_row

SCRIPT = BENCHMARKS / "store_record.py"
TASKS = 10_000
CREATE_MS = 500.0
MILLISECONDS = re.compile(r"^(?P<what>.+?)\s{2,}(?P<value>[\d.]+) ms$")
MICROSECONDS = re.compile(r"^(?P<what>record, per .+?)\s+(?P<wall>[\d.]+) us wall")


def run(context: Context) -> Report:
    figures: dict[str, list[float]] = {}
    for number in range(context.rounds):
        context.tell(f"round {number + 1}/{context.rounds}")
        command = [sys.executable, str(SCRIPT), "--tasks", str(TASKS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base())
        if done.returncode:
            raise Failed(done.stderr.strip()[-500:])
        for what, value in read(done.stdout):
            figures.setdefault(what, []).append(value)
    return Report(
        "store",
        f"SQLite, synchronous=FULL, an execution of {TASKS:,} tasks",
        [row(what, values) for what, values in figures.items()],
        commands=[f"python benchmarks/store_record.py --tasks {TASKS}"],
    )


def read(text: str) -> list[tuple[str, float]]:
    """Figures in milliseconds."""
    found = []
    for line in text.splitlines():
        if match := MICROSECONDS.match(line):
            found.append((match["what"], float(match["wall"]) / 1e3))
        elif match := MILLISECONDS.match(line):
            found.append((match["what"], float(match["value"])))
    return found


def row(what: str, values: list[float]) -> Row:
    """The bound is on the best round: an fsync of somebody else is not ours."""
    if what.startswith("create"):
        return limit_row(f"{what}, best round", [min(values)], CREATE_MS, "ms")
    return limit_row(what, values, None, "ms")
