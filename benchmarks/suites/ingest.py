"""Pushes of Pub/Sub into ``jobrunner serve``: against the same server that stores nothing, against
Google's emulator, and how much memory it takes when many wait."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from harness import services
from harness.context import Context
from harness.measure import Failed, Sample
from harness.pairs import Pair, run_pairs
from harness.place import BENCHMARKS, base
from harness.product import Homes, environment
from harness.report import Report, Row, pair_rows, verdict
from push_calls import Pusher

from suites.server import Server, started, wrk

SERVER = BENCHMARKS / "load" / "push_server.py"
CALLS = BENCHMARKS / "push_calls.py"
SUBSCRIPTIONS = "/jobrunner/v1/subscriptions"
FEW, MANY = 1_000, 100_000
RATE_AT_LEAST, P50_AT_MOST = 2.0, 0.2
MORE_MB = 30.0
SHARE = 0.45
"""Of the rate of a server that stores nothing."""


def run(context: Context) -> Report:
    with Homes() as homes:
        rows = [*durable(homes, context), *whole_way(context), memory(homes, context)]
    return Report(
        "ingest",
        "pushes of Pub/Sub, durable before the answer, 32 connections",
        rows,
        commands=[f"python benchmarks/{CALLS.name}", "jobrunner serve"],
        notes=[
            f"A rate of {SHARE}x is a ratio of {1 / SHARE:.2f}x here, where time is compared.",
        ],
    )


def durable(homes: Homes, context: Context) -> list[Row]:
    with (
        serving(homes.fresh(), HOLD="1") as ours,
        serving(homes.fresh(), HOLD="1", FORGET="1") as bare,
    ):
        for server in (ours, bare):
            subscribe(server, "http://127.0.0.1:9/")
        pair = Pair(
            "push, on disk before the answer", "the same server, nothing stored",
            partial(pushes, ours), partial(pushes, bare), at_most=1 / SHARE,
        )  # fmt: skip
        rows = pair_rows(run_pairs([pair], context.rounds, tell=context.tell))
        if backlog(bare) or not backlog(ours):
            raise Failed("what is to store nothing has stored something, or the other way round")
        return rows


def whole_way(context: Context) -> list[Row]:
    """The rate is held against an emulator that was just started; how a Java program goes on that
    is compiled meanwhile is shown beside it."""
    context.tell("push to sink, beside the emulator")
    command = [sys.executable, str(CALLS), "--rounds", str(context.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base())
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    ours, lasting, fresh = (
        [one for one in found if one["way"] == way]
        for way in ("jobrunner", "emulator", "fresh emulator")
    )

    def row(
        what: str,
        theirs: Sequence[Mapping[str, Any]],
        key: str,
        form: str,
        bound: float,
        *,
        at_least: bool,
    ) -> Row:
        ratios = [a[key] / b[key] for a, b in zip(ours, theirs, strict=True)]
        middle = statistics.median(ratios)
        passed: bool | None = middle >= bound if at_least else middle <= bound
        if theirs is lasting and at_least:
            passed = None
        cells = {
            "what": what,
            "against": f"Google's emulator, {'just started' if theirs is fresh else 'warm'}",
            "s": form.format(statistics.median(one[key] for one in ours)),
            "base s": form.format(statistics.median(one[key] for one in theirs)),
            "ratio": f"**{middle:.2f}x**",
            "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
            "bound": "" if passed is None else f"{'≥' if at_least else '≤'} {bound:g}x",
            "": verdict(passed),
        }
        return Row(cells, passed, {"ratios": ratios})

    return [
        row(what, theirs, key, form, bound, at_least=at_least)
        for theirs in (fresh, lasting)
        for what, key, form, bound, at_least in (
            ("push to sink, messages/s", "rate", "{:.0f}/s", RATE_AT_LEAST, True),
            ("push to sink, p50", "p50", "{:.1f} ms", P50_AT_MOST, False),
        )
    ]


def memory(homes: Homes, context: Context) -> Row:
    """Of real servers whose target never answers, so that everything waits."""
    context.tell(f"memory with {MANY:,} waiting")
    sizes = []
    for count in (FEW, MANY):
        with silent() as target, serving(homes.fresh()) as server:
            subscribe(server, target, ackDeadlineSeconds=600, backlog=10 * MANY)
            if count == FEW:
                port = int(server.url.rpartition(":")[2])
                asyncio.run(Pusher(port, "/push/load").push([f"few{n}" for n in range(FEW)]))
            while (waiting := backlog(server)) < count:
                pushes(server)
            time.sleep(2.0)
            sizes.append((resident(server), waiting))
    more = sizes[1][0] - sizes[0][0]
    cells = {
        "what": f"memory with {sizes[1][1]:,} waiting",
        "against": f"with {sizes[0][1]:,}",
        "s": f"{sizes[1][0]:.0f} MB",
        "base s": f"{sizes[0][0]:.0f} MB",
        "ratio": f"**{more:+.1f} MB**",
        "bound": f"≤ {MORE_MB:g} MB more",
        "": verdict(more <= MORE_MB),
    }
    return Row(cells, more <= MORE_MB, {"megabytes": [size for size, _ in sizes]})


# ------------------------------------------------------------------------------- parts


@contextmanager
def serving(home: Path, **flags: str) -> Iterator[Server]:
    port = services.free_port()
    command = [sys.executable, str(SERVER), "serve", "--port", str(port), "--slots", "0"]
    with started(command, port, {**environment(home), **flags}) as server:
        yield server


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections and never answers."""
    port = services.free_port()
    program = (
        "import socket,sys,time; s=socket.create_server(('127.0.0.1',int(sys.argv[1])));"
        "k=[]\nwhile True: k.append(s.accept())"
    )
    with started([sys.executable, "-c", program, str(port)], port, {}) as server:
        yield server.url


def subscribe(server: Server, target: str, **fields: Any) -> None:
    body = {"name": "load", "httpTarget": {"uri": target}, "backlog": 10 * MANY, **fields}
    server.post(SUBSCRIPTIONS, body)


def pushes(server: Server) -> Sample:
    message = {
        "publishTime": time.strftime("%Y-%m-%dT%H:%M:%S.781Z", time.gmtime()),
        "data": "eyJoZWxsbyI6InfDtnJsZCIsICJvcmRlciI6IDEyMzQ1LCAiYW1vdW50IjogIjEyLjUwIn0=",
        "messageId": "MESSAGE_ID",
        "attributes": {"kind": "order"},
    }
    body = json.dumps({"subscription": "projects/local/subscriptions/load", "message": message})
    env: Mapping[str, str] = {"BODY": body, "STAMP": str(time.time_ns() // 1000)}
    return wrk(server, "/push/load", "push.lua", env)


def backlog(server: Server) -> int:
    return int(json.loads(server.get(f"{SUBSCRIPTIONS}/load"))["messages"]["waiting"])


def resident(server: Server) -> float:
    """MB of the process that listens."""
    port = server.url.rpartition(":")[2]
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
            if str(SERVER).encode() in words and port.encode() in words:
                size = status.with_name("statm").read_text().split()[1]
                return int(size) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except OSError:
            continue
    raise Failed(f"nobody listens on port {port}")
