"""``jobrunner up``: what its files say is there, follows them, is told about, and ends cleanly."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import PROGRAM
from tests.support.waiting import PATIENCE

JOB = """\
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: {name}
spec:
  template:
    spec:
      template:
        spec:
          maxRetries: 0
          containers:
          - command: [sh, -c, "{script}"]
"""
SCHEDULE = """\
apiVersion: jobrunner.dev/v1
kind: Schedule
metadata:
  name: {name}
spec:
  schedule: "{when}"
  timeZone: Etc/UTC
  jobTarget:
    job: report
"""
TRIGGER = """\
apiVersion: jobrunner.dev/v1
kind: EventTrigger
metadata:
  name: chain
spec:
  eventFilters:
  - {attribute: type, value: dev.jobrunner.execution.v1.succeeded}
  - {attribute: job, value: report}
  destination:
    cloudRun: {job: after}
"""


class Up:
    """``jobrunner up`` over one file, with what it has told."""

    def __init__(self, home: Path, file: Path, *options: str) -> None:
        self.home, self.file = home, file
        self.out = home.parent / f"{home.name}.out"
        self.err = home.parent / f"{home.name}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*PROGRAM, "up", "-f", str(file), "--port", "0", "--format", "json", *options],
                env={**os.environ, "JOBRUNNER_HOME": str(home)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def told(self) -> list[dict[str, Any]]:
        lines = self.out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def until(self, **wanted: str) -> dict[str, Any]:
        """The first line with these fields."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for line in self.told():
                if all(line.get(name) == value for name, value in wanted.items()):
                    return line
            said = self.err.read_text()
            assert self.process.poll() is None, f"{said}\n{self.told()}"
            assert time.monotonic() < deadline, f"no {wanted} in {self.told()}\n{said}"
            time.sleep(0.02)

    def jobrunner(self, *words: str) -> str:
        env = {**os.environ, "JOBRUNNER_HOME": str(self.home)}
        done = subprocess.run([*PROGRAM, *words], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, *documents: str) -> None:
        self.file.write_text("---\n".join(documents))


