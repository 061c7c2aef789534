"""What the HTTP sender takes beside a bare aiohttp loop; see ``sender_calls.py``."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS, base
from harness.report import Report, Row, verdict

SCRIPT = BENCHMARKS / "sender_calls.py"
CALLS, TURNS = 1500, 5
"""Calls of one turn, and turns of one round: short ones, so that a neighbour meets both sides."""
AT_LEAST = {"sender": 1.4, "token": 1.2}
NAMES = {"sender": "HttpSender", "token": "HttpSender with an OIDC token"}


@dataclass(frozen=True, slots=True)
class Turn:
    """Calls per second, the 99th percentile in milliseconds, microseconds of processor time."""

    rate: float
    p99: float
    cpu: float


def run(context: Context) -> Report:
    turns: dict[str, list[Turn]] = {}
    for number in range(context.rounds):
        context.tell(f"round {number + 1}/{context.rounds}")
        command = [sys.executable, str(SCRIPT), "--calls", str(CALLS), "--rounds", str(TURNS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base())
        if done.returncode:
            raise Failed(done.stderr.strip()[-500:])
        for line in done.stdout.splitlines():
            name, *figures = line.split()
            turns.setdefault(name, []).append(Turn(*map(float, figures)))
    return Report(
        "senders",
        "calls over HTTP to a small sink, 16 at once, against a bare aiohttp loop",
        [row(name, turns[name], turns["bare"]) for name in NAMES],
        commands=[f"python benchmarks/sender_calls.py --calls {CALLS}"],
        notes=["The ratio is that of calls per second of processor time, turn by turn."],
    )


def row(name: str, ours: Sequence[Turn], bare: Sequence[Turn]) -> Row:
    """Both sides are one busy thread, so processor time is what they differ by; the rate also
    differs by who else wanted the processor."""
    ratios = [b.cpu / o.cpu for o, b in zip(ours, bare, strict=True)]
    middle = statistics.median(ratios)
    passed = middle >= AT_LEAST[name]
    cells = {
        "what": NAMES[name],
        "against": "aiohttp",
        "calls/s": f"{statistics.median(o.rate for o in ours):.0f}",
        "base": f"{statistics.median(b.rate for b in bare):.0f}",
        "p99 ms": f"{statistics.median(o.p99 for o in ours):.1f}",
        "base p99": f"{statistics.median(b.p99 for b in bare):.1f}",
        "CPU us": f"{min(o.cpu for o in ours):.0f}",
        "base CPU": f"{min(b.cpu for b in bare):.0f}",
        "speed": f"**{middle:.2f}x**",
        "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "bound": f"≥ {AT_LEAST[name]:g}x",
        "": verdict(passed),
    }
    return Row(cells, passed, {"ratios": ratios})
