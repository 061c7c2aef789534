"""Kills a server while a thousand messages and events come in and checks that what it acknowledged
was kept, once, and that each run was opened once.

One round: a real ``jobrunner serve`` in a fresh home, with a subscription that calls a sink, one
that starts a job and a trigger that calls the sink (:mod:`tests.support.message_load`); a sender
posts to all of them over some connections, a part twice with the same ids; the server gets SIGKILL
at a named crash point or at a random moment. Another one takes its place, and the sender sends
again what was not acknowledged and a part of what was. Then the books are compared: what was
acknowledged, what the sink saw, what the record says.

``python -m tests.support.message_faults --rounds 50`` runs the full campaign.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.delivery_load import Books, quiet
from tests.support.fault_rounds import FaultReport, ground
from tests.support.message_load import JOB, Message, Sender, a_load, answer, declare, name_in
from tests.support.receiver import Receiver
from tests.support.served import Served, answering, start
from tests.support.waiting import PATIENCE
from triggers.core.records import Delivery, Ruling
from triggers.core.states import DeliveryState
from triggers.service.crashpoints import INTAKE_POINTS, POINTS

SETTINGS = {"JOBRUNNER_DELIVERIES_PER_TARGET": "64"}
EACH = ("message-in-turn", "message-kept", "delivery-before-send", "delivery-after-send")
"""Points that are visited for each message, not for each turn."""
UNVISITED = "delivery-followed"
"""A run that is acknowledged on start is not followed."""
LOADED = 2.5
"""Seconds of load within which a random moment lies."""


@dataclass(frozen=True)
class MessagePlan:
    """``point`` names a crash point (its ``visit``-th visit); without it the kill comes ``after``
    seconds of load."""

    point: str | None = None
    visit: int = 1
    after: float = 0.0
    seed: int = 1
    count: int = 1000


@dataclass
class MessageReport(FaultReport):
    """``acknowledged`` is how many were when the server went."""

    plan: MessagePlan
    acknowledged: int = 0
    runs: int = 0


def run_message_round(plan: MessagePlan) -> MessageReport:
    report = MessageReport(plan)
    with ground("m", answer) as (folder, receiver):
        MessageRound(plan, folder / "h", receiver, report).run()
    return report


class MessageRound:
    def __init__(
        self, plan: MessagePlan, home: Path, receiver: Receiver, report: MessageReport
    ) -> None:
        self.plan = plan
        self.home = home
        self.receiver = receiver
        self.report = report
        self.load = a_load(plan.seed, plan.count)
        self.servers: list[Served] = []
        self.held: set[str] = set()
        """Names of what the first server had on the wire, by the record, when it went."""

    def run(self) -> None:
        plan = self.plan
        crash = {"JOBRUNNER_CRASH_AT": f"{plan.point}:{plan.visit}"} if plan.point else {}
        try:
            first = self.serve(crash)
            declare(first, self.receiver.url)
            sender = Sender(first.port)
            books = Books(f"sqlite:///{self.home}/jobrunner.db")
            try:
                asyncio.run(self.storm(first, sender))
                quiet(self.receiver)
                self.snapshot(books, sender)
                last = self.serve({}, first.port)
                asyncio.run(sender.send(self.again(sender)))
                self.settle(books)
                self.check(books, sender, last)
                self.report.expect(last.stop() < 10, "the last server did not end in time")
            finally:
                books.close()
        finally:
            for server in self.servers:
                if server.process.poll() is None:
                    server.process.kill()
                server.process.wait()

    def serve(self, more: Mapping[str, str], port: int | None = None) -> Served:
        server = start(self.home, "--backend", "scripted", port=port, env={**SETTINGS, **more})
        self.servers.append(server)
        assert answering(server), server.said()
        return server

    async def storm(self, server: Served, sender: Sender) -> None:
        """Until the server is gone."""
        sending = asyncio.create_task(sender.send(self.load))
        if self.plan.point is None:
            await asyncio.sleep(self.plan.after)
            server.process.kill()
        try:
            await asyncio.to_thread(server.process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            self.report.problems.append("the crash point was not reached")
            server.process.kill()
        await sending
        self.report.killed = server.process.wait() == -signal.SIGKILL

    def again(self, sender: Sender) -> list[Message]:
        """What was not acknowledged, and a part of what was: its sender did not hear of it."""
        dice = random.Random(self.plan.seed)
        return [
            one for one in self.load if one.name not in sender.acknowledged or dice.random() < 0.1
        ]

    # ------------------------------------------------------------ the books

    def calls(self) -> Counter[str]:
        """What has reached the sink, by name."""
        with self.receiver.lock:
            return Counter(name_in(body) for _, body in self.receiver.received)

    def found(self, books: Books) -> dict[str, list[Delivery]]:
        """All deliveries by the name of their message."""
        found: dict[str, list[Delivery]] = {}
        for one in books.deliveries().values():
            assert one.payload is not None
            found.setdefault(name_in(one.payload.body), []).append(one)
        return found

    def snapshot(self, books: Books, sender: Sender) -> None:
        """With nothing on the wire, what is not SENDING has an end on record for each call."""
        found, expect = self.found(books), self.report.expect
        self.report.acknowledged = len(sender.acknowledged)
        lost = sender.acknowledged - set(found)
        expect(not lost, f"acknowledged and lost: {sorted(lost)[:5]}")
        calls = self.calls()
        for name, several in found.items():
            if any(one.state is DeliveryState.SENDING for one in several):
                self.held.add(name)
            elif not name.startswith("run"):
                known = sum(one.attempts for one in several)
                expect(calls[name] == known, f"{name}: {calls[name]} calls, {known} on record")
        strays = set(calls) - set(found)
        expect(not strays, f"called and not on record: {sorted(strays)[:5]}")
        self.report.in_flight = len(self.held)

    def settle(self, books: Books) -> None:
        until = time.monotonic() + PATIENCE
        while left := books.unsettled():
            if time.monotonic() > until:
                self.report.problems.append(f"for ever under way: {left}")
                break
            time.sleep(0.1)
        quiet(self.receiver)

    def check(self, books: Books, sender: Sender, last: Served) -> None:
        expect, found, calls = self.report.expect, self.found(books), self.calls()
        names = {one.name for one in self.load}
        expect(sender.acknowledged == names, "not everything was acknowledged in the end")
        expect(not sender.refused, f"refused: {sender.refused}")
        expect(set(found) == names, f"lost or strange: {sorted(set(found) ^ names)[:5]}")
        opened: list[str] = []
        for name, several in found.items():
            expect(len(several) == 1, f"{name} has {len(several)} deliveries")
            for one in several:
                self.check_record(books, name, one)
                if name.startswith("run"):
                    opened.append(one.execution or "")
            if not name.startswith("run"):
                known = sum(one.attempts for one in several)
                unknown = sum(one.unknown for one in several)
                whole = known <= calls[name] <= known + unknown
                expect(whole, f"{name}: {calls[name]} calls, {known} ended, {unknown} unknown")
                self.report.doubled += calls[name] - known
        there = Counter(one["uid"] for one in last.executions(JOB))
        self.report.runs = there.total()
        expect(there == Counter(opened), f"{there.total()} runs of {len(opened)} messages")
        expect(len(set(opened)) == len(opened), "two messages share a run")
        _, traced, rest = last.said().partition("Traceback")
        expect(not traced, f"a traceback:{rest[:1500]}")

    def check_record(self, books: Books, name: str, one: Delivery) -> None:
        """Delivered, with one acceptance as the last word, and each attempt written once."""
        expect, log = self.report.expect, books.attempts(one)
        expect(one.state is DeliveryState.DELIVERED, f"{name} is {one.state}: {one.reason}")
        expect(one.lease_owner is None, f"{name} is held by {one.lease_owner}")
        numbers = [attempt.number for attempt in log]
        whole = list(range(1, one.attempts + one.unknown + 1))
        expect(numbers == whole, f"{name}: attempts {numbers}, counted {whole}")
        accepted = [attempt.number for attempt in log if attempt.ruling is Ruling.ACCEPT]
        expect(accepted == numbers[-1:], f"{name} was accepted at {accepted} of {numbers}")
        allowed = 1 if name in self.held else 0
        expect(one.unknown <= allowed, f"{name}: {one.unknown} unknown ends, {allowed} possible")


def at_point(point: str, visit: int = 1, count: int = 1000) -> MessagePlan:
    return MessagePlan(point=point, visit=visit, seed=visit, count=count)


def message_campaign(rounds: int, seed: int) -> list[MessagePlan]:
    """Every named crash point at its first and at later visits, then random moments."""
    dice = random.Random(seed)
    points = [point for point in (*INTAKE_POINTS, *POINTS) if point != UNVISITED]
    plans = [at_point(point, visit) for point in points for visit in (1, 5)]
    plans += [at_point(point, 200) for point in EACH]
    return plans + [
        MessagePlan(after=dice.uniform(0.0, LOADED), seed=seed + n) for n in range(rounds)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    total: Counter[str] = Counter()
    for number, plan in enumerate(message_campaign(options.rounds, options.seed), 1):
        report = run_message_round(plan)
        total["rounds"] += 1
        total["killed"] += report.killed
        total["messages"] += plan.count
        total["acknowledged"] += report.acknowledged
        total["in flight"] += report.in_flight
        total["twice"] += report.doubled
        total["runs"] += report.runs
        total["bad"] += bool(report.problems)
        if report.problems:
            print(f"round {number} {plan}: {report.problems[:10]}", flush=True)
        elif number % 10 == 0:
            print(f"{number} rounds, {dict(total)}", flush=True)
    print(
        f"{total['rounds']} rounds, {total['killed']} servers killed, {total['messages']} messages,"
        f" {total['acknowledged']} acknowledged before, {total['in flight']} deliveries in flight,"
        f" {total['twice']} came twice, {total['runs']} runs,"
        f" {total['bad']} rounds with a broken promise"
    )
    sys.exit(1 if total["bad"] else 0)


if __name__ == "__main__":
    main()