@pytest.fixture
def up(home: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*documents: str, options: tuple[str, ...] = ()) -> Up:
        file = tmp_path / "pipeline.yaml"
        file.write_text("---\n".join(documents))
        started.append(Up(home, file, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


def test_a_file_is_served_followed_and_told(up: Callable[..., Up]) -> None:
    report, after = (
        JOB.format(name="report", script="true"),
        JOB.format(name="after", script="true"),
    )
    served = up(report, after, TRIGGER, SCHEDULE.format(name="often", when="0 3 * * *"))
    served.until(kind="file", name="EventTrigger chain", state="created")
    first = served.jobrunner("jobs", "execute", "report", "--async").strip()
    served.until(kind="run", execution=first, state="started")
    served.until(kind="run", execution=first, state="succeeded")
    event = served.until(kind="event", type="dev.jobrunner.execution.v1.succeeded")
    assert event["triggers"] == ["chain"]
    served.until(kind="delivery", source="event-trigger", sourceName="chain", state="delivered")
    served.until(kind="run", job="after", state="succeeded")
    told = [(line["kind"], line.get("job")) for line in served.told()]
    cause = told.index(("event", None))
    assert cause < told.index(("delivery", None))
    assert cause < told.index(("run", "after"))

    # Broken: named with its line, and everything stays.
    served.write(report, after, TRIGGER, SCHEDULE.format(name="often", when="hourly"))
    broken = served.until(kind="file", state="broken")
    line = 1 + served.file.read_text().splitlines().index('  schedule: "hourly"')
    assert f"pipeline.yaml:{line}: schedule" in broken["detail"]
    assert "often" in served.jobrunner("schedules", "list")

    # What was made by other means stays, whatever the file says.
    served.jobrunner("jobs", "create", "mine", "--command", "true")
    served.write(report, SCHEDULE.format(name="seldom", when="0 4 * * *"))
    served.until(kind="file", name="Job after", state="removed")
    served.until(kind="file", name="EventTrigger chain", state="removed")
    served.until(kind="file", name="Schedule often", state="removed")
    assert served.jobrunner("schedules", "list", "--format", "json").count('"name"') == 1
    assert {"mine", "report"} <= set(served.jobrunner("jobs", "list").split())


def test_what_any_kind_has_made_goes_when_it_leaves_the_file(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    def ours(kind: str, spec: str) -> str:
        head = f"apiVersion: jobrunner.dev/v1\nkind: {kind}\n"
        return f"{head}metadata: {{name: {kind.lower()}}}\nspec: {spec}\n"

    (tmp_path / "photos").mkdir()
    served = up(
        JOB.format(name="report", script="true"),
        SCHEDULE.format(name="often", when="0 3 * * *"),
        TRIGGER,
        ours("Queue", "{}"),
        ours("Subscription", "{topic: orders, jobTarget: {job: report}}"),
        ours("Services", "{web: 'http://127.0.0.1:9'}"),
        ours("Buckets", f"{{photos: '{tmp_path / 'photos'}'}}"),
    )
    made = ["Job report", "Schedule often", "EventTrigger chain", "Queue queue"]
    made += ["Subscription subscription", "Services web", "Buckets photos"]
    for name in made:
        served.until(kind="file", name=name, state="created")
    served.write("# later\n")
    for name in made:
        served.until(kind="file", name=name, state="removed")
    for room in ("jobs", "schedules", "triggers", "queues", "subscriptions", "services", "buckets"):
        assert json.loads(served.jobrunner(room, "list", "--format", "json")) == []


def test_a_file_that_is_broken_from_the_start_is_not_served(up: Callable[..., Up]) -> None:
    served = up(JOB.format(name="report", script="true").replace("maxRetries", "maxTries"))
    assert served.process.wait(PATIENCE) == 2
    assert "pipeline.yaml:10: " in served.err.read_text()
    assert not served.told()


def test_the_first_ctrl_c_waits_for_what_runs(up: Callable[..., Up], tmp_path: Path) -> None:
    gate, began = tmp_path / "gate", tmp_path / "began"
    script = f"touch {began}; until test -e {gate}; do sleep 0.05; done"
    served = up(JOB.format(name="report", script=script))
    served.until(kind="file", state="created")
    served.jobrunner("jobs", "execute", "report", "--async")
    served.until(kind="run", state="started")
    deadline = time.monotonic() + PATIENCE
    while not began.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    served.process.send_signal(signal.SIGINT)
    served.until(kind="server", state="finishing")
    with pytest.raises(subprocess.TimeoutExpired):
        served.process.wait(0.5)
    gate.touch()
    assert served.process.wait(PATIENCE) == 0
    assert served.told()[-1]["state"] == "succeeded"


def test_the_second_ctrl_c_ends_at_once_and_leaves_the_run(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    served = up(JOB.format(name="report", script=f"until test -e {gate}; do sleep 0.05; done"))
    served.until(kind="file", state="created")
    served.jobrunner("jobs", "execute", "report", "--async")
    served.until(kind="run", state="started")
    served.process.send_signal(signal.SIGINT)
    # The kernel makes one of two that come before the first was taken.
    served.until(kind="server", state="finishing")
    with pytest.raises(subprocess.TimeoutExpired):
        served.process.wait(0.3)
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE) == 0
    assert "RUNNING" in served.jobrunner("executions", "list", "--format", "json")
    gate.touch()


def test_a_night_is_told_in_virtual_time(up: Callable[..., Up]) -> None:
    options = ("--clock", "virtual", "--backend", "scripted", "--from", "2030-01-01T00:00:00Z")
    served = up(
        JOB.format(name="report", script="true"),
        SCHEDULE.format(name="nightly", when="0 3 * * *"),
        options=options,
    )
    served.until(kind="file", name="Schedule nightly", state="created")
    served.jobrunner("clock", "advance", "1d")
    run = served.until(kind="run", state="succeeded")
    assert run["time"].startswith("2030-01-01T03:00:00")
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE) == 0
