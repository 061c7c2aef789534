"""``jobrunner queues`` and ``apply`` of queues, on a home without a server."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobrunner.cli.main import main

URL = ("--url", "http://127.0.0.1:9/x")
YAML = """
apiVersion: jobrunner.dev/v1
kind: Queue
metadata: {name: reports}
spec:
  rateLimits: {maxConcurrentDispatches: 1}
  httpTarget:
    headers: {X-A: b}
    uriOverride: {scheme: HTTPS, host: h.example.com, port: 99, path: /p, query: a=b}
    oidcToken: {serviceAccountEmail: me@example.com}
"""


class Line:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Standard output; of an error, standard error."""
        found = main(list(words))
        seen = self._capsys.readouterr()
        assert found == code, (words, seen)
        return seen.out if code == 0 else seen.err

    def queues(self, *words: str, code: int = 0) -> str:
        return self("queues", *words, code=code)

    def shown(self, *words: str) -> Any:
        return json.loads(self.queues(*words, "--format", "json"))


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Line:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "home"))
    return Line(capsys)


def test_a_queue_is_made_changed_and_deleted(line: Line) -> None:
    line.queues("create", "mail", "--max-dispatches-per-second", "5", "--max-attempts", "3")
    assert "Queue 'mail' already exists in us-central1" in line.queues("create", "mail", code=4)
    line.queues("update", "mail", "--max-attempts", "unlimited", "--min-backoff", "2s")
    found = line.shown("describe", "mail")
    assert found["rateLimits"] == {
        "maxDispatchesPerSecond": 5.0,
        "maxBurstSize": 10,
        "maxConcurrentDispatches": 1000,
    }
    assert (found["retryConfig"]["maxAttempts"], found["retryConfig"]["minBackoff"]) == (-1, "2s")
    line.queues("update", "mail", "--max-dispatches-per-second", "100")
    assert line.shown("describe", "mail")["rateLimits"]["maxBurstSize"] == 20
    assert "Did you mean 'mail'?" in line.queues("describe", "mial", code=3)
    assert line.queues("list").split()[-5:] == ["mail", "RUNNING", "100", "1000", "unlimited"]
    line.queues("delete", "mail", "--quiet")
    assert line.shown("list") == []


def test_all_that_is_wrong_is_said_at_once(line: Line) -> None:
    said = line.queues(
        "create", "a_b", "--max-attempts", "0", "--max-dispatches-per-second", "501", code=2
    )
    assert said.splitlines()[0] == "Error: 3 fields are not valid:"
    assert "--max-attempts (retryConfig.maxAttempts): 'x' is not a whole number" in line.queues(
        "create", "mail", "--max-attempts", "x", code=2
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "ftp://x"], "--url (task.httpRequest.url): "),
        ([*URL, "--headers", "a b=c"], "--headers (task.httpRequest.headers[a b]): "),
        ([*URL, "--dispatch-deadline", "1s"], "--dispatch-deadline (task.dispatchDeadline): 1s"),
        ([*URL, "--oidc-service-account-email", ""], "--oidc-service-account-email is empty"),
    ],
)
def test_what_is_wrong_with_an_item_is_named_by_its_flag(
    line: Line, words: list[str], said: str
) -> None:
    line.queues("create", "mail")
    assert line.queues("add", "mail", *words, code=2).startswith(f"Error: {said}")


def test_an_update_that_changes_nothing_is_refused(line: Line) -> None:
    line.queues("create", "mail")
    assert "There is nothing to change." in line.queues("update", "mail", code=2)


def test_items_are_added_seen_sent_and_withdrawn(line: Line) -> None:
    line.queues("create", "mail")
    line.queues("pause", "mail")
    assert line.queues("add", "mail", *URL, "--name", "a", "--delay", "1h") == "a\n"
    assert line.queues("add", "mail", *URL).strip().isdecimal()
    assert "already exists" in line.queues("add", "mail", *URL, "--name", "a", code=4)
    assert [one["state"] for one in line.shown("items", "list", "mail")] == ["PENDING"] * 2
    first = line.shown("items", "list", "mail", "--limit", "1")
    assert [one["name"] for one in first] == ["a"]
    before = line.shown("items", "describe", "mail", "a")
    assert (before["httpTarget"]["uri"], before["dispatches"]) == (URL[1], 0)
    line.queues("items", "run", "mail", "a")
    assert line.shown("items", "describe", "mail", "a")["scheduleTime"] < before["scheduleTime"]
    assert "POST http://127.0.0.1:9/x" in line.queues("items", "describe", "mail", "a")
    line.queues("items", "delete", "mail", "a", "--quiet")
    assert "Item 'a' of queue 'mail' no longer exists" in line.queues(
        "items", "describe", "mail", "a", code=3
    )
    line.queues("purge", "mail", "--quiet")
    assert line.shown("items", "list", "mail") == []
    line.queues("resume", "mail")
    assert line.shown("describe", "mail")["state"] == "RUNNING"


