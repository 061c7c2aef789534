"""Kills or freezes a server with hundreds of deliveries in flight and checks that none was lost,
none was recorded twice, and what came twice to the sink was on the wire when its server went.

One round: a real ``jobrunner serve`` in a fresh home; five hundred deliveries of every kind
(:mod:`tests.support.delivery_load`) are opened at once, and callers open more through the API; the
server gets SIGKILL at a named crash point or at a random moment, and another one is started; or
it is frozen beside a second one on the same database and thawed when that has taken over. Then
everything settles, and the books are compared: what was accepted, what the sink and the tasks saw,
what the record says.

``python -m tests.support.delivery_faults --rounds 100`` runs the full campaign.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.delivery_load import (
    JOB,
    WORKER,
    Books,
    Want,
    a_load,
    answer,
    lines_of,
    quiet,
)
from tests.support.fault_rounds import FaultReport, ground
from tests.support.fixtures import postgres_server
from tests.support.receiver import Receiver
from tests.support.served import Answered, Served, answering, start
from triggers.core.records import Delivery, DeliveryAttempt, Ruling
from triggers.core.states import DeliveryState
from triggers.service.crashpoints import POINTS

PATH = "/jobrunner/v1/deliveries"
OPENED = 40
"""Through the API, by each of the callers, while the rest is on its way."""
CALLERS = 2
SETTINGS = {"JOBRUNNER_DELIVERIES_PER_TARGET": "64"}
SENDS = ("delivery-before-send", "delivery-after-send")
"""Points that are visited for each delivery, not for each turn."""
PATIENCE = 60.0
LOADED = 1.5
"""Seconds within which a server is about done with all of them."""


@dataclass(frozen=True)
class DeliveryPlan:
    """``point`` names a crash point (its ``visit``-th visit); without it the kill comes ``after``
    seconds of load. ``freeze`` stops the server instead, beside a second one; it needs a
    ``database_url`` of PostgreSQL."""

    point: str | None = None
    visit: int = 1
    after: float = 0.0
    seed: int = 1
    freeze: bool = False
    database_url: str | None = None


@dataclass
class DeliveryReport(FaultReport):
    """``unknown`` are the ends that nobody saw."""

    plan: DeliveryPlan
    settled_before: int = 0
    unknown: int = 0


def run_delivery_round(plan: DeliveryPlan) -> DeliveryReport:
    report = DeliveryReport(plan)
    with ground("d", answer) as (folder, receiver):
        DeliveryRound(plan, folder, receiver, report).run()
    return report


class DeliveryRound:
    def __init__(
        self, plan: DeliveryPlan, folder: Path, receiver: Receiver, report: DeliveryReport
    ) -> None:
        self.plan = plan
        self.home = folder / "h"
        self.book = folder / "book"
        self.receiver = receiver
        self.report = report
        self.url = plan.database_url or f"sqlite:///{self.home}/jobrunner.db"
        self.wants = a_load(receiver.url, plan.seed, time.time())
        self.accepted: set[str] = set()
        self.over = threading.Event()
        self.servers: list[Served] = []
        self.held: set[str] = set()
        """Keys of what the first server had on the wire, by the record, when it went."""

    # ------------------------------------------------------------ the round

    def run(self) -> None:
        plan = self.plan
        crash = {"JOBRUNNER_CRASH_AT": f"{plan.point}:{plan.visit}"} if plan.point else {}
        try:
            first = self.serve(crash)
            first.create(JOB, WORKER, env={"BOOK": str(self.book)})
            second = self.serve() if plan.freeze else None
            books = Books(self.url)
            try:
                if second is not None:
                    self.freeze(first, books)
                    last = second
                else:
                    last = self.kill(first, books)
                self.settle(books)
                if second is not None:
                    self.report.expect(first.stop() < 10, "the thawed server did not end")
                self.report.expect(last.stop() < 10, "the last server did not end in time")
                self.check(books)
            finally:
                books.close()
        finally:
            self.over.set()
            for server in self.servers:
                if server.process.poll() is None:
                    server.process.send_signal(signal.SIGCONT)
                    server.process.kill()
                server.process.wait()

    def serve(self, more: Mapping[str, str] = {}, port: int | None = None) -> Served:
        env = {**SETTINGS, **more}
        if self.plan.database_url:
            env["JOBRUNNER_DATABASE_URL"] = self.plan.database_url
        server = start(self.home, "--backend", "process", port=port, env=env)
        self.servers.append(server)
        assert answering(server), server.said()
        return server

    def load(self, server: Served, books: Books) -> list[threading.Thread]:
        books.open(self.wants)
        callers = [
            threading.Thread(target=self.caller, args=(server, number), daemon=True)
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        return callers

    def caller(self, server: Served, number: int) -> None:
        """Opens deliveries until all are opened, or nobody answers any more."""
        for count in range(OPENED):
            key = f"api-{number}-{count}"
            http = {"url": f"{self.receiver.url}/fast/{key}"}
            try:
                server.call("POST", PATH, {"key": key, "http": http}, timeout=30)
            except Answered as error:
                # PostgreSQL cuts off who stands still within a transaction; that one is told no.
                if not (self.plan.freeze and error.code == 503):
                    self.report.problems.append(f"opening {key}: {error}")
            except (OSError, ValueError):
                return
            else:
                self.accepted.add(key)
            if self.over.wait(0.02):
                return

    def kill(self, first: Served, books: Books) -> Served:
        """Returns the server that took its place."""
        callers = self.load(first, books)
        if self.plan.point is None:
            time.sleep(self.plan.after)
            first.process.kill()
        try:
            self.report.killed = first.process.wait(60) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            first.process.kill()
            first.process.wait()
        for caller in callers:
            caller.join(60)
        quiet(self.receiver)
        self.snapshot(books, "")
        return self.serve(port=first.port)

    def freeze(self, first: Served, books: Books) -> None:
        """Until the other server has taken over what the frozen one held."""
        callers = self.load(first, books)
        time.sleep(self.plan.after)
        first.process.send_signal(signal.SIGSTOP)
        self.report.killed = True
        mark = f"pid {first.process.pid} "
        self.snapshot(books, mark)
        until = time.monotonic() + PATIENCE
        while any(mark in holder for holder in books.holders()):
            if time.monotonic() > until:
                self.report.problems.append("what the frozen server held was not taken over")
                break
            time.sleep(0.1)
        first.process.send_signal(signal.SIGCONT)
        for caller in callers:
            caller.join(60)

    def snapshot(self, books: Books, holder: str) -> None:
        found = books.deliveries()
        self.held = {
            key
            for key, one in found.items()
            if one.state is DeliveryState.SENDING and holder in (one.lease_owner or "")
        }
        self.report.in_flight = len(self.held)
        self.report.settled_before = sum(one.settled_at is not None for one in found.values())
        if not holder:
            # With nothing on the wire, what is not SENDING has an end on record for each call.
            for key, path in self.paths().items():
                one = found.get(key)
                began = self.receiver.began[path]
                known = 0 if one is None else one.attempts
                if one is None or key not in self.held:
                    self.report.expect(began == known, f"{began} calls without a record: {key}")

    def settle(self, books: Books) -> None:
        """Until nothing is on its way any more."""
        until = time.monotonic() + PATIENCE
        while left := books.unsettled():
            if time.monotonic() > until:
                said = "; ".join(server.said()[-600:] for server in self.servers[-1:])
                self.report.problems.append(f"for ever under way: {left}; {said}")
                return
            time.sleep(0.1)
        if self.plan.freeze:
            # The thawed one has its chance to do harm.
            time.sleep(1.0)
        quiet(self.receiver)
        self.runs_over()

    def runs_over(self) -> None:
        """What was acknowledged on start may still run."""
        until = time.monotonic() + PATIENCE
        while True:
            words = Counter(line[0] for line in lines_of(self.book))
            runs = {want.what for want in self.wants if want.what}
            started = {line[1] for line in lines_of(self.book)}
            if words["start"] == words["end"] and runs <= started:
                return
            if time.monotonic() > until:
                self.report.problems.append(f"runs: {words}; never ran: {runs - started}")
                return
            time.sleep(0.1)

    # ------------------------------------------------------------ the books

    def paths(self) -> dict[str, str]:
        """By key, of everything that calls the sink."""
        mine = {want.delivery.key: want.path for want in self.wants if want.path}
        return mine | {
            key: f"/fast/{key}"
            for key in (f"api-{n}-{c}" for n in range(CALLERS) for c in range(OPENED))
        }

    def check(self, books: Books) -> None:
        report = self.report
        found = books.deliveries()
        opened = {want.delivery.key for want in self.wants} | self.accepted
        report.expect(opened <= set(found), f"lost: {sorted(opened - set(found))[:5]}")
        dying = {want.delivery.key for want in self.wants if want.dies}
        paths = self.paths()
        for key, one in found.items():
            self.check_record(one, books.attempts(one), dies=key in dying)
            if key in paths:
                self.check_calls(one, paths[key])
        strays = set(self.receiver.began) - set(paths.values())
        report.expect(not strays, f"called and unknown: {sorted(strays)[:5]}")
        self.check_order()
        self.check_runs(found)
        _, found_one, rest = self.servers[0].said().partition("Traceback")
        report.expect(not found_one, f"a traceback:{rest[:4000]}")

    def check_record(self, one: Delivery, log: Sequence[DeliveryAttempt], *, dies: bool) -> None:
        """Settled as it has to be, once, and each attempt written once."""
        expect, rulings = self.report.expect, Counter(attempt.ruling for attempt in log)
        state = DeliveryState.DEAD if dies else DeliveryState.DELIVERED
        expect(one.state is state, f"{one.key} is {one.state}: {one.reason}")
        expect(one.lease_owner is None, f"{one.key} is held by {one.lease_owner}")
        numbers = [attempt.number for attempt in log]
        whole = list(range(1, one.attempts + one.unknown + 1))
        expect(numbers == whole, f"{one.key}: attempts {numbers}, counted {whole}")
        expect(rulings[None] == one.unknown, f"{one.key}: {rulings}, {one.unknown} unknown")
        accepted = 0 if dies else 1
        expect(rulings[Ruling.ACCEPT] == accepted, f"{one.key} accepted: {rulings}")
        if log and not dies:
            expect(log[-1].ruling is Ruling.ACCEPT, f"{one.key} went on after it was accepted")
        allowed = 1 if one.key in self.held else 0
        expect(one.unknown <= allowed, f"{one.key}: {one.unknown} unknown ends, {allowed} possible")
        self.report.unknown += one.unknown

    def check_calls(self, one: Delivery, path: str) -> None:
        """What the sink saw beyond the record was on the wire when its server went."""
        began = self.receiver.began[path]
        known = one.attempts <= began <= one.attempts + one.unknown
        self.report.expect(
            known, f"{one.key}: {began} calls, {one.attempts} attempts, {one.unknown} unknown"
        )
        self.report.doubled += max(0, began - one.attempts)

    def check_order(self) -> None:
        """Of each order key: every call of one comes before the first call of the next."""
        keyed: dict[str, list[str]] = {}
        for want in self.wants:
            if want.delivery.order_key:
                keyed.setdefault(want.delivery.order_key, []).append(want.path)
        for key, paths in keyed.items():
            mine = set(paths)
            calls = [path for path in self.receiver.order if path in mine]
            places = [paths.index(path) for path in calls]
            self.report.expect(places == sorted(places), f"{key} was overtaken: {places}")

    def check_runs(self, found: Mapping[str, Delivery]) -> None:
        """One after the other for each delivery, and one only unless it failed."""
        for want in self.wants:
            if want.what:
                self.check_run(want, found[want.delivery.key])

    def check_run(self, want: Want, one: Delivery) -> None:
        lines = [(word, run) for word, what, run in lines_of(self.book) if what == want.what]
        runs = list(dict.fromkeys(run for _, run in lines))
        neat = [(word, run) for run in runs for word in ("start", "end")]
        self.report.expect(lines == neat, f"{want.what} ran at once or was broken off: {lines}")
        expected = 2 if want.what.startswith("broken") else 1
        self.report.expect(len(runs) == expected, f"{want.what}: {len(runs)} runs, one={one}")


def delivery_campaign(rounds: int, seed: int) -> list[DeliveryPlan]:
    """Every named crash point at its first and at later visits, then random moments."""
    dice = random.Random(seed)
    plans = [at_point(point, visit) for point in POINTS for visit in (1, 5)]
    plans += [at_point(point, visit) for point in SENDS for visit in (100, 300)]
    return plans + [
        DeliveryPlan(after=dice.uniform(0.0, LOADED), seed=seed + n) for n in range(rounds)
    ]


def at_point(point: str, visit: int = 1) -> DeliveryPlan:
    return DeliveryPlan(point=point, visit=visit, seed=visit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--freezes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plans = delivery_campaign(options.rounds, options.seed)
    total: Counter[str] = Counter()
    for number, plan in enumerate(plans, 1):
        count(run_delivery_round(plan), number, total)
    dice = random.Random(options.seed)
    for number in range(options.freezes):
        with postgres_server() as url:
            plan = DeliveryPlan(
                after=dice.uniform(0.2, 2.0), seed=number, freeze=True, database_url=url
            )
            count(run_delivery_round(plan), len(plans) + number + 1, total)
    print(
        f"{total['rounds']} rounds, {total['gone']} servers killed or frozen,"
        f" {total['in_flight']} deliveries in flight, {total['unknown']} of unknown end,"
        f" {total['doubled']} came twice, {total['bad']} rounds with a broken promise"
    )
    sys.exit(1 if total["bad"] else 0)


def count(report: DeliveryReport, number: int, total: Counter[str]) -> None:
    total["rounds"] += 1
    total["gone"] += report.killed
    total["in_flight"] += report.in_flight
    total["unknown"] += report.unknown
    total["doubled"] += report.doubled
    if report.problems:
        total["bad"] += 1
        print(f"round {number} {report.plan}: {report.problems[:10]}", flush=True)
    elif number % 10 == 0:
        print(f"{number} rounds, {dict(total)}", flush=True)


if __name__ == "__main__":
    main()
