"""Messages per second of the dispatcher with a stored backlog, and of a bare aiohttp loop.

    python benchmarks/dispatch_calls.py [--calls 2000] [--at-once 16] [--rounds 3]

Prints one line per round and way: ``bare|dispatcher|serve CALLS/S P50_MS P99_MS CPU_US``; a call is
timed from its request to the end of its answer, the processor time is that of one call here. Both
send the same bytes to the same sink, a process of its own. The dispatcher is put together as in a
server: SQLite in WAL mode with ``synchronous=FULL``, group commit, every delivery stored before the
start.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from harness import services
from harness.measure import Failed
from harness.place import base, jobrunner
from harness.product import environment
from sender_calls import body, delivery, many, sink
from suites.idle import cpu

from jobrunner.lib.clock import SystemClock, WallClock
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Runner
from jobrunner.service.commit import GroupCommit
from jobrunner.store import open_store
from triggers.core.records import Delivery, HttpTarget, Payload
from triggers.core.states import DeliveryState
from triggers.ports import DeliveryFilter, Sent
from triggers.senders.http import HttpSender
from triggers.senders.keyring import Keyring
from triggers.senders.options import SenderOptions
from triggers.senders.tokens import LocalTokens
from triggers.service.dispatch import Dispatcher, DispatchSettings
from triggers.store import open_deliveries

CONTENT = (("Content-Type", "application/json"),)
GROUP = 500
WARM = 300


@dataclass(frozen=True, slots=True)
class Speed:
    """Calls per second, percentiles in milliseconds, microseconds of processor time of a call."""

    rate: float
    p50: float
    p99: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.rate:.0f} {self.p50:.2f} {self.p99:.2f} {self.cpu:.1f}"


@dataclass(slots=True)
class Timed:
    """A sender that notes how long each call took."""

    sender: HttpSender
    wanted: int = 0
    taken: list[float] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, delivery: Delivery, number: int) -> Sent:
        began = time.perf_counter()
        sent = await self.sender.send(delivery, number)
        self.taken.append(time.perf_counter() - began)
        if len(self.taken) == self.wanted:
            self.over.set()
        return sent

    async def close(self) -> None:
        await self.sender.close()


class NoRuns:
    """Nothing here starts a job."""

    def accepts(self) -> bool:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=("both", "bare", "dispatcher"), default="both")
    parser.add_argument("--serve", action="store_true", help="a `jobrunner serve` as well")
    options = parser.parse_args()
    with sink() as port, tempfile.TemporaryDirectory(dir=base()) as home:
        asyncio.run(measure(f"http://127.0.0.1:{port}/x", home, options))


async def measure(url: str, home: str, options: argparse.Namespace) -> None:
    desk = Desk(url, home, options.at_once)
    ways = {"bare": desk.bare, "dispatcher": desk.dispatched}
    names = sorted(ways) if options.way == "both" else [options.way]
    for name in names:
        await ways[name](WARM)
    if options.serve:
        ways["serve"] = desk.served
        names.append("serve")
    for _ in range(options.rounds):
        for name in random.sample(names, len(names)):
            print(name, await ways[name](options.calls), flush=True)
    await desk.close()


class Desk:
    """Both ways, in turns, from one process."""

    def __init__(self, url: str, home: str, at_once: int) -> None:
        self.url, self.home, self.at_once = url, home, at_once
        self.machine, self.clock, self.ids = SystemClock(), WallClock(), RandomIds()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once))
        self.store = open_store(f"sqlite:///{home}/jobrunner.db")
        self.deliveries = open_deliveries(self.store.database)
        tokens = LocalTokens(Keyring(home, self.machine), url, self.machine)
        self.sender = HttpSender(SenderOptions(), tokens, self.machine)

    async def close(self) -> None:
        await self.session.close()
        await self.sender.close()
        self.store.close()

    async def bare(self, calls: int) -> Speed:
        bodies = [body(number) for number in range(calls)]
        headers = dict(CONTENT)

        async def call(number: int) -> None:
            async with self.session.post(self.url, data=bodies[number], headers=headers) as answer:
                await answer.read()
                assert answer.status == 204

        taken: list[float] = []

        async def timed(number: int) -> None:
            began = time.perf_counter()
            await call(number)
            taken.append(time.perf_counter() - began)

        rate, _, cpu = await many(timed, calls, self.at_once)
        return speed(rate, taken, cpu)

    async def dispatched(self, calls: int) -> Speed:
        """From the start of the dispatcher until the last end is stored."""
        self.fill(calls)
        timed = Timed(self.sender, calls)
        runner: Runner = NoRuns()  # type: ignore[assignment]
        settings = DispatchSettings(per_target=self.at_once)
        commit = GroupCommit(self.store)
        dispatcher = Dispatcher(
            self.deliveries, timed, commit, runner, self.clock, "bench", settings,
            machine=self.machine, apart=commit.apart,
        )  # fmt: skip
        began, used = time.perf_counter(), time.process_time()
        loop = asyncio.ensure_future(dispatcher.run())
        await timed.over.wait()
        while self.deliveries.count(PENDING):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.001)
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        loop.cancel()
        await asyncio.wait([loop])
        return speed(calls / wall, timed.taken, 1e6 * cpu / calls)

    async def served(self, calls: int) -> Speed:
        """A server that finds the backlog when it starts. From the first tenth to the last one, by
        what its database says; calls are not timed."""
        self.fill(calls)
        port = services.free_port()
        command = [jobrunner(), "serve", "--port", str(port), "--slots", "0"]
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here meanwhile
            command, env={**os.environ, **environment(Path(self.home))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            first = await self.left(server, calls * 9 // 10)
            last = await self.left(server, calls // 10)
            await self.left(server, 0)
        finally:
            services.end(server)
        done = first[0] - last[0]
        return Speed(done / (last[1] - first[1]), 0.0, 0.0, 1e6 * (last[2] - first[2]) / done)

    async def left(self, server: subprocess.Popen[bytes], most: int) -> tuple[int, float, float]:
        """How many are left, when, and the processor time of the server, once it is so few."""
        until = time.monotonic() + 60
        while time.monotonic() < until and server.poll() is None:
            left = sum(self.deliveries.count(PENDING).values())
            if left <= most:
                return left, time.perf_counter(), cpu(server.pid)
            await asyncio.sleep(0.005)
        raise Failed(f"{left} deliveries are left, and the server sends nothing")

    def fill(self, calls: int) -> None:
        target, now = HttpTarget(self.url), self.clock.now()
        made = [
            replace(
                delivery(number, target, Payload(body(number), CONTENT)),
                uid=(uid := self.ids.uid()), key=uid, created_at=now, queued_at=now, not_before=now,
            )
            for number in range(calls)
        ]  # fmt: skip
        for at in range(0, calls, GROUP):
            works = [lambda one=one: self.deliveries.open(one) for one in made[at : at + GROUP]]
            self.store.group(works)


PENDING = DeliveryFilter(states=frozenset({DeliveryState.PENDING, DeliveryState.SENDING}))


def speed(rate: float, taken: list[float], cpu: float) -> Speed:
    taken.sort()
    half, tail = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    return Speed(rate, 1e3 * half, 1e3 * tail, cpu)


if __name__ == "__main__":
    main()
