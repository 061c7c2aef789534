"""Broken and odd CloudEvents, by the thousand, at a real server; and what must hold afterwards.

``python -m tests.support.ingress_fuzz --requests 10000 --seed 1`` runs a campaign. Each request
names a region of its own, so that the log says exactly what came of it: all of it after a 2xx,
nothing of it after a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.served import Served, served

KIND = "com.example.fuzz"
TRIGGER = {
    "name": "fuzz",
    "eventFilters": [{"attribute": "type", "value": KIND}],
    "destination": {"cloudRun": {"service": "nowhere"}},
}
CONNECTIONS = 8
SLICE = 500
ODD = (
    b"", b" ", b"\xff\xfe", b"%", b"%zz", b"%C0%AF", b"%ED%A0%80", b"%00", b"\x7f", b'"a b"',
    b'"unended', "é€😀".encode(), b"\xed\xa0\x80", b"a" * 9000, b"\t", b"true", b"-1", b"null",
    b"//[", b"http://[::1", b"2026-13-45T99:99:99Z", b"1e400", b"\\", b"{}", b"../..", b"*",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 1.5, 1e308, "", " ", "\ud800", "\u0000", "é€😀",
    "a" * 70_000, [], {}, [1], {"a": 1}, "1.0", "2026-01-01T00:00:00Z", "yesterday", "%41", "//[",
    "\n", {"a": "\ud800"}, ["\udfff", "\u0000"],
)  # fmt: skip
NAMES = (
    "id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema",
    "data", "data_base64", "Upper", "with-dash", "under_score", "é", "", "a" * 300, "jobrunnerhops",
    "tenant", "ID", "constructor", "__proto__",
)  # fmt: skip
TYPES = (
    "application/json", "APPLICATION/JSON; charset=utf-8", "text/plain", "application/octet-stream",
    "application/cloudevents", "application/cloudevents+json; charset=latin-1", "application/xml",
    "application/cloudevents+xml", "application/cloudevents-batch+json", "multipart/form-data", "x",
    "application/cloudevents+json", "application/cloudevents-batch", "text/plain; charset=klingon",
    "application/cloudeventsfoo", "application/json; charset=utf-16",
)  # fmt: skip


@dataclass
class Request:
    headers: list[tuple[bytes, bytes]]
    body: bytes
    path: bytes = b"/events"
    query: bytes = b""


@dataclass
class Found:
    """What a campaign has seen; ``wrong`` should be empty."""

    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    events: int = 0


# ---------------------------------------------------------------- making requests


def an_event(draw: random.Random, number: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{number}-{draw.randrange(10**9)}",
        "source": "//example.com/fuzz",
        "type": KIND if draw.random() < 0.5 else "com.example.other",
    }
    for name, value in (
        ("subject", "orders/7"),
        ("time", "2026-01-01T00:00:00.123Z"),
        ("tenant", "a b"),
        ("n", 7),
        ("data", {"a": [1, "é", None]}),
    ):
        if draw.random() < 0.5:
            event[name] = value
    return event


def spoiled(draw: random.Random, event: dict[str, Any]) -> dict[str, Any]:
    event = dict(event)
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        name = draw.choice(NAMES)
        if draw.random() < 0.4:
            event.pop(name, None)
        else:
            event[name] = draw.choice(VALUES)
    return event


def binary(draw: random.Random, number: int) -> Request:
    event = an_event(draw, number)
    data = json.dumps(event.pop("data", "")).encode()
    headers = [(f"ce-{key}".encode(), str(value).encode()) for key, value in event.items()]
    headers.append((b"content-type", draw.choice(TYPES).encode()))
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        place = draw.randrange(len(headers))
        deed = draw.random()
        if deed < 0.25:
            headers.pop(place)
            headers = headers or [(b"ce-id", b"1")]
        elif deed < 0.6:
            headers[place] = (headers[place][0], draw.choice(ODD))
        elif deed < 0.8:
            headers.append((b"ce-" + draw.choice(NAMES).encode(), draw.choice(ODD)))
        else:
            headers.append(headers[place])
    return Request(headers, torn(draw, data))


def structured(draw: random.Random, number: int) -> Request:
    body = written(draw, spoiled(draw, an_event(draw, number)))
    kind = "application/cloudevents+json" if draw.random() < 0.9 else draw.choice(TYPES)
    return Request([(b"content-type", kind.encode())], torn(draw, body))


def batched(draw: random.Random, number: int) -> Request:
    events: list[Any] = [an_event(draw, number) for _ in range(draw.choice((0, 1, 2, 5, 20)))]
    deed = draw.random()
    if events and deed < 0.5:
        place = draw.randrange(len(events))
        events[place] = spoiled(draw, events[place])
    elif events and deed < 0.6:
        events[draw.randrange(len(events))] = draw.choice(VALUES)
    elif deed < 0.62:
        events = [{}] * 1001
    body = written(draw, events if deed < 0.95 else {"events": events})
    kind = "application/cloudevents-batch+json" if draw.random() < 0.95 else draw.choice(TYPES)
    return Request([(b"content-type", kind.encode())], torn(draw, body))


def written(draw: random.Random, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.05:
        text = text.replace("}", ', "id": "again"}', 1)
    if draw.random() < 0.02:
        text = text.replace("7", "NaN")
    if draw.random() < 0.02:
        text = "[" * 5000 + text
    return text.encode("utf-8", "surrogatepass")


def torn(draw: random.Random, body: bytes) -> bytes:
    deed = draw.random()
    if deed < 0.85 or not body:
        return body
    place = draw.randrange(len(body))
    if deed < 0.9:
        return body[:place]
    if deed < 0.95:
        return body[:place] + bytes([draw.randrange(256)]) + body[place + 1 :]
    return draw.choice((b"\xef\xbb\xbf" + body, b"", b"\0" * 10, draw.randbytes(50), body * 2))


MAKERS: tuple[Callable[[random.Random, int], Request], ...] = (
    binary, binary, structured, structured, batched,
)  # fmt: skip


def a_request(draw: random.Random, number: int) -> Request:
    request = draw.choice(MAKERS)(draw, number)
    deed = draw.random()
    if deed < 0.02:
        request.path = draw.choice((b"/events/", b"/events/nobody", b"/events/%00", b"/events/a/b"))
    elif deed < 0.04:
        request.query = draw.choice(
            (b"&project=a/b", b"&x=1", b"&region=b", b"&%ff=1", b"&access_token=")
        )
    return request


# ---------------------------------------------------------------- sending


def wire(request: Request, number: int) -> bytes:
    target = request.path + b"?region=r%d" % number + request.query
    lines = [b"POST " + target + b" HTTP/1.1", b"host: localhost"]
    lines += [name + b": " + value for name, value in request.headers]
    lines.append(b"content-length: %d" % len(request.body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return status, body, fields.get(b"connection") != b"close"


async def volley(
    port: int, numbers: range, requests: dict[int, Request]
) -> dict[int, tuple[int, bytes]]:
    """Sends all of them over some connections at once."""
    answers: dict[int, tuple[int, bytes]] = {}
    waiting = iter(numbers)

    async def one() -> None:
        writer = None
        for number in waiting:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(wire(requests[number], number))
            status, body, goes_on = await asyncio.wait_for(answer(reader), 60)
            answers[number] = status, body
            if not goes_on:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return answers


def campaign(server: Served, requests: int, seed: int) -> Found:
    """Runs one, and looks at the log after each slice of it."""
    server.call("POST", "/jobrunner/v1/event-triggers", TRIGGER)
    draw, found, last = random.Random(seed), Found(), 0
    deliveries: set[str] = set()
    for begin in range(1, requests + 1, SLICE):
        numbers = range(begin, min(begin + SLICE, requests + 1))
        made = {number: a_request(draw, number) for number in numbers}
        answers = asyncio.run(volley(server.port, numbers, made))
        kept: Counter[int] = Counter()
        while True:
            page = server.call("GET", f"/jobrunner/v1/events?after={last}&pageSize=500")["events"]
            for entry in page:
                kept[int(entry["region"][1:])] += 1
                last = entry["position"]
                deliveries |= {one["delivery"] for one in entry["triggers"]}
            if len(page) < 500:
                break
        for number, (status, body) in answers.items():
            judge(found, number, made[number], status, body, kept[number])
    count = server.call("GET", "/jobrunner/v1/deliveries:count")["total"]
    if count != len(deliveries):
        found.wrong.append(f"{count} deliveries are stored, the log knows {len(deliveries)}")
    return found


def judge(found: Found, number: int, request: Request, status: int, body: bytes, kept: int) -> None:
    found.codes[status] += 1
    found.events += kept
    said = f"request {number} ({status}, {kept} events kept): {request.body[:200]!r}"
    if status >= 500:
        found.wrong.append(f"{said} {request.headers}: {body[:300]!r}")
    elif status in (202, 204):
        if kept != expected(request):
            found.wrong.append(f"{said}: expected {expected(request)}")
    elif kept:
        found.wrong.append(f"{said}: refused, and something is there")
    elif json.loads(body)["error"]["code"] != status:
        found.wrong.append(f"{said}: {body[:300]!r}")


def expected(request: Request) -> int:
    """How many events a request has that was taken."""
    kinds = [value for name, value in request.headers if name == b"content-type"]
    if kinds and kinds[0].strip().lower().startswith(b"application/cloudevents-batch"):
        return len(json.loads(request.body))
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzes the ingress of events.")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, served(Path(place) / "home") as server:
        found = campaign(server, options.requests, options.seed)
        traced = "Traceback" in server.said()
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(found.codes.items()))
    print(f"seed {options.seed}: {options.requests} requests ({codes}), {found.events} events kept")
    for line in found.wrong[:20]:
        print(f"WRONG {line}")
    if traced:
        print("WRONG there is a traceback in the log of the server")
    return 1 if found.wrong or traced else 0


if __name__ == "__main__":
    sys.exit(main())
