"""Kills a server under a mixed load and checks that nothing acknowledged was lost, and nothing was
interrupted, doubled or left.

One round: a real ``jobrunner serve`` in a fresh home; several callers create jobs, run, cancel and
delete through its API; the server gets SIGKILL at a named crash point or at a random moment;
another one is started, everything comes to its end, and the books are compared: what was answered,
what the tasks themselves wrote down, what the API says, what is left on the machine.

``python -m tests.support.server_faults --rounds 50`` runs the full campaign.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.executor.crashpoints import POINTS
from tests.support.faults import docker, kill_marked, marked, supervisors
from tests.support.served import PLACE, Answered, Served, answering, start

CALLERS = 3
LEAST_RUNS = 12
WORKER = (
    'n="$CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX.$CLOUD_RUN_TASK_ATTEMPT";'
    ' echo "start $n" >> "$BOOK"; echo "out $n"; sleep "$NAP"; echo "end $n" >> "$BOOK"'
)


@dataclass(frozen=True)
class ServerPlan:
    """``point`` names a crash point (its ``visit``-th visit); without it the kill comes ``after``
    seconds of load. With ``image`` half of the jobs run in containers."""

    point: str | None = None
    visit: int = 1
    after: float = 0.0
    seed: int = 1
    image: str | None = None
    database_url: str | None = None


@dataclass
class Ledger:
    """What callers were told. ``doubt`` holds what they asked for when nobody answered."""

    jobs: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    doubt: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@dataclass
class ServerReport:
    plan: ServerPlan
    problems: list[str] = field(default_factory=list)
    killed: bool = False
    runs: int = 0

    def expect(self, condition: object, problem: str) -> None:
        if not condition:
            self.problems.append(problem)


def run_server_round(plan: ServerPlan) -> ServerReport:
    report = ServerReport(plan)
    folder = tempfile.mkdtemp(prefix="jr-s-", dir="/tmp")
    try:
        ServerRound(plan, Path(folder), report).run()
    finally:
        kill_marked(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return report


class ServerRound:
    def __init__(self, plan: ServerPlan, folder: Path, report: ServerReport) -> None:
        self.plan = plan
        self.folder = folder
        self.home = folder / "h"
        self.book = folder / "book"
        self.report = report
        self.ledger = Ledger()
        self.over = threading.Event()

    # ------------------------------------------------------------ the round

    def run(self) -> None:
        plan = self.plan
        env = {"JOBRUNNER_DATABASE_URL": plan.database_url} if plan.database_url else {}
        options = () if plan.image else ("--backend", "process")
        crash = {"JOBRUNNER_CRASH_AT": f"{plan.point}:{plan.visit}"} if plan.point else {}
        first = start(self.home, *options, env=env | crash)
        second: Served | None = None
        try:
            if answering(first):
                self.load(first)
            self.report.killed = first.process.wait(60) == -signal.SIGKILL
            second = start(self.home, *options, port=first.port, env=env)
            self.report.expect(answering(second), f"no second server: {second.said()}")
            self.settle(second)
            self.check(second)
            self.report.expect(second.stop() < 5, "the second server did not end in time")
            self.check_machine()
        finally:
            for server in (first, second):
                if server is not None:
                    if server.process.poll() is None:
                        server.process.kill()
                    server.process.wait()

    def load(self, server: Served) -> None:
        callers = [
            threading.Thread(target=self.caller, args=(server, number), daemon=True)
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        if self.plan.point is None:
            time.sleep(self.plan.after)
            server.process.kill()
        else:
            try:
                server.process.wait(60)
            except Exception:
                server.process.kill()
        self.over.set()
        for caller in callers:
            caller.join(60)

    def caller(self, server: Served, number: int) -> None:
        """Creates, runs, cancels and deletes until nobody answers any more."""
        dice = random.Random(f"{self.plan.seed}.{number}")
        mine: list[tuple[str, str]] = []
        count = 0
        while not self.over.is_set():
            count += 1
            what = f"job-{number}-{count}"
            try:
                if count % 4 == 1:
                    self.create(server, what, dice)
                    job = what
                elif dice.random() < 0.2 and mine:
                    job, what = mine.pop(dice.randrange(len(mine)))
                    self.change(server, job, what, dice)
                    continue
                name = server.run(job)
                self.ledger.runs[name] = job
                mine.append((job, name))
                time.sleep(dice.uniform(0.0, 0.1))
            except Answered as error:
                self.ledger.doubt.add(what)
                if error.code >= 500:
                    self.ledger.faults.append(str(error))
            except OSError:
                self.ledger.doubt.add(what)
                return

    def create(self, server: Served, name: str, dice: random.Random) -> None:
        boxed = self.plan.image is not None and dice.random() < 0.5
        annotations = {}
        if boxed:
            annotations["jobrunner.dev/host-mounts"] = f"{self.folder}:{self.folder}"
        elif self.plan.image:
            annotations["jobrunner.dev/backend"] = "process"
        server.create(
            name,
            WORKER,
            tasks=dice.randint(1, 4),
            image=self.plan.image if boxed else None,
            env={"BOOK": str(self.book), "NAP": f"{dice.uniform(0.05, 1.5):.2f}"},
            annotations=annotations,
        )
        self.ledger.jobs.add(name)

    def change(self, server: Served, job: str, name: str, dice: random.Random) -> None:
        path = f"{PLACE}/jobs/{job}/executions/{name}"
        seen = server.call("GET", path)
        try:
            if "completionTime" not in seen:
                server.call("POST", f"{path}:cancel", {})
                self.ledger.cancelled.add(name)
            else:
                server.call("DELETE", path)
                self.ledger.deleted.add(name)
        except Answered as error:
            self.ledger.doubt.add(name)
            if error.code >= 500:
                raise

    def settle(self, server: Served) -> None:
        """Until everything that is there has ended."""
        until = time.monotonic() + 90
        while True:
            try:
                open_ones = [
                    e["name"] for e in self.everything(server) if "completionTime" not in e
                ]
            except Answered as error:
                self.report.problems.append(f"after the restart: {error}")
                return
            if not open_ones:
                return
            if time.monotonic() > until:
                self.report.problems.append(
                    f"stuck: {open_ones[:3]} of {len(open_ones)}; {server.said()[-800:]}"
                )
                return
            time.sleep(0.2)

    def everything(self, server: Served) -> list[dict[str, object]]:
        return server.executions("-")

    # ------------------------------------------------------------ the books

    def check(self, server: Served) -> None:
        report, ledger = self.report, self.ledger
        report.expect(not ledger.faults, f"5xx under load: {ledger.faults[:3]}")
        there = {str(e["name"]).rsplit("/", 1)[-1]: e for e in self.everything(server)}
        report.runs = len(there)
        jobs = {
            str(j["name"]).rsplit("/", 1)[-1]
            for page in [server.call("GET", f"{PLACE}/jobs?pageSize=1000")]
            for j in page.get("jobs", [])
        }
        report.expect(ledger.jobs <= jobs, f"jobs are gone: {ledger.jobs - jobs}")
        known = set(ledger.runs) - ledger.deleted - ledger.doubt
        report.expect(known <= set(there), f"executions are gone: {known - set(there)}")
        back = ledger.deleted & set(there)
        report.expect(not back, f"what was deleted is back: {back}")
        lines = Counter(self.book.read_text().splitlines()) if self.book.exists() else Counter()
        twice = [line for line, count in lines.items() if count > 1]
        report.expect(not twice, f"ran twice: {twice[:3]}")
        broken_off = ledger.cancelled | ledger.doubt
        for name, seen in there.items():
            tasks = int(str(seen["taskCount"]))
            if name in ledger.cancelled:
                counted = sum(
                    int(str(seen.get(k, 0)))
                    for k in ("succeededCount", "cancelledCount", "failedCount")
                )
                report.expect(counted == tasks, f"cancelled, and not all ended: {seen}")
            if name in broken_off:
                continue
            report.expect(seen.get("succeededCount") == tasks, f"not succeeded: {seen}")
            for index in range(tasks):
                whole = lines[f"start {name} {index}.0"] == lines[f"end {name} {index}.0"] == 1
                report.expect(whole, f"{name} {index} was interrupted or never ran")
        started = {line.split()[1] for line in lines}
        gone = ledger.deleted | ledger.doubt
        report.expect(started <= set(there) | gone, f"ran unknown: {started - set(there) - gone}")

    def check_machine(self) -> None:
        until = time.monotonic() + 60
        left: list[object] = []
        while time.monotonic() < until:
            left = [*marked(str(self.folder)), *supervisors(self.home)]
            left += (self.home / "run" / "sup").glob("*")
            if self.plan.image:
                left += docker("ps", "-aq", f"--filter=volume={self.folder}")
            if not left:
                return
            time.sleep(0.2)
        self.report.problems.append(f"left behind: {left}")


def server_campaign(rounds: int, seed: int) -> list[ServerPlan]:
    """Every named crash point at its first and at a later visit, then random moments."""
    dice = random.Random(seed)
    plans = [ServerPlan(point=point, visit=visit) for point in POINTS for visit in (1, 7)]
    plans += [ServerPlan(after=dice.uniform(0.2, 4.0), seed=seed + i) for i in range(rounds)]
    return plans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plans = server_campaign(options.rounds, options.seed)
    bad = killed = runs = 0
    for number, plan in enumerate(plans, 1):
        report = run_server_round(plan)
        killed += report.killed
        runs += report.runs
        if report.problems:
            bad += 1
            print(f"round {number} {plan}: {report.problems}", flush=True)
    print(
        f"{len(plans)} rounds, {killed} servers killed, {runs} executions, {bad} rounds with a"
        " broken promise"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
