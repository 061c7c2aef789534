"""Broken and odd push requests, by the thousand, at a real server; and what must hold afterwards.

``python -m tests.support.push_fuzz --rounds 10000 --seed 1`` runs a campaign. What is stored must
be exactly what was acknowledged, and nobody gets in with a token that is not right.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobrunner.core.timestamps import parse_time
from tests.support.ingress_fuzz import (
    ODD,
    VALUES,
    Found,
    Request,
    an_event,
    torn,
    volley,
    written,
)
from tests.support.pushing import Issuer
from tests.support.served import Served, served

PATH = "/jobrunner/v1/subscriptions"
SECRET = "a-token-that-nobody-guesses"
COMMON = {
    "httpTarget": {"uri": "http://127.0.0.1:9/"},
    "retryPolicy": {"minimumBackoff": "600s"},
    "backlog": 1_000_000,
}
SUBSCRIPTIONS: dict[str, dict[str, Any]] = {
    "wrapped": {"enableMessageOrdering": True},
    "meta": {"accepts": "unwrapped-metadata"},
    "bare": {"accepts": "unwrapped"},
    "signed": {"senderToken": {"keys": "ours"}},
    "guarded": {"pushToken": SECRET},
}
NAMES = (
    "messageId", "message_id", "publishTime", "publish_time", "data", "attributes", "orderingKey",
    "ordering_key", "deliveryAttempt", "é", "", "a" * 300, "__proto__",
)  # fmt: skip
TIMES = (
    "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "x", "",
    "9999-12-31T23:59:59.999999999Z", "2026-01-01T00:00:00.123456789Z", "2026-02-30T00:00:00Z",
)  # fmt: skip
DATA = ("aGk=", "aGk", "_-_-", "====", "é", "", "A" * 10_000, "aGk=\n", None, 7, [], "\u0000")


def a_message(draw: random.Random, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "messageId": f"{number}-{draw.randrange(10**9)}",
        "publishTime": draw.choice(TIMES[:3]),
    }
    for name, value in (
        ("data", draw.choice(DATA)),
        ("attributes", {"kind": "a", "é": "ü\u0000", "content-type": "a/b"}),
        ("orderingKey", draw.choice(("k", "a\u0000b", "é", ""))),
    ):
        if draw.random() < 0.5:
            message[name] = value
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        message[draw.choice(NAMES)] = draw.choice(VALUES)
    if draw.random() < 0.1:
        message["publishTime"] = draw.choice(TIMES)
    if draw.random() < 0.05:
        message["attributes"] = {draw.choice(NAMES): draw.choice(VALUES)}
    return message


def wrapped(draw: random.Random, number: int) -> Request:
    body: Any = {"message": a_message(draw, number), "subscription": "projects/p/subscriptions/s"}
    deed = draw.random()
    if deed < 0.05:
        body[draw.choice(("message", "subscription", "deliveryAttempt"))] = draw.choice(VALUES)
    elif deed < 0.07:
        body = draw.choice((body["message"], [body], an_event(draw, number)))
    name = draw.choice((b"wrapped", b"wrapped", b"wrapped", b"guarded", b"signed"))
    request = Request([], torn(draw, written(draw, body)), b"/push/" + name)
    if name == b"guarded":
        request.query = draw.choice(
            (b"", b"&token=", b"&token=" + SECRET.encode(), b"&token=x", b"&token=%ff", b"&token")
        )
    if name == b"signed":
        header = draw.choice(ODD) if draw.random() < 0.3 else b"Bearer " + forged(draw)
        request.headers.append((b"authorization", header))
    return request


_STRANGER = Issuer("k1", whose="stranger")


def forged(draw: random.Random) -> bytes:
    """A token that nobody of ours has signed, or no token at all."""
    now = time.time()
    text = _STRANGER.token(
        head=draw.choice(({}, {"alg": "none"}, {"alg": "HS256"}, {"kid": None}, {"kid": "../x"})),
        iss=draw.choice(("http://localhost", "https://accounts.google.com", None, 7)),
        aud=draw.choice(("http://localhost/push/signed", "x", None, ["a"], "http://[::1")),
        iat=draw.choice((now, 0, None, "x", 1e300)),
        exp=draw.choice((now + 60, 0, None, 1e308, True)),
    )
    deed = draw.random()
    if deed < 0.5:
        return text.encode()
    if deed < 0.7:
        return text[: draw.randrange(len(text))].encode()
    junk = base64.urlsafe_b64encode(draw.randbytes(30)).rstrip(b"=")
    return b".".join([junk] * draw.choice((1, 2, 3, 4)))


def unwrapped(draw: random.Random, number: int) -> Request:
    name = draw.choice((b"meta", b"meta", b"bare"))
    headers = []
    if name == b"meta":
        identity = f"{number}-{draw.randrange(10**9)}".encode()
        headers = [
            (b"x-goog-pubsub-message-id", identity),
            (b"x-goog-pubsub-publish-time", draw.choice(TIMES[:3]).encode()),
            (draw.choice((b"kind", b"x-goog-ordering-key", b"content-type")), draw.choice(ODD)),
        ]
    for _ in range(draw.choice((0, 0, 1, 2))):
        if headers:
            place = draw.randrange(len(headers))
            headers[place] = headers[place][0], draw.choice(ODD)
        else:
            headers.append((b"kind", draw.choice(ODD)))
    return Request(headers, draw.randbytes(draw.choice((0, 1, 100, 5000))), b"/push/" + name)


MAKERS: tuple[Callable[[random.Random, int], Request], ...] = (wrapped, wrapped, wrapped, unwrapped)


def a_request(draw: random.Random, number: int) -> Request:
    request = draw.choice(MAKERS)(draw, number)
    if draw.random() < 0.02:
        request.path = draw.choice(
            (b"/push/", b"/push/nobody", b"/push/%00", b"/push/a/b", b"/push/local/x/wrapped")
        )
    return request


# ---------------------------------------------------------------- what must hold


def key_of(request: Request) -> tuple[str, int] | None:
    """Id and publish time in milliseconds of an acknowledged message, ``None`` without them."""
    if request.path == b"/push/bare":
        return None
    if request.path == b"/push/meta":
        named = {name: value.strip(b" \t").decode("latin-1") for name, value in request.headers}
        message = {
            "messageId": named[b"x-goog-pubsub-message-id"],
            "publishTime": named[b"x-goog-pubsub-publish-time"],
        }
    else:
        message = json.loads(request.body)["message"]
    given = message.get("messageId")
    identity = message["message_id"] if given is None else given
    stamp = message.get("publishTime")
    at = parse_time(message["publish_time"] if stamp is None else stamp)
    return identity, int(at * 1000 + 1e-3)


def campaign(server: Served, rounds: int, seed: int) -> Found:
    for name, fields in SUBSCRIPTIONS.items():
        server.call("POST", PATH, {"name": name, **COMMON, **fields})
    draw, found = random.Random(seed), Found()
    requests = {number: a_request(draw, number) for number in range(rounds)}
    answers = asyncio.run(volley(server.port, range(rounds), requests))
    wanted: dict[str, set[tuple[str, int]]] = {name: set() for name in SUBSCRIPTIONS}
    bare = 0
    for number, (status, body) in answers.items():
        request = requests[number]
        found.codes[status] += 1
        said = f"request {number} ({status}) {request.path!r} {request.body[:300]!r}"
        if status >= 500:
            found.wrong.append(f"{said} {request.headers}: {body[:300]!r}")
        elif status != 204:
            if json.loads(body)["error"]["code"] != status:
                found.wrong.append(f"{said}: {body[:300]!r}")
        elif request.path == b"/push/signed":
            found.wrong.append(f"{said}: let in")
        elif request.path == b"/push/guarded" and request.query != b"&token=" + SECRET.encode():
            found.wrong.append(f"{said}: let in by {request.query!r}")
        elif (key := key_of(request)) is None:
            bare += 1
        else:
            wanted[request.path.rpartition(b"/")[2].decode()].add(key)
    stored = stored_in(server)
    for name, keys in wanted.items():
        there = set(stored[name])
        if name == "bare":
            if len(there) != bare:
                found.wrong.append(f"{bare} bare messages were taken, {len(there)} are stored")
        elif there != keys:
            found.wrong.append(f"{name}: {list(there ^ keys)[:5]} differ")
        found.events += len(there)
    return found


def stored_in(server: Served) -> dict[str, Counter[tuple[str, int]]]:
    """Ids and times of what is stored, by subscription."""
    found: dict[str, Counter[tuple[str, int]]] = {name: Counter() for name in SUBSCRIPTIONS}
    database = sqlite3.connect(f"file:{server.home}/jobrunner.db?mode=ro", uri=True)
    try:
        rows = database.execute(
            "SELECT source_name, key, payload FROM deliveries WHERE source = 'subscription'"
        ).fetchall()
    finally:
        database.close()
    for name, key, payload in rows:
        rest, _, millis = key.rpartition("/")
        found[name][rest.partition("/")[2], int(millis)] += 1
        body = base64.b64decode(json.loads(payload)["body"])
        assert json.loads(body)["message"]["messageId"] == rest.partition("/")[2]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzes the ingress of pushes.")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, served(Path(place) / "home") as server:
        found = campaign(server, options.rounds, options.seed)
        traced = "Traceback" in server.said()
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(found.codes.items()))
    print(f"seed {options.seed}: {options.rounds} requests ({codes}), {found.events} stored")
    for line in found.wrong[:20]:
        print(f"WRONG {line}")
    if traced:
        print("WRONG there is a traceback in the log of the server")
    return 1 if found.wrong or traced else 0


if __name__ == "__main__":
    sys.exit(main())
