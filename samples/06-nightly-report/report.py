"""Sums up yesterday's sales. Without sales there is no report, and that is an error."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
SALES, REPORT = HERE / "out" / "sales.csv", HERE / "out" / "report.txt"

if not SALES.exists():
    sys.exit(f"there is no {SALES.name}")
amounts = [int(line.split(",")[1]) for line in SALES.read_text().splitlines()]
REPORT.write_text(f"{len(amounts)} sales, {sum(amounts)} in all\n")
