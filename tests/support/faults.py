"""Kills runners and supervisors in mid-run and checks that nothing was lost, doubled or left.

One round: 200 short tasks are fanned out by the real command line in a fresh home; the runner (or
runner and supervisor) gets SIGKILL at a named crash point or at a random moment; then
``jobrunner executions continue`` brings the execution to its end and the books are compared: what
the tasks themselves wrote down, what the record says, what is left on the machine.

``python -m tests.support.faults --rounds 100`` runs the full campaign.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.executor.crashpoints import POINTS
from tests.support.waiting import PATIENCE

TASKS = 200
PARALLELISM = 16
NAP = "0.05"
STUCK = "3.0"
TIMEOUT = "2s"
"""Of every attempt: those that are not stuck are so few at a time that they keep well within it."""
FEW = 4
LABEL = "dev.jobrunner.execution"
WORKER = """
n="$CLOUD_RUN_TASK_INDEX.$CLOUD_RUN_TASK_ATTEMPT"
echo "start $n" >> "$BOOK"
echo "out $n"
if [ "$n" = "$STUCK" ]; then trap "" TERM; sleep 60; fi
sleep "$NAP"
echo "end $n" >> "$BOOK"
"""
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from jobrunner.cli.main import main; sys.exit(main())",
]


@dataclass(frozen=True)
class Plan:
    """What is killed and when. ``point`` names a crash point (its ``visit``-th visit); without it
    the kill comes ``after`` seconds. ``both`` takes the supervisor along. With
    ``stuck`` one attempt hangs, ignores TERM and must be ended by its timeout."""

    point: str | None = None
    visit: int = 1
    after: float = 0.0
    both: bool = False
    max_retries: int = 0
    database_url: str | None = None
    tasks: int = TASKS
    parallelism: int = PARALLELISM
    image: str | None = None
    stuck: bool = False


@dataclass
class Report:
    """``problems`` is empty when the round kept every promise."""

    plan: Plan
    problems: list[str] = field(default_factory=list)
    killed: bool = False
    lost: int = 0

    def expect(self, condition: bool, problem: str) -> None:
        if not condition:
            self.problems.append(problem)


def run_round(plan: Plan, seed: int = 0) -> Report:
    report = Report(plan)
    folder = tempfile.mkdtemp(prefix="jr-f-", dir="/tmp")
    try:
        Round(plan, Path(folder), report, seed).run()
    finally:
        kill_marked(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return report


class Round:
    def __init__(self, plan: Plan, folder: Path, report: Report, seed: int) -> None:
        self.plan = plan
        self.home = folder / "h"
        self.book = folder / "book"
        self.report = report
        self.seed = seed
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "JOBRUNNER_HOME": str(self.home),
            "BOOK": str(self.book),
            "NAP": NAP,
            "STUCK": STUCK if plan.stuck else "",
        }
        if plan.database_url:
            self.env["JOBRUNNER_DATABASE_URL"] = plan.database_url

    def run(self) -> None:
        plan = self.plan
        env = dict(self.env)
        if plan.point:
            env["JOBRUNNER_CRASH_AT"] = f"{plan.point}:{plan.visit}"
        runner = subprocess.Popen(
            [*PROGRAM, *self.order()],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if plan.point is None:
            self.wait_for_first_task(runner)
            try:
                runner.wait(plan.after)
            except subprocess.TimeoutExpired:
                runner.send_signal(signal.SIGKILL)
        talk = runner.communicate(timeout=120)[1].decode(errors="replace")
        self.report.killed = runner.returncode == -signal.SIGKILL
        if plan.both:
            for pid in supervisors(self.home):
                # It ends by itself when it has nothing left to do.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.report.expect(
            self.report.killed or runner.returncode == 0,
            f"the runner ended with {runner.returncode}: {talk[-500:]}",
        )
        names = self.names()
        if not names:
            # Killed before the execution was stored: then nothing may have been started.
            self.report.expect(not self.book.exists(), "tasks ran without a record")
            return
        self.bring_to_an_end(names[0])
        self.check(names[0])

    def order(self) -> list[str]:
        plan = self.plan
        order = [
            "run",
            f"--tasks={plan.tasks}",
            f"--parallelism={plan.parallelism}",
            f"--max-retries={max(plan.max_retries, int(plan.stuck))}",
            "--output=none",
        ]
        if plan.stuck:
            order += [f"--task-timeout={TIMEOUT}", "--grace-period=1s"]
        if plan.image:
            order += [
                f"--image={plan.image}",
                f"--host-mounts={self.home.parent}:{self.home.parent}",
                f"--set-env-vars=BOOK={self.book},NAP={NAP}",
            ]
        return [*order, "--", "sh", "-c", WORKER]

    def wait_for_first_task(self, runner: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while not self.book.exists() and runner.poll() is None:
            if time.monotonic() > until:
                raise AssertionError(f"no task started within {PATIENCE:g} s")
            time.sleep(0.002)

    def call(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*PROGRAM, *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=180,
            check=False,
        )

    def names(self) -> list[str]:
        listed = self.call("executions", "list", "--format=json")
        self.report.expect(listed.returncode == 0, f"list: {listed.stderr.decode()}")
        return [item["name"] for item in json.loads(listed.stdout or b"[]")]

    def bring_to_an_end(self, name: str) -> None:
        """Another command line is refused while the dead runner's lease is alive, so a lease that
        outlives its runner costs waiting, never a second driver."""
        until = time.monotonic() + 90
        while True:
            continued = self.call("executions", "continue", name)
            talk = continued.stderr.decode()
            if continued.returncode != 4 or "has ended" in talk:
                break
            if time.monotonic() > until:
                self.report.problems.append(f"never continued: {talk}")
                return
            time.sleep(0.5)
        allowed = (0, 1, 4) if self.plan.both and self.plan.max_retries == 0 else (0, 4)
        self.report.expect(
            continued.returncode in allowed, f"continue: {continued.returncode} {talk[-800:]}"
        )

    def check(self, name: str) -> None:
        report, plan = self.report, self.plan
        described = self.call("executions", "describe", name, "--format=json")
        record = json.loads(described.stdout)
        attempts = [
            (task["index"], attempt) for task in record["tasks"] for attempt in task["attempts"]
        ]
        report.expect(len(record["tasks"]) == plan.tasks, "tasks are missing in the record")
        ends = Counter(attempt["state"] for _, attempt in attempts)
        report.lost = ends.get("LOST", 0)
        stopped = ends.pop("TIMED_OUT", 0)
        report.expect(stopped == int(plan.stuck), f"{stopped} attempts timed out")
        unknown = set(ends) - {"SUCCEEDED", "LOST"}
        report.expect(not unknown, f"unexpected ends: {dict(ends)}")
        won = Counter(index for index, attempt in attempts if attempt["state"] == "SUCCEEDED")
        report.expect(max(won.values(), default=0) == 1, "a task succeeded twice in the record")
        if not plan.both:
            report.expect(report.lost == 0, f"{report.lost} attempts were lost")
        if plan.both and plan.max_retries == 0:
            report.expect(
                len(won) + report.lost == plan.tasks, "a lost task was started again or forgotten"
            )
        else:
            report.expect(len(won) == plan.tasks, f"{len(won)} of {plan.tasks} tasks succeeded")
        self.check_book(attempts)
        self.check_output(name, won)
        # A supervisor ends when it has heard that nobody wants anything of it any more.
        until = time.monotonic() + PATIENCE
        while (left := self.left_behind()) and time.monotonic() < until:
            time.sleep(0.02)
        report.expect(not left, f"left behind: {left}")
        if plan.image:
            listed = docker("ps", "-aq", f"--filter=label={LABEL}={record['uid']}")
            report.expect(not listed, f"containers left behind: {listed}")

    def left_behind(self) -> list[object]:
        """Processes and files."""
        remains = (self.home / "run" / "sup").glob("*")
        return [*marked(str(self.home.parent)), *supervisors(self.home), *remains]

    def check_book(self, attempts: list[tuple[int, dict[str, object]]]) -> None:
        """What the tasks wrote down themselves."""
        report = self.report
        lines = Counter(self.book.read_text().splitlines()) if self.book.exists() else Counter()
        twice = [line for line, count in lines.items() if count > 1]
        report.expect(not twice, f"started or ended twice: {twice[:5]}")
        for index, attempt in attempts:
            name = f"{index}.{attempt['number']}"
            if attempt["state"] == "SUCCEEDED":
                whole = lines[f"start {name}"] == 1 and lines[f"end {name}"] == 1
                report.expect(whole, f"attempt {name} was interrupted or never ran")
        started = {line.split()[1] for line in lines if line.startswith("start ")}
        recorded = {f"{index}.{attempt['number']}" for index, attempt in attempts}
        report.expect(started <= recorded, f"ran without a record: {started - recorded}")

    def check_output(self, name: str, won: Counter[int]) -> None:
        shown = self.call("executions", "logs", name)
        lines = Counter(line for line in shown.stdout.decode().splitlines() if "out " in line)
        per_task = Counter(int(line.split("out ")[1].split(".")[0]) for line in lines.elements())
        missing = [index for index in won if per_task[index] < 1]
        self.report.expect(not missing, f"no output of tasks {missing[:5]}")
        if not self.plan.both:
            allowed = 1 + int(self.plan.stuck)
            doubled = [index for index, count in per_task.items() if count > allowed]
            self.report.expect(not doubled, f"output twice of tasks {doubled[:5]}")


def docker(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def supervisors(home: Path) -> list[int]:
    """Living supervisors of a home, by what they wrote about themselves."""
    found = []
    for info in (home / "run" / "sup").glob("*/info"):
        try:
            pid = int(json.loads(info.read_text())["pid"])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, KeyError):
            continue
        if b"supervisor" in command:
            found.append(pid)
    return found


def marked(text: str) -> Iterator[int]:
    """Living tasks whose environment names this round's folder."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environ = Path(f"/proc/{entry}/environ").read_bytes()
            state = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and b"JOBRUNNER_ATTEMPT=" in environ and text.encode() in environ:
            yield int(entry)


