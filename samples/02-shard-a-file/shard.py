"""One task: adds up one share of orders.csv and leaves the sums in out/part-INDEX.json.

The file is shared out by bytes, so that nobody has to read all of it: of n tasks, task i takes the
lines that begin in its n-th part. A line that crosses the border belongs to the task where it
begins; the next one skips to the line after it. (A field with a line break inside would need
another way of sharing out.)
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).parent


def share(size: int, index: int, count: int) -> tuple[int, int]:
    """The part [start, end) of a file of `size` bytes that belongs to task `index`."""
    return size * index // count, size * (index + 1) // count


def lines(file: BinaryIO, start: int, end: int) -> Iterator[str]:
    """The lines of `file` that begin in [start, end), without the header."""
    if start == 0:
        file.readline()
    else:
        # From one byte earlier: a line that begins exactly at `start` is ours.
        file.seek(start - 1)
        file.readline()
    while file.tell() < end:
        line = file.readline()
        if not line:
            return
        yield line.decode("utf-8")


def add_up(rows: Iterator[list[str]]) -> dict[str, tuple[int, int]]:
    """Country → (orders, cents). Whole cents, because sums of floats depend on their order."""
    orders: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for _, _, country, amount in rows:
        whole, _, fraction = amount.partition(".")
        orders[country] += 1
        cents[country] += int(whole) * 100 + int(fraction)
    return {country: (orders[country], cents[country]) for country in orders}


def main() -> None:
    index = int(os.environ["CLOUD_RUN_TASK_INDEX"])
    count = int(os.environ["CLOUD_RUN_TASK_COUNT"])
    source = HERE / "orders.csv"
    start, end = share(source.stat().st_size, index, count)
    with source.open("rb") as file:
        totals = add_up(csv.reader(lines(file, start, end)))

    # Under another name first: a retry, or a reader in between, never sees half a file.
    target = HERE / "out" / f"part-{index}.json"
    target.parent.mkdir(exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps({"index": index, "count": count, "totals": totals}))
    draft.replace(target)
    print(f"bytes {start} to {end}: {sum(n for n, _ in totals.values())} orders")


if __name__ == "__main__":
    main()
