"""How exactly schedules keep time, beside APScheduler; what they cost while nothing is due; and how
long it takes to read an expression, beside cronsim.

Ours is ``jobrunner serve`` as it is (``load/schedule_server.py`` only notes times): SQLite with
``synchronous=FULL``. Its figure is due second to the commit of occurrence and delivery; the peer's
is due second to the first line of the job's body, which does nothing and of which nothing is kept.
So what is compared sends nothing; the same with every delivery sent to a small HTTP sink as it is
opened is shown beside it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import services
from harness.context import Context
from harness.measure import Failed
from harness.place import BENCHMARKS
from harness.product import Homes, environment
from harness.report import Report, Row, limit_row, verdict

from suites.idle import cpu

SERVER = BENCHMARKS / "load" / "schedule_server.py"
FILL = BENCHMARKS / "load" / "fill_schedules.py"
SINK = BENCHMARKS / "load" / "sink.py"
PEER = BENCHMARKS / "peers" / "p_apscheduler.py"
PARSE = BENCHMARKS / "cron_parse.py"
PEER_NAMES = {"mem": "APScheduler, in memory", "sql": "APScheduler, SQLAlchemy on SQLite"}
AT_MOST = {"mem": 1.0, "sql": 0.1}
LATE_MS = 1000.0
MINUTELY = "* * * * *,*/1 * * * *,0-59 * * * *,* 0-23 * * *,* * 1-31 * *"
YEARLY = ",".join(f"{n % 60} {n % 24} {n % 28 + 1} {(n + 6) % 12 + 1} *" for n in range(97))
IDLE_SECONDS = 60.0
IDLE_PERCENT = 0.2
START_SECONDS = 1.0
PARSE_RATIO = 1.2
LEAD_SECONDS, LEAD_EACH = 10.0, 0.002
"""For filling a store and starting a server."""
AFTER_SECONDS = 5.0
"""Given to what is late, before the server is ended."""
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """``jobs`` schedules, of which ``each`` are due in each of ``seconds`` seconds. ``sends``:
    deliveries are sent at once, which the peer has no counterpart of; else they stay stored."""

    jobs: int
    each: int
    seconds: int
    sends: bool

    @property
    def title(self) -> str:
        what = f"{self.jobs:,} schedules, {self.each:,} due a second for {self.seconds} s"
        return what + (", and called over HTTP" if self.sends else "")


LOADS = (
    Load(1000, 1000, 1, sends=False),
    Load(1000, 1000, 1, sends=True),
    Load(10_000, 1000, 10, sends=False),
    Load(10_000, 1000, 10, sends=True),
)


@dataclass(frozen=True, slots=True)
class Drift:
    """Milliseconds, of what fired; ``due`` is how many should have."""

    values: Sequence[float]
    due: int

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        return sorted(self.values)[int(len(self.values) * 0.99)]


def run(context: Context) -> Report:
    rows: list[Row] = []
    with Homes() as homes, sink() as url:
        for jobs in (1000, 10_000):
            rows += drifts(homes, url, [one for one in LOADS if one.jobs == jobs], context)
        rows += quiet(homes, url, context)
    rows += parsing(context)
    return Report(
        "schedules",
        "due second to durable occurrence and delivery; idle cost; reading expressions",
        rows,
        commands=["jobrunner serve --slots 0", "python benchmarks/cron_parse.py"],
        notes=[
            "Each round runs ours and then both peers; a ratio is that of its round.",
            "The SQLAlchemy store is made to hurry while jobs are added, and FULL when they fire.",
        ],
    )


# ------------------------------------------------------------------------------------ drift


def drifts(homes: Homes, url: str, loads: Sequence[Load], context: Context) -> list[Row]:
    """``loads`` differ in whether they send."""
    ours: dict[Load, list[Drift]] = {load: [] for load in loads}
    peers: dict[str, list[Drift]] = {"mem": [], "sql": []}
    for number in range(context.rounds):
        for load, own in ours.items():
            own.append(fired(homes, url, load))
            context.tell(f"{load.title}: {own[-1].p50:.1f} {own[-1].p99:.1f} ms")
        for store, found in peers.items():
            found.append(peer(homes, store, loads[0]))
            last = found[-1]
            context.tell(f"round {number + 1}: {PEER_NAMES[store]} {last.p50:.1f} {last.p99:.1f}")
    rows = []
    for load, own in ours.items():
        for store, found in peers.items():
            for name in ("p50", "p99"):
                pairs = [
                    (getattr(a, name), getattr(b, name)) for a, b in zip(own, found, strict=True)
                ]
                rows.append(drift_row(f"{load.title}: {name}", store, pairs, bound=not load.sends))
    return rows + [lateness_row(load, own) for load, own in ours.items()]


def drift_row(what: str, store: str, pairs: Sequence[tuple[float, float]], *, bound: bool) -> Row:
    ratios = [a / b for a, b in pairs]
    ratio = statistics.median(ratios)
    passed = ratio <= AT_MOST[store] if bound else None
    cells = {
        "what": what,
        "ms": f"{statistics.median(a for a, _ in pairs):.1f}",
        "against": PEER_NAMES[store],
        "base ms": f"{statistics.median(b for _, b in pairs):.1f}",
        "ratio": f"**{ratio:.3f}x**",
        "min-max": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "bound": f"≤ {AT_MOST[store]:g}x" if bound else "",
        "": verdict(passed),
    }
    return Row(cells, passed, {"pairs": [list(pair) for pair in pairs]})


def lateness_row(load: Load, ours: Sequence[Drift]) -> Row:
    worst = max(max(one.values) for one in ours)
    missed = sum(one.due - len(one.values) for one in ours)
    passed = missed == 0 and worst <= LATE_MS
    cells = {
        "what": load.title,
        "due": str(sum(one.due for one in ours)),
        "missed": str(missed),
        "latest ms": f"**{worst:.0f}**",
        "bound": f"0 missed, ≤ {LATE_MS:.0f} ms",
        "": verdict(passed),
    }
    return Row(cells, passed, {"worst": worst, "missed": missed})


def fired(homes: Homes, url: str, load: Load) -> Drift:
    """One minute of a server: each of its schedules is due once, at its beginning or, spread by
    name, within ``load.seconds``."""
    lead = LEAD_SECONDS + load.jobs * LEAD_EACH
    minute = int((time.time() + lead) // 60 * 60 + 60)
    home = filled(homes, url, load.jobs, load.seconds - 1, MINUTELY, minute)
    with serving(home, hold=not load.sends) as server:
        if time.time() > minute - 2:
            raise Failed("the server was not ready in time: the machine is too busy")
        time.sleep(minute + load.seconds + AFTER_SECONDS - time.time())
        commits = server.end()["commits"]
    values = [1e3 * (at - due) for due, at in commits if minute <= due < minute + 60]
    check_rows(home, load, minute)
    return Drift(values, load.jobs)


def check_rows(home: Path, load: Load, minute: int) -> None:
    """What was noted is what is stored: an occurrence with its delivery for each schedule, once."""
    database = sqlite3.connect(f"file:{home}/jobrunner.db?mode=ro", uri=True)
    try:
        [(count,)] = database.execute(
            "SELECT COUNT(*) FROM occurrences o JOIN deliveries d ON d.uid = o.delivery"
            " WHERE o.nominal = ? AND o.origin = 'due'", (minute,),
        )  # fmt: skip
    finally:
        database.close()
    if count != load.jobs:
        raise Failed(f"{count} of {load.jobs} occurrences are stored with their deliveries")


def peer(homes: Homes, store: str, load: Load) -> Drift:
    where = f"sqlite:///{homes.logs()}/jobs.db" if store == "sql" else store
    command = [sys.executable, str(PEER), where, *map(str, (load.jobs, load.each, load.seconds))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    said = json.loads(done.stdout.splitlines()[-1])
    return Drift(said["drift"], said["due"])


# ------------------------------------------------------------------------------------- idle


def quiet(homes: Homes, url: str, context: Context) -> list[Row]:
    home = filled(homes, url, 10_000, 0, YEARLY)
    armed, whole, ready, idle = [], [], [], []
    for number in range(max(2, context.rounds)):
        began = time.time()
        with serving(home) as server:
            ready.append(time.time() - began)
            if number == 0:
                time.sleep(AFTER_SECONDS)
                before = cpu(server.process.pid)
                context.tell(f"watching for {IDLE_SECONDS:.0f} s")
                time.sleep(IDLE_SECONDS)
                idle.append(100 * (cpu(server.process.pid) - before) / IDLE_SECONDS)
            said = server.end()
        armed.append(said["armed"] - said["ticking"])
        whole.append(said["armed"] - said["began"])
    return [
        limit_row("server with 10,000 schedules, none due", idle, IDLE_PERCENT, "% of a core"),
        limit_row("first line of the ticker's loop to the alarm set", armed, START_SECONDS, "s"),
        limit_row("first line of the process to the alarm set", whole, START_SECONDS, "s"),
        limit_row("start of the process to /readyz", ready, None, "s"),
    ]


# ------------------------------------------------------------------------------ expressions


def parsing(context: Context) -> list[Row]:
    command = [sys.executable, str(PARSE), "10000", str(max(3, context.rounds))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    found: dict[str, list[tuple[float, float]]] = {}
    for line in done.stdout.splitlines():
        zone, ours, theirs = line.split()
        found.setdefault(zone, []).append((float(ours), float(theirs)))
    rows = []
    for zone, pairs in found.items():
        ratio = statistics.median(a / b for a, b in pairs)
        cells = {
            "what": f"read and find the next of 10,000 expressions, {zone}",
            "us each": f"{statistics.median(a for a, _ in pairs) * 100:.1f}",
            "cronsim": f"{statistics.median(b for _, b in pairs) * 100:.1f}",
            "ratio": f"**{ratio:.2f}x**",
            "bound": f"≤ {PARSE_RATIO:g}x",
            "": verdict(ratio <= PARSE_RATIO),
        }
        rows.append(Row(cells, ratio <= PARSE_RATIO, {"pairs": [list(one) for one in pairs]}))
    return rows


# ---------------------------------------------------------------------------------- servers


def filled(
    homes: Homes, url: str, count: int, spread: int, expressions: str, minute: int = 0
) -> Path:
    """A home with its schedules; due in no other minute than ``minute``, if it is given."""
    home = homes.fresh()
    command = [sys.executable, str(FILL), str(count), str(spread), expressions, str(minute)]
    env = {**os.environ, **environment(home), "SINK": url}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise Failed(done.stderr.strip()[-500:])
    return home


@dataclass(slots=True)
class Server:
    process: subprocess.Popen[bytes]
    out: Path

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        found: dict[str, Any] = json.loads(self.out.read_text())
        return found


@contextmanager
def serving(home: Path, *, hold: bool = False) -> Iterator[Server]:
    """Yields when it is ready. ``hold``: it sends nothing."""
    port, out = services.free_port(), home / "times.json"
    command = [sys.executable, str(SERVER), str(out), "serve", "--port", str(port), "--slots", "0"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **environment(home), "HOLD": "1" if hold else ""},
    )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the server is not ready ({process.returncode})")
            time.sleep(0.01)
        yield Server(process, out)
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def sink() -> Iterator[str]:
    port = services.free_port()
    process = subprocess.Popen([sys.executable, str(SINK), str(port)])
    try:
        services.wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        services.end(process)
