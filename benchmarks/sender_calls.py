"""Calls per second of the HTTP sender and of a bare aiohttp loop, to the same small sink.

    python benchmarks/sender_calls.py [--calls 4000] [--at-once 16] [--rounds 3]

Prints one line per round and way: ``bare|sender|token CALLS/S P99_MS CPU_US``, the last
one the processor time of a call here. The sink is a process of
its own that reads HTTP as little as it can.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator

import aiohttp

from jobrunner.lib.clock import SystemClock
from triggers.core.records import (
    Delivery,
    HttpTarget,
    OidcToken,
    Payload,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.verdict import Answer
from triggers.senders.http import HttpSender
from triggers.senders.keyring import Keyring
from triggers.senders.options import SenderOptions
from triggers.senders.tokens import LocalTokens

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
MESSAGE = {"message": {"data": "x" * 120, "messageId": "2070443601311540"}, "subscription": "s"}

Call = Callable[[int], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        asyncio.run(serve_sink())
        return
    with sink() as port, tempfile.TemporaryDirectory() as home:
        asyncio.run(measure(f"http://127.0.0.1:{port}/x", home, options))


# ---------------------------------------------------------------- the sink


class Sink(asyncio.Protocol):
    """Answers each request when its last byte is there; heads fit into one packet here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        held = self._held + data
        while (end := held.find(b"\r\n\r\n")) >= 0:
            at = held.lower().find(b"content-length: ", 0, end)
            size = int(held[at + 16 : held.find(b"\r\n", at)]) if at >= 0 else 0
            if len(held) < end + 4 + size:
                break
            held = held[end + 4 + size :]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]
        self._held = held


async def serve_sink() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def sink() -> Iterator[int]:
    command = [sys.executable, __file__, "--sink"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---------------------------------------------------------------- the ways


async def measure(url: str, home: str, options: argparse.Namespace) -> None:
    clock = SystemClock()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=options.at_once))
    sender = HttpSender(SenderOptions(), LocalTokens(Keyring(home, clock), url, clock), clock)

    bodies = [body(number) for number in range(options.calls)]

    async def bare(number: int) -> None:
        headers = {"Content-Type": "application/json"}
        async with session.post(url, data=bodies[number], headers=headers) as response:
            await response.read()
            assert response.status == 204

    def by_sender(target: HttpTarget) -> Call:
        kind = (("Content-Type", "application/json"),)
        made = [delivery(n, target, Payload(one, kind)) for n, one in enumerate(bodies)]

        async def call(number: int) -> None:
            sent = await sender.send(made[number], 1)
            assert isinstance(sent.outcome, Answer), sent

        return call

    signed = HttpTarget(url, token=OidcToken("sa@example.com"))
    ways = {"bare": bare, "sender": by_sender(HttpTarget(url)), "token": by_sender(signed)}
    for call in ways.values():
        await many(call, 200, options.at_once)
    for _ in range(options.rounds):
        for name in random.sample(sorted(ways), len(ways)):
            rate, p99, cpu = await many(ways[name], options.calls, options.at_once)
            print(f"{name} {rate:.0f} {p99:.2f} {cpu:.1f}", flush=True)
    await session.close()
    await sender.close()


async def many(call: Call, calls: int, at_once: int) -> tuple[float, float, float]:
    """Calls per second, the 99th percentile of one in milliseconds, and the processor time of one
    in microseconds."""
    numbers = iter(range(calls))
    taken: list[float] = []

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            taken.append(time.perf_counter() - began)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    rate = calls / (time.perf_counter() - began)
    cpu = 1e6 * (time.process_time() - used) / calls
    return rate, 1e3 * sorted(taken)[int(len(taken) * 0.99)], cpu


def body(number: int) -> bytes:
    return json.dumps({**MESSAGE, "number": number}).encode()


def delivery(number: int, target: HttpTarget, payload: Payload) -> Delivery:
    return Delivery(
        uid=str(number), project="local", region="us-central1", source=SourceKind.SUBSCRIPTION,
        source_name="s", key=str(number), target=target, retry=ScheduleRetry(), payload=payload,
    )  # fmt: skip


if __name__ == "__main__":
    main()