def test_an_item_may_start_a_job_and_headers_are_not_shown(line: Line) -> None:
    line("jobs", "create", "report", "--command", "true")
    line.queues("create", "mail")
    line.queues("add", "mail", "--job", "report", "--acknowledge", "success", "--name", "j")
    target = line.shown("items", "describe", "mail", "j")["jobTarget"]
    assert (target["job"], target["acknowledgedOn"]) == ("report", "success")
    assert "nobody" in line.queues("add", "mail", "--job", "nobody", code=3)
    line.queues("add", "mail", *URL, "--name", "s", "--headers", "Authorization=secret")
    assert "secret" not in line.queues("items", "describe", "mail", "s", "--format", "yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name what it calls: --url or --job."),
        ((*URL, "--job", "x"), "It calls a URL (--url) or starts a job (--job), not both."),
        ((*URL, "--tasks", "3"), "--tasks goes with --job only."),
        (("--job", "x", "--dispatch-deadline", "20s"), "--dispatch-deadline goes with --url only."),
        (("--job", "x", "--message-body", "b"), "--message-body goes with --url only."),
        (
            (*URL, "--delay", "1s", "--schedule-time", "2030-01-01T00:00:00Z"),
            "--schedule-time and --delay exclude each other.",
        ),
        (("--url", "ftp://x"), "must start with 'http://' or 'https://'."),
        ((*URL, "--schedule-time", "2099-01-01T00:00:00Z"), "more than 30 days ahead"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    line: Line, words: tuple[str, ...], said: str
) -> None:
    line.queues("create", "mail")
    assert said in line.queues("add", "mail", *words, code=2)


def test_a_queue_in_a_file_is_made_compared_and_changed(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "queue.yaml"
    file.write_text(YAML)
    apply = ("apply", "-f", str(file))
    assert "created (dry run)" in line(*apply, "--dry-run")
    assert line.shown("list") == []
    assert line(*apply) == "Queue 'reports' created.\n"
    assert line(*apply) == "Queue 'reports' unchanged.\n"
    found = line.shown("describe", "reports")
    assert found["httpTarget"] == {
        "uriOverride": {
            "scheme": "https",
            "host": "h.example.com",
            "port": 99,
            "path": "/p",
            "query": "a=b",
            "enforce": "ALWAYS",
        },
        "headers": {"X-A": "b"},
        "oidcToken": {"serviceAccountEmail": "me@example.com"},
    }
    file.write_text(YAML.replace("Dispatches: 1", "Dispatches: 2"))
    assert "-  maxConcurrentDispatches: 1" in line(*apply, "--dry-run")
    assert line(*apply) == "Queue 'reports' configured.\n"
    assert line.shown("describe", "reports")["rateLimits"]["maxConcurrentDispatches"] == 2
    file.write_text(YAML.replace("port: 99", "port: 0"))
    assert "httpTarget.uriOverride.port: 0 is not from 1" in line(*apply, code=2)


def test_errors_name_the_queue_and_the_item(line: Line) -> None:
    nowhere = "There is no queue 'mail' in us-central1 of project local."
    for words in (("describe", "mail"), ("pause", "mail"), ("delete", "mail")):
        assert nowhere in line.queues(*words, code=3)
    line.queues("create", "mail")
    assert "There is no item 'x' in queue 'mail'" in line.queues(
        "items", "describe", "mail", "x", code=3
    )
    line.queues("add", "mail", "--name", "a", *URL)
    assert "name: Item 'a' of queue 'mail' already exists; allowed:" in line.queues(
        "add", "mail", "--name", "a", *URL, code=4
    )
