"""Pushes on their way to a small sink: by Google's emulator, and by ``jobrunner serve``.

    python benchmarks/push_calls.py [--messages 2000] [--rounds 3] [--per-target 64]

Prints one line of JSON for each way and round: messages per second from the first that is published
(or pushed) to the last that has come, and how long one message takes, a hundred a second. Both ways
end at the same sink; ours begins with a load generator that pushes to the ingress what the emulator
would push, and is durable. Needs gcloud with the emulator, and google-cloud-pubsub.

The emulator is a Java program that gets three times as fast while it is compiled: it is measured as
one that was just started, in each round, and as one that goes on through all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import services
from harness.place import base, jobrunner

DATA = json.dumps({"order": 12345, "amount": "12.50", "items": list(range(30))}).encode()
PACE, PACED = 0.01, 200
PATIENCE = 120.0
END = b"\r\n\r\n"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"

Push = Callable[[list[str]], Awaitable[None]]


class Sink:
    """Answers 204, and knows when each message came first, by an attribute of it."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.news = asyncio.Event()

    def connection(self) -> asyncio.Protocol:
        return _Connection(self)

    def take(self, body: bytes) -> None:
        number = json.loads(body)["message"]["attributes"]["n"]
        self.came.setdefault(number, time.perf_counter())
        self.news.set()

    async def all(self, numbers: list[str]) -> float:
        """When the last one came."""
        async with asyncio.timeout(PATIENCE):
            while not all(number in self.came for number in reversed(numbers)):
                self.news.clear()
                await self.news.wait()
        return max(self.came[number] for number in numbers)


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(END)) >= 0:
            head = self._rest[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._rest) < end + 4 + size:
                return
            body, self._rest = self._rest[end + 4 : end + 4 + size], self._rest[end + 4 + size :]
            self._transport.write(ANSWER)
            self._sink.take(body)


class Pusher:
    """The load generator: connections that each push one message after the other."""

    def __init__(self, port: int, path: str, connections: int = 32) -> None:
        self._connections = connections
        self._port = port
        self._path = path
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def push(self, numbers: list[str]) -> None:
        while len(self._open) < self._connections:
            self._open.append(await asyncio.open_connection("127.0.0.1", self._port))
        left = iter(numbers)
        await asyncio.gather(*(self._some(left, *one) for one in self._open[: len(numbers)]))

    async def _some(
        self, left: Iterator[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for number in left:
            body = envelope(number)
            head = (
                f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(END)
            if not answer.startswith(b"HTTP/1.1 204"):
                raise RuntimeError(answer.decode(errors="replace"))


def envelope(number: str) -> bytes:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"
    message = {
        "attributes": {"n": number}, "data": base64.b64encode(DATA).decode(), "messageId": number,
        "message_id": number, "publishTime": at, "publish_time": at,
    }  # fmt: skip
    return json.dumps(
        {"message": message, "subscription": "projects/local/subscriptions/b"}
    ).encode()


async def measured(sink: Sink, push: Push, count: int, stamp: str) -> dict[str, float]:
    numbers = [f"{stamp}{n}" for n in range(count)]
    await push([f"{stamp}warm{n}" for n in range(64)])
    await sink.all([f"{stamp}warm{n}" for n in range(64)])
    began = time.perf_counter()
    pushing = asyncio.ensure_future(push(numbers))
    ended = await sink.all(numbers)
    await pushing
    took = []
    for n in range(PACED):
        number = f"{stamp}paced{n}"
        at = time.perf_counter()
        await push([number])
        took.append((number, at))
        await asyncio.sleep(max(0.0, PACE - (time.perf_counter() - at)))
    await sink.all([number for number, _ in took])
    delays = sorted(sink.came[number] - at for number, at in took)
    return {
        "rate": count / (ended - began),
        "p50": statistics.median(delays) * 1000,
        "p99": delays[int(len(delays) * 0.99)] * 1000,
    }


# ------------------------------------------------------------------------------- both ways


def emulated(host: str, endpoint: str) -> Push:
    """Publishes in batches, as fast as the client goes."""
    from google.pubsub_v1.services.publisher import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
    from grpc import insecure_channel

    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=insecure_channel(host)))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=insecure_channel(host)))
    topic = "projects/local/topics/bench"
    publisher.create_topic(name=topic)
    subscriber.create_subscription(
        request={
            "name": "projects/local/subscriptions/bench",
            "topic": topic,
            "push_config": {"push_endpoint": endpoint},
        }
    )

    def publish(numbers: list[str]) -> None:
        for start in range(0, len(numbers), 100):
            some = numbers[start : start + 100]
            messages = [{"data": DATA, "attributes": {"n": number}} for number in some]
            publisher.publish(request={"topic": topic, "messages": messages})

    async def push(numbers: list[str]) -> None:
        await asyncio.to_thread(publish, numbers)

    return push


def subscribed(port: int, endpoint: str, connections: int) -> Push:
    body = {"name": "bench", "httpTarget": {"uri": endpoint}, "backlog": 1_000_000}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/jobrunner/v1/subscriptions", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30):
        return Pusher(port, "/push/bench", connections).push


async def main(options: argparse.Namespace, folder: Path) -> None:
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(sink.connection, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sink"
    ours = services.free_port()
    serve = [jobrunner(), "serve", "--port", str(ours), "--slots", "0"]
    home = {
        "JOBRUNNER_HOME": str(folder / "home"),
        "JOBRUNNER_DATABASE_URL": "",
        "JOBRUNNER_DELIVERIES_PER_TARGET": str(options.per_target),
    }

    async def tell(way: str, number: int, push: Push) -> None:
        figures: dict[str, Any] = {"way": way, "round": number}
        figures |= await measured(sink, push, options.messages, f"{number}-{way}-")
        print(json.dumps(figures), flush=True)

    with emulator(folder / "lasting") as lasting, services.running(serve, ours, home):
        theirs = await asyncio.to_thread(emulated, lasting, endpoint)
        push = await asyncio.to_thread(subscribed, ours, endpoint, options.connections)
        for number in range(options.rounds):
            with emulator(folder / f"fresh{number}") as fresh:
                await tell(
                    "fresh emulator", number, await asyncio.to_thread(emulated, fresh, endpoint)
                )
            await tell("emulator", number, theirs)
            await tell("jobrunner", number, push)


@contextlib.contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """HOST:PORT of one."""
    folder.mkdir()
    port = services.free_port()
    command = [
        "gcloud", "beta", "emulators", "pubsub", "start", "--project=local", "--quiet",
        f"--host-port=127.0.0.1:{port}", f"--data-dir={folder}",
    ]  # fmt: skip
    with services.running(command, port, {}):
        yield f"127.0.0.1:{port}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-target", type=int, default=64, help="calls at once of the sink")
    parser.add_argument("--connections", type=int, default=32, help="of the load generator")
    with tempfile.TemporaryDirectory(prefix="push-", dir=base()) as name:
        asyncio.run(main(parser.parse_args(), Path(name)))
