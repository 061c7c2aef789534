"""A thousand messages and events for a real server, and a sender that posts them until they are
acknowledged or the server is gone.

The name of a message stands in its body, so that what the sink and the record hold can be set
against what was sent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.ingress_fuzz import Request, wire
from tests.support.ingress_fuzz import answer as answered
from tests.support.served import Served

JOB = "work"
TYPE = "com.example.faults"
CONNECTIONS = 8
TWICE = 0.2
"""The part that is posted twice at once, with the same ids."""
_NAME = re.compile(rb"(?:call|run|event)-\d{5}")
_MIX = ("call",) * 5 + ("event",) * 4 + ("run",)
_RETRY = {"minimumBackoff": "0.1s", "maximumBackoff": "0.5s"}


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    request: Request


def name_in(body: bytes) -> str:
    """The name of the message that a body is made of."""
    found = _NAME.search(body)
    assert found is not None, body[:300]
    return found.group().decode()


def declare(server: Served, sink: str) -> None:
    """What takes the load."""
    server.create(JOB, "true")
    where = "/jobrunner/v1/subscriptions"
    calls = {"httpTarget": {"uri": f"{sink}/call"}, "retryPolicy": _RETRY}
    server.call("POST", where, {"name": "call", **calls})
    server.call("POST", where, {"name": "run", "jobTarget": {"job": JOB}, "retryPolicy": _RETRY})
    trigger = {
        "name": "event",
        "eventFilters": [{"attribute": "type", "value": TYPE}],
        "destination": {"httpEndpoint": {"uri": f"{sink}/event"}},
    }
    server.call("POST", "/jobrunner/v1/event-triggers", trigger)


def answer(path: str, count: int) -> int:
    """What the sink says to the ``count``-th call of a path: now and then to come again."""
    return 503 if path == "/call" and count % 50 == 0 else 200


def a_load(seed: int, count: int) -> list[Message]:
    """With those that are posted twice, in an order by chance."""
    dice = random.Random(seed)
    load = [_message(_MIX[number % len(_MIX)], number) for number in range(count)]
    load += [one for one in load if dice.random() < TWICE]
    dice.shuffle(load)
    return load


def _message(kind: str, number: int) -> Message:
    name = f"{kind}-{number:05d}"
    if kind == "event":
        event = {"specversion": "1.0", "id": name, "source": "/s", "type": TYPE, "data": name}
        headers = [(b"content-type", b"application/cloudevents+json")]
        return Message(name, Request(headers, json.dumps(event).encode()))
    message = {
        "data": base64.b64encode(b"hello").decode(),
        "messageId": name,
        "publishTime": "2026-01-01T00:00:00.000Z",
    }
    body = {"message": message, "subscription": f"projects/p/subscriptions/{kind}"}
    return Message(name, Request([], json.dumps(body).encode(), b"/push/" + kind.encode()))


class Sender:
    """``acknowledged`` are names; ``refused`` counts answers that ask for nothing to come again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acknowledged: set[str] = set()
        self.refused: Counter[int] = Counter()

    async def send(self, load: Sequence[Message]) -> None:
        """Until all are acknowledged, or nobody answers any more."""
        waiting = list(reversed(load))
        await asyncio.gather(*(self._connection(waiting) for _ in range(CONNECTIONS)))

    async def _connection(self, waiting: list[Message]) -> None:
        while waiting:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return
            try:
                while waiting:
                    if not await self._post(reader, writer, waiting):
                        break
            except (OSError, asyncio.IncompleteReadError):
                return
            finally:
                writer.close()

    async def _post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[Message]
    ) -> bool:
        """Whether the connection goes on."""
        one = waiting.pop()
        # All of one place: the number that is written is the region of the fuzzer.
        head, _, rest = wire(one.request, 0).partition(b"?region=r0")
        writer.write(head + rest)
        status, _, goes_on = await asyncio.wait_for(answered(reader), 60)
        if status in (202, 204):
            self.acknowledged.add(one.name)
        elif status in (429, 503):
            waiting.insert(0, one)
        else:
            self.refused[status] += 1
        return goes_on
