"""What the dispatcher takes beside a bare aiohttp loop, and how quick a server is with the same
backlog; see ``dispatch_calls.py``."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence

from dispatch_calls import Speed
from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS, base
from harness.report import Report, Row, verdict

SCRIPT = BENCHMARKS / "dispatch_calls.py"
CALLS, TURNS = 1500, 5
"""Messages of one turn, and turns of one round: short, so that a neighbour meets both sides."""
AT_LEAST = {"dispatcher": 0.6}
P99_AT_MOST = 2.0
NAMES = {"dispatcher": "dispatcher, stored backlog", "serve": "jobrunner serve, stored backlog"}


def run(context: Context) -> Report:
    turns: dict[str, list[Speed]] = {}
    for number in range(context.rounds):
        context.tell(f"round {number + 1}/{context.rounds}")
        command = [sys.executable, str(SCRIPT), "--calls", str(CALLS), "--rounds", str(TURNS)]
        done = subprocess.run(
            [*command, "--serve"], capture_output=True, text=True, check=False, cwd=base()
        )
        if done.returncode:
            raise Failed(done.stderr.strip()[-500:])
        for line in done.stdout.splitlines():
            name, *figures = line.split()
            turns.setdefault(name, []).append(Speed(*map(float, figures)))
    ours, bare = turns["dispatcher"], turns["bare"]
    rows = [speed_row(name, turns[name], bare) for name in NAMES]
    return Report(
        "dispatch",
        "durable deliveries to a small sink, 16 at once, against a bare aiohttp loop",
        [*rows, tail_row(ours, bare)],
        commands=[f"python benchmarks/dispatch_calls.py --calls {CALLS} --serve"],
        notes=["The ratio is that of messages per second, turn by turn."],
    )


def speed_row(name: str, ours: Sequence[Speed], bare: Sequence[Speed]) -> Row:
    ratios = [o.rate / b.rate for o, b in zip(ours, bare, strict=True)]
    middle = statistics.median(ratios)
    least = AT_LEAST.get(name)
    passed = None if least is None else middle >= least
    cells = {
        "what": NAMES[name],
        "against": "aiohttp",
        "msg/s": f"{statistics.median(o.rate for o in ours):.0f}",
        "base": f"{statistics.median(b.rate for b in bare):.0f}",
        "ratio": f"**{middle:.2f}x**",
        "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "best/best": f"{max(o.rate for o in ours) / max(b.rate for b in bare):.2f}x",
        "CPU us": f"{statistics.median(o.cpu for o in ours):.0f}",
        "base CPU": f"{statistics.median(b.cpu for b in bare):.0f}",
        "bound": "" if least is None else f"≥ {least:g}x",
        "": verdict(passed),
    }
    return Row(cells, passed, {"ratios": ratios})


def tail_row(ours: Sequence[Speed], bare: Sequence[Speed]) -> Row:
    ratios = [o.p99 / b.p99 for o, b in zip(ours, bare, strict=True)]
    middle = statistics.median(ratios)
    cells = {
        "what": "request to response, p99",
        "against": "aiohttp",
        "msg/s": f"{statistics.median(o.p99 for o in ours):.1f} ms",
        "base": f"{statistics.median(b.p99 for b in bare):.1f} ms",
        "ratio": f"**{middle:.2f}x**",
        "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "bound": f"≤ {P99_AT_MOST:g}x",
        "": verdict(middle <= P99_AT_MOST),
    }
    return Row(cells, middle <= P99_AT_MOST, {"ratios": ratios})