def kill_marked(text: str) -> None:
    for pid in marked(text):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def campaign(rounds: int, seed: int) -> list[Plan]:
    """Every named crash point at its first and at a later visit, then ``rounds`` random moments of
    each kind: runner alone, runner and supervisor with retries, and without."""
    dice = random.Random(seed)
    plans = [at_point(point, visit) for point in POINTS for visit in (1, 7)]
    for _ in range(rounds):
        plans.append(Plan(after=dice.uniform(0.0, 1.0)))
        plans.append(Plan(after=dice.uniform(0.0, 1.0), both=True, max_retries=3))
        plans.append(Plan(after=dice.uniform(0.0, 1.0), both=True, max_retries=0))
    return plans


def at_point(point: str, visit: int = 1) -> Plan:
    stuck = point in ("before-stop", "after-stop")
    parallelism = FEW if stuck else PARALLELISM
    return Plan(point=point, visit=visit, parallelism=parallelism, stuck=stuck)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plans = campaign(options.rounds, options.seed)
    bad = lost = killed = 0
    for number, plan in enumerate(plans, 1):
        report = run_round(plan, seed=options.seed + number)
        killed += report.killed
        lost += report.lost
        if report.problems:
            bad += 1
            print(f"round {number} {plan}: {report.problems}", flush=True)
        elif number % 10 == 0:
            print(f"{number}/{len(plans)} rounds, {killed} killed in mid-run", flush=True)
    print(
        f"{len(plans)} rounds, {killed} killed in mid-run, {lost} attempts lost with their "
        f"supervisor, {bad} rounds with a broken promise"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
