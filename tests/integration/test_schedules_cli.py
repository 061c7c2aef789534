"""Schedules from the command line: by itself, and through the server of its home."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import jobrunner
from tests.support.serving import announced, serving
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("home")
YEARLY = ("--schedule", "0 0 1 1 *")


def ok(*words: str) -> str:
    run = jobrunner("schedules", *words)
    assert run.returncode == 0, run.stderr
    return run.stdout


def shown(name: str) -> dict[str, object]:
    found = json.loads(ok("describe", name, "--format", "json"))
    assert isinstance(found, dict)
    return found


class Sink(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).seen.append((self.path, dict(self.headers), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def sink() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    class Own(Sink):
        seen: list[tuple[str, dict[str, str], bytes]] = []  # noqa: RUF012

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Own.seen
        server.shutdown()
        thread.join()


def test_a_schedule_is_made_shown_changed_and_removed(way: str) -> None:
    made = jobrunner(
        "schedules", "create", "http", "ping", *YEARLY, "--uri", "http://127.0.0.1:9/x",
        "--headers", "A=b,C=d", "--max-retry-attempts", "2", "--overlap", "forbid",
        "--time-zone", "Europe/Berlin", "--start", "2020-01-01T00:00:00Z",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "Schedule 'ping' was created; it is due next at" in made.stderr
    assert ("Nothing fires while no server runs" in made.stderr) is (way == "alone")
    found = shown("ping")
    assert found["httpTarget"]["headers"] == {  # type: ignore[index]
        "A": "b",
        "C": "d",
        "User-Agent": "Google-Cloud-Scheduler",
    }
    assert (found["overlap"], found["timeZone"]) == ("forbid", "Europe/Berlin")
    ok("update", "ping", "--missed-runs", "skip", "--uri", "http://127.0.0.1:9/y")
    changed = shown("ping")
    assert changed["missedRuns"] == "skip"
    assert changed["httpTarget"]["headers"] == found["httpTarget"]["headers"]  # type: ignore[index]
    assert "http://127.0.0.1:9/y" in ok("list")
    assert ok("next", "ping", "--from", "2026-06-01T00:00:00Z", "--count", "1") == (
        "2027-01-01T00:00:00+01:00\n"
    )
    ok("delete", "ping", "--quiet")
    assert jobrunner("schedules", "describe", "ping").returncode == 3


@pytest.mark.usefixtures("way")
def test_a_schedule_can_publish_a_message() -> None:
    words = ("--topic", "reports", "--message-body", "hi", "--attributes", "a=b,c=d")
    ok("create", "pubsub", "hourly", *YEARLY, *words)
    assert shown("hourly")["pubsubTarget"] == {
        "topicName": "projects/local/topics/reports",
        "data": "aGk=",
        "attributes": {"a": "b", "c": "d"},
    }
    ok("update", "hourly", "--message-body", "ho")
    assert shown("hourly")["pubsubTarget"]["data"] == "aG8="  # type: ignore[index]
    wrong = jobrunner("schedules", "update", "hourly", "--uri", "http://x/")
    assert (wrong.returncode, "publishes a message" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("create", "http", "x", "--uri", "http://x"), 2, "--schedule is required"),
        (("create", "http", "x", *YEARLY), 2, "--uri is required"),
        (("create", "job", "x", *YEARLY, "--job", "nothing"), 3, "no job named 'nothing'"),
        (("create", "http", "x", *YEARLY, "--uri", "x"), 2, "must start with 'http://'"),
        (("create", "http", "a b", *YEARLY, "--uri", "http://x"), 2, "is not a name"),
        (("update", "x"), 2, "nothing to change"),
        (("update", "x", "--jitter", "1s"), 3, "'x' does not exist"),
        (("explain", "--history"), 2, "--history needs the name"),
        (("next",), 2, "--schedule or the name of a schedule is required"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], code: int, says: str) -> None:
    run = jobrunner("schedules", *words)
    assert (run.returncode, says in run.stderr) == (code, True), run.stderr


def test_a_server_elsewhere_is_asked_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("create", "http", "here", *YEARLY, "--uri", "http://127.0.0.1:9/")
    monkeypatch.setenv("JOBRUNNER_ENDPOINT", "http://127.0.0.1:9")
    run = jobrunner("schedules", "list")
    assert (run.returncode, "does not answer" in run.stderr) == (5, True)
    assert ok("next", "--schedule", "0 0 * * *", "--count", "1")
    monkeypatch.delenv("JOBRUNNER_ENDPOINT")
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "there"))
    with serving() as server:
        entry = announced(server.pid)
        assert entry is not None
        monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "away"))
        monkeypatch.setenv("JOBRUNNER_ENDPOINT", entry.endpoint)
        monkeypatch.setenv("JOBRUNNER_TOKEN", entry.key)
        ok("create", "http", "there", *YEARLY, "--uri", "http://127.0.0.1:9/")
        assert [line.split()[0] for line in ok("list").splitlines()] == ["NAME", "there"]
        monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "there"))


def test_what_is_changed_through_the_server_is_in_its_audit_log() -> None:
    with serving():
        ok("create", "http", "ping", *YEARLY, "--uri", "http://127.0.0.1:9/")
        ok("update", "ping", "--jitter", "1s")
        ok("pause", "ping")
        assert jobrunner("schedules", "pause", "ping").returncode == 4
        ok("delete", "ping", "--quiet")
        name = "projects/local/locations/us-central1/schedules/ping"
        wanted = [
            ("create", 200),
            ("replace", 200),
            ("pause", 200),
            ("pause", 400),
            ("delete", 200),
        ]
        made = [(f"jobrunner.schedules.{verb}", name, code) for verb, code in wanted]
        # They are written soon after the answer.
        until(lambda: audited() == sorted(made))


def audited() -> list[tuple[str, str, int]]:
    listed = jobrunner("audit", "list", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    rows = [(one["method"], one["resource"], one["code"]) for one in json.loads(listed.stdout)]
    return sorted(row for row in rows if "schedules" in row[0])


@pytest.mark.usefixtures("way")
def test_pausing_twice_is_refused() -> None:
    ok("create", "http", "ping", *YEARLY, "--uri", "http://127.0.0.1:9/")
    ok("pause", "ping")
    assert jobrunner("schedules", "pause", "ping").returncode == 4
    assert shown("ping")["nextAt"] is None
    ok("resume", "ping")
    assert shown("ping")["state"] == "ENABLED"


@pytest.mark.usefixtures("way")
def test_describe_shows_its_dates_and_what_follows_a_failure() -> None:
    dates = ("--start", "2030-01-01T00:00:00Z", "--end", "2031-01-01T00:00:00Z")
    retries = ("--max-retry-attempts", "3", "--min-backoff", "1m", "--pause-after", "5")
    ok("create", "http", "ping", *YEARLY, "--uri", "http://127.0.0.1:9/", *dates, *retries)
    found = dict(line.split(":", 1) for line in ok("describe", "ping").splitlines())
    assert found["Start"].strip() == "2030-01-01T00:00:00+00:00"
    assert found["Retries"].strip() == "3, 60s to 3600s apart"
    assert found["Pauses after"].strip() == "5 failures in a row"


def test_the_list_of_commands_cuts_no_sentence() -> None:
    listed = " ".join(ok("--help").split())
    assert "calls a service, executes a job or publishes a message. update" in listed


@pytest.mark.usefixtures("way")
def test_a_backfill_is_shown_first_and_opens_each_moment_once() -> None:
    ok("create", "http", "ping", *YEARLY, "--uri", "http://127.0.0.1:9/", "--overlap", "allow")
    range_ = ("--from", "2020-01-01T00:00:00Z", "--to", "2022-01-01T00:00:00Z")
    assert len(ok("backfill", "ping", *range_, "--dry-run").splitlines()) == 3
    assert "2020" not in ok("describe", "ping")
    for count, before in (("3", "."), ("0", "; 3 had been before.")):
        run = jobrunner("schedules", "backfill", "ping", *range_, "--id", "b1")
        assert run.stderr == f"{count} occurrences were opened as 'b1'{before}\n"
    assert ok("describe", "ping").count("backfill b1") == 3
    ok("backfill", "ping", *range_, "--id", "b2", "--overlap", "forbid")
    assert ok("describe", "ping").count("overlap forbid") == 3


def test_what_is_run_by_hand_is_called_by_the_server(
    sink: tuple[str, list[tuple[str, dict[str, str], bytes]]],
) -> None:
    url, seen = sink
    with serving():
        ok("create", "http", "ping", *YEARLY, "--uri", f"{url}/a", "--message-body", "hello")
        ok("run", "ping")
        until(lambda: seen)
        [(path, headers, body)] = seen
        assert (path, body) == ("/a", b"hello")
        assert headers["X-CloudScheduler-JobName"] == "ping"
        until(lambda: shown("ping")["status"] == {})
        until(lambda: "CLOSED" in ok("describe", "ping"))
        history = ok("explain", "ping", "--history")
    assert "run by hand" in history


def test_a_job_is_executed_and_overlap_is_kept_to_its_end() -> None:
    with serving():
        made = jobrunner("jobs", "create", "slow", "--command", "sleep", "--args", "600")
        assert made.returncode == 0, made.stderr
        ok("create", "job", "nightly", *YEARLY, "--job", "slow", "--overlap", "forbid")
        ok("run", "nightly")
        until(lambda: len(executions()) == 1)
        again = jobrunner("schedules", "run", "nightly")
        assert again.returncode == 4
        assert "1 open of this schedule, limit 1" in again.stderr
        [execution] = executions()
        assert jobrunner("executions", "cancel", execution).returncode == 0
        until(lambda: "CLOSED" in ok("describe", "nightly"))
        ok("run", "nightly")
        until(lambda: len(executions()) == 2)
        for name in executions():
            jobrunner("executions", "cancel", name)


def executions() -> list[str]:
    listed = jobrunner("executions", "list", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    return [one["name"] for one in json.loads(listed.stdout)]


NIGHTLY = """\
apiVersion: jobrunner.dev/v1
kind: Schedule
metadata: {name: nightly}
spec:
  schedule: 0 3 * * *
  timeZone: Europe/Berlin
  jobTarget: {job: report, args: [--full], env: {N: 1}, acknowledge: success}
  retryConfig: {retryCount: 2}
  overlap: forbid
  missedRuns: all
  missedRunsWindow: 6h
  spread: 10m
