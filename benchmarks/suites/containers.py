"""50 containers that do nothing; the measuring is done by ``benchmarks/containers.py``."""

from __future__ import annotations

import re
import subprocess
import sys

from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS
from harness.report import Report, Row, verdict

SCRIPT = BENCHMARKS / "containers.py"
BOUNDED = ("backend", "product")
"""What must keep to the bound; ``command`` is the product with the start of its command."""

AT_MOST = 1.10
LINE = re.compile(
    r"^\| (?P<name>\w+) \| (?P<seconds>[\d.]+) \|.*?\| (?P<ratio>[\d.]+)x \| (?P<span>[\d. to]+) "
    r"\| (?P<of_run>[\d.]*)x? \|"
)
TITLE = re.compile(r"^(\d+) containers, parallelism (\d+)")


def run(context: Context) -> Report:
    command = [sys.executable, str(SCRIPT), "-r", str(context.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip()[-500:])
    return Report(
        "containers",
        "containers that do nothing, against the bare Engine API and docker run",
        list(rows(done.stdout)),
        commands=["python benchmarks/containers.py"],
        notes=[
            "raw: create, start, wait, delete through the Engine API, one connection each slot."
        ],
    )


def rows(text: str) -> list[Row]:
    """From the tables that the script prints."""
    found: list[Row] = []
    title = ""
    for line in text.splitlines():
        if heading := TITLE.match(line):
            title = f"{heading[1]} containers, {heading[2]} at once"
        elif entry := LINE.match(line):
            name, of_raw = entry["name"], float(entry["ratio"])
            bounded = name in BOUNDED
            of_run = float(entry["of_run"] or "nan")
            passed = max(of_raw, of_run) <= AT_MOST if bounded else None
            cells = {
                "what": f"{name}, {title}",
                "s": entry["seconds"],
                "of raw": f"**{of_raw:.2f}x**",
                "of docker run": f"**{of_run:.2f}x**",
                "min-max": entry["span"].strip().replace(" to ", "-"),
                "bound": f"≤ {AT_MOST:g}x" if bounded else "",
                "": verdict(passed),
            }
            found.append(Row(cells, passed, {"ratio": of_raw, "ratio_to_run": of_run}))
    if not found:
        raise Failed(f"nothing was measured: {text[-500:]}")
    return found
