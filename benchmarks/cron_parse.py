"""Reading random expressions and finding the next instant of each, beside cronsim alone.

    python cron_parse.py [COUNT] [ROUNDS]

Prints a line for each round and zone: zone, processor seconds of ours, of cronsim. Ours starts each
round without anything remembered, goes the way that ``schedules next`` goes; cronsim reads the same
text with the same zone. What one of them refuses is not among them.
"""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from jobrunner.errors import InvalidSpec
from triggers.core import cron, occurrences
from triggers.core.occurrences import next_after, timing

FROM = datetime(2026, 3, 20, 12, 34, tzinfo=UTC)
ZONES = {"UTC": UTC, "Europe/Berlin": ZoneInfo("Europe/Berlin")}
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def field(chance: random.Random, place: int) -> str:
    low, high = BOUNDS[place]
    kind = chance.random()
    if kind < (0.3 if place < 2 else 0.6):
        return "*"
    if kind < 0.7:
        return f"*/{chance.randint(2, (high - low) // 2)}"
    if kind < 0.85:
        first = chance.randint(low, high - 1)
        return f"{first}-{chance.randint(first + 1, high)}"
    chosen = chance.sample(range(low, high + 1), chance.randint(1, 3))
    return ",".join(map(str, sorted(chosen)))


def expressions(count: int) -> list[str]:
    chance, found = random.Random(7), dict[str, None]()
    while len(found) < count:
        text = " ".join(field(chance, place) for place in range(5))
        try:
            next(CronSim(text, FROM))
            timing(text)
        except (CronSimError, StopIteration, InvalidSpec):
            continue
        found[text] = None
    return list(found)


def ours(texts: list[str], zone: str) -> float:
    for known in (cron._values, occurrences._timing, occurrences._next_after):
        known.cache_clear()
    at = FROM.timestamp()
    began = time.process_time()
    for text in texts:
        next_after(timing(text, zone), at)
    return time.process_time() - began


def theirs(texts: list[str], zone: tzinfo) -> float:
    start = FROM.astimezone(zone)
    began = time.process_time()
    for text in texts:
        next(CronSim(text, start))
    return time.process_time() - began


def main() -> None:
    count, rounds = (*map(int, sys.argv[1:]), *(10_000, 5)[len(sys.argv) - 1 :])
    texts = expressions(count)
    for number in range(rounds + 1):
        for name, zone in ZONES.items():
            if number % 2:
                a, b = ours(texts, name), theirs(texts, zone)
            else:
                b, a = theirs(texts, zone), ours(texts, name)
            if number:
                print(name, a, b, flush=True)


if __name__ == "__main__":
    main()