---
apiVersion: run.googleapis.com/v1
kind: Job
metadata: {name: report}
spec: {template: {spec: {template: {spec: {containers: [{command: ['true']}]}}}}}
---
apiVersion: jobrunner.dev/v1
kind: Schedule
metadata: {name: ping}
spec:
  schedule: every 5 minutes
  attemptDeadline: 30s
  httpTarget: {uri: 'http://127.0.0.1:9/', httpMethod: GET}
"""


@pytest.mark.usefixtures("way")
def test_apply_takes_schedules_beside_the_jobs_that_they_start(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(NIGHTLY)
    dry = jobrunner("apply", "-f", str(file), "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Schedule 'nightly' created (dry run)." in dry.stdout
    assert "+missedRuns: all" in dry.stdout
    assert ok("list") == ""
    for word in ("created", "unchanged"):
        run = jobrunner("apply", "-f", str(file))
        assert run.returncode == 0, run.stderr
        assert run.stdout.splitlines() == [
            f"Job 'report' {word}.",
            f"Schedule 'nightly' {word}.",
            f"Schedule 'ping' {word}.",
        ]
    found = shown("nightly")
    assert found["jobTarget"] == {
        "job": "report",
        "project": "local",
        "region": "us-central1",
        "acknowledge": "success",
        "args": ["--full"],
        "env": {"N": "1"},
        "tasks": None,
        "taskTimeout": None,
    }
    assert (found["missedRunsWindow"], found["spread"]) == (21600.0, 600)
    file.write_text(NIGHTLY.replace("overlap: forbid", "overlap: allow"))
    assert "Schedule 'nightly' configured." in jobrunner("apply", "-f", str(file)).stdout
    assert shown("nightly")["overlap"] == "allow"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("overlap: forbid", "overlap: never", "spec.overlap: 'never' is not one of allow, forbid"),
        ("overlap: forbid", "overlp: forbid", "spec.overlp: Unknown name"),
        ("0 3 * * *", "0 3 * *", "'0 3 * *' has 4 fields"),
        ("spread: 10m", "spread: soon", "spec.spread: 'soon' is not a duration"),
        ("name: ping", "name: nightly", "'nightly' stands more than once"),
        ("kind: Schedule", "kind: Timer", "Timer (jobrunner.dev/v1) cannot be applied"),
    ],
)
def test_a_document_that_is_wrong_changes_nothing(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(NIGHTLY.replace(old, new, 1))
    run = jobrunner("apply", "-f", str(file))
    assert (run.returncode, says in run.stderr) == (2, True), run.stderr
    assert (ok("list"), jobrunner("jobs", "list").stdout) == ("", "")
