"""Measures what the documents promise, beside what it is compared with.

    python benchmarks/run.py [--only fanout,scale] [--rounds 5] [--check] [--out FILE.json]

Prints Markdown; with ``--check`` a missed bound makes the exit code 1. ``--list`` names the suites.
Everything is made under one temporary directory (``JOBRUNNER_BENCH_DIR`` names another).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from harness.context import Context
from harness.report import Report, Row, markdown

SUITES = (
    "fanout", "peers", "parent500", "scale", "idle", "noise", "startup", "containers", "store",
    "server", "senders", "schedules", "dispatch", "ingest", "pull",
)  # fmt: skip


def main() -> int:
    options = parse()
    if options.list:
        print("\n".join(SUITES))
        return 0
    context = Context(options.rounds, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    reports = []
    print(f"{machine()}; {options.rounds} rounds.\n", flush=True)
    for name in options.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        report = run_suite(name, context)
        reports.append(report)
        print(markdown(report), flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps([as_json(report) for report in reports], indent=1))
    missed = [report.suite for report in reports if report.missed]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed and options.check else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=names, default=SUITES, metavar="SUITE,...")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--check", action="store_true", help="exit code 1 on a missed bound")
    parser.add_argument("--out", metavar="FILE", help="all figures as JSON")
    parser.add_argument("--list", action="store_true", help="names the suites")
    return parser.parse_args()


def names(text: str) -> list[str]:
    found = [name for name in text.split(",") if name]
    unknown = set(found) - set(SUITES)
    if unknown or not found:
        raise argparse.ArgumentTypeError(f"{sorted(unknown)}: not among {', '.join(SUITES)}")
    return found


def run_suite(name: str, context: Context) -> Report:
    module = importlib.import_module(f"suites.{name}")
    try:
        report: Report = module.run(context)
    except Exception as error:
        traceback.print_exc()
        row = Row({"what": name, "measured": f"{type(error).__name__}: {error}"}, False)
        return Report(name, "not measured", [row])
    return report


def machine() -> str:
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def as_json(report: Report) -> dict[str, object]:
    return {
        "suite": report.suite,
        "title": report.title,
        "rows": [
            {"cells": row.cells, "passed": row.passed, "numbers": row.numbers}
            for row in report.rows
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
