"""The second step: joins what the tasks left in out/ to out/totals.csv; no part may be missing."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

OUT = Path(__file__).parent / "out"


def main() -> None:
    parts = [json.loads(path.read_text()) for path in OUT.glob("part-*.json")]
    counts = {part["count"] for part in parts}
    if len(counts) != 1:
        sys.exit(f"{OUT} holds parts of {len(counts)} runs; empty it and run the tasks again")
    missing = set(range(counts.pop())) - {part["index"] for part in parts}
    if missing:
        sys.exit(f"parts are missing: {sorted(missing)}")

    orders: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for part in parts:
        for country, (number, amount) in part["totals"].items():
            orders[country] += number
            cents[country] += amount
    with (OUT / "totals.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["country", "orders", "amount"])
        for country in sorted(orders):
            amount = cents[country]
            out.writerow([country, orders[country], f"{amount // 100}.{amount % 100:02d}"])
    total = sum(cents.values())
    print(f"{len(parts)} parts, {sum(orders.values())} orders, {total // 100}.{total % 100:02d}")


if __name__ == "__main__":
    main()
