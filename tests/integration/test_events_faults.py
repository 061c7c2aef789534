"""A server that is killed while events come in: what it has taken is delivered, and no batch is
there by half."""

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_events import trigger
from tests.support.fixtures import free_port
from tests.support.ingress_fuzz import Request, answer, wire
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, served
from tests.support.waiting import until

KIND = "com.example.faults"
ROUNDS = 3
SENDERS = 4
SIZE = 3


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def a_batch(number: int) -> Request:
    events = [
        {"specversion": "1.0", "id": f"{number}-{n}", "source": "/s", "type": KIND}
        for n in range(SIZE)
    ]
    return Request(
        [(b"content-type", b"application/cloudevents-batch+json")], json.dumps(events).encode()
    )


async def storm(server: Served, draw: random.Random, first: int) -> tuple[list[int], int]:
    """Batches until the server is killed: those that were accepted, and how many were sent."""
    accepted: list[int] = []
    count, enough, most = first, asyncio.Event(), draw.randrange(3, 20)

    async def one() -> None:
        nonlocal count
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            # The others were quick, and it is killed already.
            return
        try:
            while True:
                number, count = count, count + 1
                writer.write(wire(a_batch(number), number))
                status, _, _ = await answer(reader)
                assert status == 202
                accepted.append(number)
                if len(accepted) >= most:
                    enough.set()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def kill() -> None:
        await enough.wait()
        server.process.send_signal(signal.SIGKILL)

    await asyncio.gather(kill(), *(one() for _ in range(SENDERS)))
    server.process.wait(60)
    return accepted, count


def test_what_was_accepted_is_delivered_and_no_batch_is_there_by_half(
    home: Path, receiver: Receiver
) -> None:
    draw, port = random.Random(7), free_port()
    accepted: list[int] = []
    count = 0
    with served(home, port=port) as server:
        trigger(server, "faults", {"httpEndpoint": {"uri": f"{receiver.url}/e"}}, KIND)
        more, count = asyncio.run(storm(server, draw, count))
        accepted += more
    for _ in range(ROUNDS - 1):
        with served(home, port=port) as server:
            more, count = asyncio.run(storm(server, draw, count))
            accepted += more
    with served(home, port=port) as server:
        kept: Counter[str] = Counter()
        after = 0
        while page := server.call("GET", f"/jobrunner/v1/events?after={after}&pageSize=1000")[
            "events"
        ]:
            kept.update(one["event"]["id"].partition("-")[0] for one in page)
            after = page[-1]["position"]
        assert set(kept.values()) == {SIZE}
        assert {str(number) for number in accepted} <= kept.keys()

        def states() -> dict[str, int]:
            found: dict[str, int] = server.call("GET", "/jobrunner/v1/deliveries:count")["counts"]
            return found

        until(lambda: states() == {"DELIVERED": sum(kept.values())}, why=states)
    # Each event at least once; those that were on the wire when the server died perhaps twice.
    assert receiver.began["/e"] >= sum(kept.values())
