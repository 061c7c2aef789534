"""Messages per second that are pulled from Google's emulator and kept, and by a bare callback loop.

    python benchmarks/pull_messages.py [--messages 4000] [--rounds 3] [--memory]

Prints one line per round and way: ``bare|pull|serve MESSAGES/S CPU_US``. ``bare`` is
google-cloud-pubsub as its guide has it: ``subscribe()`` with a callback that acknowledges and does
nothing else. ``pull`` is ours: each message has a delivery on the disk (SQLite, WAL,
``synchronous=FULL``) before it is acknowledged. ``serve`` is a real server, which also calls a
small sink with each message; counted is what comes in. Both read subscriptions of one topic, with
the same backlog, from the first tenth to the last; each is a process of its own, in turns.

With ``--memory`` it prints what a server needs with 1,000 and with 100,000 messages waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import services
from harness.measure import Failed
from harness.place import base, jobrunner
from harness.product import environment
from sender_calls import sink
from suites.idle import cpu

PROJECT, TOPIC = "bench", "projects/bench/topics/bench"
DATA = {"id": 0, "text": "x" * 120}
WAYS = ("bare", "pull", "serve")
HELD_UP_SECONDS = 600.0
PATIENCE = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--way", choices=("bare", "pull"), help=argparse.SUPPRESS)
    parser.add_argument("--subscription", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        ways = {"bare": bare, "pull": lambda *given: asyncio.run(pulled(*given))}
        print(*ways[options.way](options.subscription, options.messages), flush=True)
    elif options.memory:
        with emulator():
            print(json.dumps(memory()))
    else:
        with emulator(), sink() as port:
            measure(options.messages, options.rounds, f"http://127.0.0.1:{port}/x")


def measure(messages: int, rounds: int, url: str) -> None:
    for number in range(rounds):
        names = {way: f"projects/{PROJECT}/subscriptions/{way}-{number}" for way in WAYS}
        publish(messages, list(names.values()))
        for way in random.sample(WAYS, len(WAYS)):
            if way == "serve":
                rate, used = served(names[way], messages, url)
            else:
                rate, used = child(way, names[way], messages)
            print(way, f"{rate:.0f} {used:.1f}", flush=True)


def child(way: str, subscription: str, messages: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--way", way, "--subscription", subscription]
    done = subprocess.run(
        [*command, "--messages", str(messages)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    rate, used = map(float, done.stdout.split())
    return rate, used


class Span:
    """From the first tenth to the last of ``messages``; thread-safe enough for one that counts."""

    def __init__(self, messages: int) -> None:
        self.first, self.last = messages // 10, messages - messages // 10
        self.marks: dict[int, tuple[float, float]] = {}
        self.count = 0
        self.over = threading.Event()

    def add(self, several: int) -> None:
        before, self.count = self.count, self.count + several
        for mark in (self.first, self.last):
            if before < mark <= self.count:
                self.marks[mark] = time.perf_counter(), time.process_time()
        if self.count >= self.last:
            self.over.set()

    def result(self) -> tuple[float, float]:
        (began, used), (ended, used_then) = self.marks[self.first], self.marks[self.last]
        done = self.last - self.first
        return done / (ended - began), 1e6 * (used_then - used) / done


def bare(subscription: str, messages: int) -> tuple[float, float]:
    from google.cloud import pubsub_v1

    span, lock = Span(messages), threading.Lock()

    def callback(message: Any) -> None:
        message.ack()
        with lock:
            span.add(1)

    subscriber = pubsub_v1.SubscriberClient()
    future = subscriber.subscribe(subscription, callback=callback)
    if not span.over.wait(PATIENCE):
        raise Failed(f"{span.count} of {messages} messages came")
    future.cancel()
    return span.result()


async def pulled(subscription: str, messages: int) -> tuple[float, float]:
    """The parts of a server that pull, as they are put together there; nothing is sent."""
    from jobrunner.lib.clock import SystemClock, WallClock
    from jobrunner.lib.ids import RandomIds
    from jobrunner.service.commit import GroupCommit
    from jobrunner.store import open_store
    from triggers.service.arrivals import Arrivals
    from triggers.service.consuming import Counter, SubscriptionConsumer
    from triggers.service.settling import Settlements
    from triggers.sources.pubsub_link import open_link
    from triggers.sources.pull_stream import Stream
    from triggers.store import open_declared, open_deliveries

    with tempfile.TemporaryDirectory(dir=base()) as home:
        store = open_store(f"sqlite:///{home}/jobrunner.db")
        deliveries, declared = open_deliveries(store.database), open_declared(store.database)
        clock, ids = WallClock(), RandomIds()
        made = declaration(subscription, "http://127.0.0.1:9/x", messages * 2)
        declared.subscriptions.create(made)
        arrivals = Arrivals(declared.subscriptions, deliveries, SystemClock(), ids)
        commit = GroupCommit(store)
        desk = Counter(commit.apart, clock, ids, deliveries, lambda: None)
        consumer = SubscriptionConsumer(made, arrivals, Settlements(deliveries), desk)
        stream = Stream(await open_link(), consumer)
        running = asyncio.ensure_future(stream.run())
        span, until = Span(messages), time.monotonic() + PATIENCE
        while not span.over.is_set():
            await asyncio.sleep(0.002)
            span.add(stream.counts.acknowledged - span.count)
            if time.monotonic() > until:
                raise Failed(f"{span.count} of {messages}: {stream.counts}")
        running.cancel()
        await asyncio.wait([running])
        assert sum(deliveries.count(_any()).values()) >= span.last
        store.close()
    return span.result()


def declaration(subscription: str, url: str, backlog: int) -> Any:
    from triggers.core.records import HttpTarget
    from triggers.core.subscriptions import Intake, Subscription

    return Subscription(
        "uid", PROJECT, "us-central1", "bench", HttpTarget(url), TOPIC, subscription,
        intake=Intake.PULL, backlog=backlog, ack_deadline=HELD_UP_SECONDS,
    )  # fmt: skip


def _any() -> Any:
    from triggers.ports import DeliveryFilter

    return DeliveryFilter()


# ---------------------------------------------------------------- a real server


@contextlib.contextmanager
def serving(subscription: str, url: str, backlog: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """Its process id, and how many deliveries it has."""
    from jobrunner.lib.database import connect
    from triggers.store import open_declared, open_deliveries

    with tempfile.TemporaryDirectory(dir=base(), ignore_cleanup_errors=True) as home:
        command = [jobrunner(), "serve", "--slots", "1", "--port", str(services.free_port())]
        process = subprocess.Popen(
            command, env={**os.environ, **environment(Path(home))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until = time.monotonic() + 30
            while not (Path(home) / "server.json").exists():
                time.sleep(0.05)
                if time.monotonic() > until or process.poll() is not None:
                    raise Failed("the server does not start")
            database = connect(f"sqlite:///{home}/jobrunner.db")
            deliveries = open_deliveries(database)
            made = declaration(subscription, url, backlog)
            open_declared(database).subscriptions.create(replace(made, uid=f"uid-{backlog}"))
            yield process.pid, lambda: sum(deliveries.count(_any()).values())
            database.close()
        finally:
            services.end(process)


def served(subscription: str, messages: int, url: str) -> tuple[float, float]:
    with serving(subscription, url, messages * 2) as (pid, count):
        marks, wanted = [], [messages // 10, messages - messages // 10]
        until = time.monotonic() + PATIENCE
        while wanted:
            have = count()
            if have >= wanted[0]:
                marks.append((have, time.perf_counter(), cpu(pid)))
                wanted.pop(0)
            if time.monotonic() > until:
                raise Failed(f"{have} of {messages} messages came")
            time.sleep(0.02)
        (first, began, used), (last, ended, used_then) = marks
        return (last - first) / (ended - began), 1e6 * (used_then - used) / (last - first)


def memory() -> dict[str, float]:
    """MiB of a server whose target does not answer."""
    found = {}
    with silent() as url:
        for many in (1_000, 100_000):
            name = f"projects/{PROJECT}/subscriptions/memory-{many}"
            publish(many, [name])
            with serving(name, url, many * 2) as (pid, count):
                until = time.monotonic() + 4 * PATIENCE
                while count() < many:
                    time.sleep(0.5)
                    if time.monotonic() > until:
                        raise Failed(f"{count()} of {many} messages came")
                time.sleep(2.0)
                found[str(many)] = resident(pid)
    return found


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise Failed("the server has ended")


@contextlib.contextmanager
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"


# ---------------------------------------------------------------- the emulator


@contextlib.contextmanager
def emulator() -> Iterator[None]:
    port = services.free_port()
    host = f"127.0.0.1:{port}"
    words = ["gcloud", "beta", "emulators", "pubsub", "start", "--quiet", f"--project={PROJECT}"]
    with tempfile.TemporaryDirectory(dir=base(), ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [*words, f"--host-port={host}", f"--data-dir={folder}"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            services.wait_for_port(port, process)
            os.environ["PUBSUB_EMULATOR_HOST"] = host
            yield
        finally:
            os.environ.pop("PUBSUB_EMULATOR_HOST", None)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def publish(messages: int, subscriptions: list[str]) -> None:
    """To subscriptions that are made before, and get nothing of what came earlier."""
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import pubsub_v1
    from google.cloud.pubsub_v1.types import BatchSettings

    publisher = pubsub_v1.PublisherClient(BatchSettings(max_messages=1000))
    with contextlib.suppress(AlreadyExists):
        publisher.create_topic(name=TOPIC)
    with pubsub_v1.SubscriberClient() as subscriber:
        for name in subscriptions:
            subscriber.create_subscription(name=name, topic=TOPIC, ack_deadline_seconds=60)
    futures = [
        publisher.publish(TOPIC, json.dumps({**DATA, "id": number}).encode(), kind="bench")
        for number in range(messages)
    ]
    for future in futures:
        future.result(60)


if __name__ == "__main__":
    main()
