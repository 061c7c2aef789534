"""What is pulled from Google's emulator and kept, beside a bare callback loop of its client; see
``pull_messages.py``."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS, base
from harness.report import Report, Row, verdict

SCRIPT = BENCHMARKS / "pull_messages.py"
MESSAGES = 4000
AT_LEAST = 0.9
MIB_AT_MOST = 30.0
NAMES = {"pull": "kept, then acknowledged", "serve": "`jobrunner serve`, which also sends them"}


def run(context: Context) -> Report:
    lines = output("--messages", str(MESSAGES), "--rounds", str(context.rounds)).splitlines()
    turns: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        way, rate, used = line.split()
        turns.setdefault(way, []).append((float(rate), float(used)))
    rows = [speed_row(way, turns[way], turns["bare"]) for way in NAMES]
    context.tell("memory")
    rows.append(memory_row(json.loads(output("--memory"))))
    return Report(
        "pull",
        "messages of Google's emulator, against google-cloud-pubsub with a callback that does"
        " nothing but acknowledge",
        rows,
        commands=[f"python benchmarks/pull_messages.py --messages {MESSAGES}"],
        notes=["The ratio is that of messages per second, turn by turn."],
    )


def output(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True, text=True, check=False, cwd=base(),
    )  # fmt: skip
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    return done.stdout


def speed_row(way: str, ours: list[tuple[float, float]], bare: list[tuple[float, float]]) -> Row:
    ratios = [one[0] / other[0] for one, other in zip(ours, bare, strict=True)]
    middle = statistics.median(ratios)
    passed = middle >= AT_LEAST if way == "pull" else None
    cells = {
        "what": NAMES[way],
        "msg/s": f"{statistics.median(rate for rate, _ in ours):.0f}",
        "base": f"{statistics.median(rate for rate, _ in bare):.0f}",
        "ratio": f"**{middle:.2f}x**",
        "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "CPU us": f"{statistics.median(used for _, used in ours):.0f}",
        "base CPU": f"{statistics.median(used for _, used in bare):.0f}",
        "bound": f"≥ {AT_LEAST:g}x" if passed is not None else "",
        "": verdict(passed),
    }
    return Row(cells, passed, {"ratios": ratios})


def memory_row(found: dict[str, float]) -> Row:
    few, many = found["1000"], found["100000"]
    passed = many - few <= MIB_AT_MOST
    cells = {
        "what": "100,000 waiting, over 1,000",
        "msg/s": f"{many:.0f} MiB",
        "base": f"{few:.0f} MiB",
        "ratio": f"**+{many - few:.1f} MiB**",
        "bound": f"≤ {MIB_AT_MOST:g} MiB",
        "": verdict(passed),
    }
    return Row(cells, passed, found)
