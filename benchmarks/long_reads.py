"""How long others wait at ``jobrunner serve`` while somebody searches and counts many deliveries.

    python benchmarks/long_reads.py [--deliveries 200000] [--rounds 5]

Prints one line of JSON for each kind of read: how long it takes, and the longest that a call of
``/healthz`` took meanwhile, one after the other; and the same while nobody reads.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness import services
from harness.place import base, jobrunner

from jobrunner.lib.database import connect
from triggers.core.records import Delivery, HttpTarget, ScheduleRetry, SourceKind
from triggers.store import open_deliveries

FAR = 4e9
"""Unix seconds: nothing of this is due."""
TARGET = HttpTarget("http://127.0.0.1:9/orders", body=b"x" * 800)
READS = {
    "nobody": "",
    "count": "/jobrunner/v1/deliveries:count",
    "search": "/jobrunner/v1/deliveries?source=subscription&sourceName=nowhere",
}


def fill(home: Path, count: int) -> None:
    home.mkdir(mode=0o700)
    database = connect(f"sqlite:///{home}/jobrunner.db")
    with contextlib.closing(database):
        store = open_deliveries(database)
        for start in range(0, count, 500):
            store.open_each([waiting(n) for n in range(start, start + 500)])


def waiting(number: int) -> Delivery:
    return Delivery(
        uid=f"u{number}", project="local", region="us-central1", source=SourceKind.SUBSCRIPTION,
        source_name="orders", key=str(number), target=TARGET, retry=ScheduleRetry(),
        created_at=1e9, queued_at=1e9, not_before=FAR,
    )  # fmt: skip


class Caller:
    """Calls ``/healthz`` again and again, and keeps how long the longest took."""

    def __init__(self, port: int) -> None:
        self.longest, self.over = 0.0, threading.Event()
        self._port = port

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        while not self.over.is_set():
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.longest = max(self.longest, time.perf_counter() - began)
            time.sleep(0.002)
        connection.close()


@contextlib.contextmanager
def calling(port: int) -> Iterator[Caller]:
    caller = Caller(port)
    thread = threading.Thread(target=caller.run)
    thread.start()
    try:
        yield caller
    finally:
        caller.over.set()
        thread.join()


def read(port: int, path: str) -> None:
    if not path:
        time.sleep(0.5)
        return
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode(errors="replace"))
    answer.read()
    connection.close()


def main(options: argparse.Namespace, folder: Path) -> None:
    home, port = folder / "home", services.free_port()
    fill(home, options.deliveries)
    serve = [jobrunner(), "serve", "--port", str(port)]
    with services.running(serve, port, {"JOBRUNNER_HOME": str(home), "JOBRUNNER_DATABASE_URL": ""}):
        read(port, READS["count"])
        for name, path in READS.items():
            took, longest = [], []
            for _ in range(options.rounds):
                with calling(port) as caller:
                    time.sleep(0.1)
                    began = time.perf_counter()
                    read(port, path)
                    took.append((time.perf_counter() - began) * 1000)
                longest.append(caller.longest * 1000)
            row = {"reads": name, "ms": statistics.median(took), "longest ms": max(longest)}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deliveries", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    with tempfile.TemporaryDirectory(prefix="reads-", dir=base()) as name:
        main(parser.parse_args(), Path(name))
