"""Requests to ``jobrunner serve``, against FastAPI with a session per request and against the same
web server without a database. ``setup_peers.sh`` installs what this needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import services
from harness.context import Context
from harness.measure import Failed, Sample
from harness.pairs import Pair, Result, run_pairs
from harness.place import BENCHMARKS, jobrunner, peers_python
from harness.product import Homes, environment
from harness.report import Report, pair_rows

JOBS = "/apis/run.googleapis.com/v1/namespaces/demo/jobs"
EXECUTIONS = "/apis/run.googleapis.com/v1/namespaces/demo/executions"
PAGE = f"{EXECUTIONS}?limit=100"
NEWEST = f"{EXECUTIONS}?limit=1&labelSelector=run.googleapis.com%2Fjob%20%3D%20job-50"
CONNECTIONS = 32
SECONDS = 3
MANY_JOBS = 100
MANY_EXECUTIONS = 50_000
BARE = BENCHMARKS / "peers" / "p_bare.py"
FASTAPI = BENCHMARKS / "peers" / "p_fastapi.py"


def document(name: str) -> dict[str, object]:
    """Without an image, so that no engine is asked to pull one for what the load opens."""
    container = {"command": ["/bin/true"], "env": [{"name": "A", "value": "1"}]}
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "demo", "labels": {"team": "x"}},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [container]}}}}},
    }


@dataclass(frozen=True, slots=True)
class Server:
    url: str

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return bytes(answer.read())

    def post(self, path: str, body: object) -> bytes:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise Failed(f"POST {path}: {error.code} {error.read()[:300]!r}") from None


def run(context: Context) -> Report:
    with Homes() as homes:
        blocks = (changes(homes), documents(homes), filled_stores(homes))
        results = [result for block in blocks for result in block(context)]
    return Report(
        "server",
        f"requests to one server, {CONNECTIONS} connections, durable before the answer",
        pair_rows(results),
        commands=["benchmarks/setup_peers.sh", "jobrunner serve --slots 0"],
        notes=["wrk with one thread; no slots, so that no process is started."],
    )


Block = Callable[[Context], list[Result]]
"""Starts the servers of some pairs, measures them, ends the servers: what is idle must not be in
the way of what is measured."""


def changes(homes: Homes) -> Block:
    def block(context: Context) -> list[Result]:
        database = {"DATABASE": str(homes.logs() / "peer.db")}
        with serving(homes.fresh()) as ours, program(FASTAPI, database) as peer:
            ours.post(JOBS, document("one"))
            peer.post("/jobs", document("one"))
            pairs = [
                Pair(
                    "FastAPI, a SQLModel session each: run a job", "jobrunner",
                    partial(posts, peer, "/jobs/one:run"), partial(posts, ours, f"{JOBS}/one:run"),
                    at_least=5.0,
                ),
                Pair(
                    "FastAPI, a SQLModel session each: create a job", "jobrunner",
                    partial(creates, peer, "/jobs"), partial(creates, ours, JOBS),
                    at_least=5.0,
                ),
            ]  # fmt: skip
            return run_pairs(pairs, context.rounds, tell=context.tell)

    return block


def documents(homes: Homes) -> Block:
    def block(context: Context) -> list[Result]:
        with ExitStack() as stack:
            ours = stack.enter_context(serving(filled(homes.fresh(), 2)))
            pairs = []
            for what, path in (
                ("describe a job", f"{JOBS}/job-50"),
                ("first page of executions", PAGE),
            ):
                same = stack.enter_context(bare(homes, ours.get(path)))
                pairs.append(
                    Pair(
                        what, "the same web server, same bytes, no database",
                        partial(reads, ours, path), partial(reads, same, path), at_most=5.0,
                    )
                )  # fmt: skip
            return run_pairs(pairs, context.rounds, tell=context.tell)

    return block


def filled_stores(homes: Homes) -> Block:
    def block(context: Context) -> list[Result]:
        many = filled(homes.fresh(), MANY_EXECUTIONS // MANY_JOBS)
        few = filled(homes.fresh(), 1)
        asked: list[tuple[str, str, Callable[[Server, str], Sample]]] = [
            ("describe a job", f"{JOBS}/job-50", reads),
            ("first page of executions", PAGE, reads),
            ("newest execution of a job", NEWEST, reads),
        ]
        found = []
        # What the last one opens would be seen by the others.
        for chosen in (asked, [("run a job", f"{JOBS}/job-50:run", posts)]):
            with serving(many) as full, serving(few) as empty:
                pairs = [
                    Pair(
                        f"{what}, {MANY_EXECUTIONS:,} executions of {MANY_JOBS} jobs",
                        f"{MANY_JOBS}", partial(measure, full, path), partial(measure, empty, path),
                        at_most=1.5,
                    )
                    for what, path, measure in chosen
                ]  # fmt: skip
                found += run_pairs(pairs, context.rounds, tell=context.tell)
        return found

    return block


# ------------------------------------------------------------------------------- what is measured


def posts(server: Server, path: str) -> Sample:
    return wrk(server, path, "run.lua", {"BODY": "{}"})


def creates(server: Server, path: str) -> Sample:
    body = json.dumps(document("NAME"))
    return wrk(server, path, "create.lua", {"BODY": body, "STAMP": str(time.time_ns() // 1000)})


def reads(server: Server, path: str) -> Sample:
    return wrk(server, path, "read.lua", {})


def wrk(server: Server, path: str, script: str, env: Mapping[str, str]) -> Sample:
    load = BENCHMARKS / "load"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s",
               "-s", str(load / script)]  # fmt: skip
    try:
        done = subprocess.run(
            [*command, server.url + path], capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, **env, "REPORT": str(load / "report.lua")},
        )  # fmt: skip
    except FileNotFoundError:
        raise Failed("wrk is not installed: benchmarks/setup_peers.sh") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(done.stderr.strip()[-300:] or done.stdout[-300:])
    said = json.loads(lines[-1])
    if said["errors"] or not said["requests"]:
        raise Failed(f"{path}: {said}")
    seconds = said["us"] / 1e6
    return Sample(seconds, seconds, 0.0, said["requests"])


# ---------------------------------------------------------------------------------------- servers


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    port = services.free_port()
    command = [jobrunner(), "serve", "--port", str(port), "--slots", "0"]
    with started(command, port, environment(home)) as server:
        yield server


@contextmanager
def program(script: Path, env: Mapping[str, str]) -> Iterator[Server]:
    python, port = peers_python(), services.free_port()
    if not python.exists():
        raise Failed(f"{python} does not exist: benchmarks/setup_peers.sh")
    path = {"PYTHONPATH": str(BENCHMARKS.parent)}
    with started([str(python), str(script), str(port)], port, {**path, **env}) as server:
        yield server


@contextmanager
def bare(homes: Homes, body: bytes) -> Iterator[Server]:
    """Under the interpreter of the product, so that it is the same version of everything."""
    file, port = homes.logs() / "body", services.free_port()
    file.write_bytes(body)
    command = [sys.executable, str(BARE), str(port)]
    with started(command, port, {"BODY_FILE": str(file)}) as server:
        yield server


@contextmanager
def started(command: list[str], port: int, env: Mapping[str, str]) -> Iterator[Server]:
    with services.running(command, port, env):
        yield Server(f"http://127.0.0.1:{port}")


def filled(home: Path, executions_per_job: int) -> Path:
    """A home with jobs and ended executions, written by the store itself."""
    script = BENCHMARKS / "load" / "fill.py"
    words = [sys.executable, str(script), str(MANY_JOBS), str(executions_per_job)]
    subprocess.run(words, check=True, env={**os.environ, **environment(home)})
    return home
