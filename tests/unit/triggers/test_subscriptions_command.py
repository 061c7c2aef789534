"""``jobrunner subscriptions`` and ``apply`` of subscriptions, on a home without a server."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobrunner.cli.main import main

URL = ("--url", "http://127.0.0.1:9/x")
YAML = """
apiVersion: jobrunner.dev/v1
kind: Subscription
metadata: {name: orders}
spec:
  topic: orders
  httpTarget: {uri: "http://localhost:8080/orders", headers: {X-A: b}}
  filter: attributes.kind = "new"
  acknowledge: durable
  ackDeadlineSeconds: 60
  retryPolicy: {minimumBackoff: 10s}
  deadLetterPolicy: {deadLetterTopic: dead-orders}
  senderToken: {serviceAccountEmail: me@example.com}
  labels: {team: x}
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

    def subscriptions(self, *words: str, code: int = 0) -> str:
        return self("subscriptions", *words, code=code)

    def shown(self, *words: str) -> Any:
        return json.loads(self.subscriptions(*words, "--format", "json"))


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Line:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "home"))
    return Line(capsys)


def test_a_subscription_is_made_seen_changed_and_deleted(line: Line) -> None:
    assert line.subscriptions("create", "orders", *URL, "--topic", "orders") == "/push/orders\n"
    assert "already exists" in line.subscriptions("create", "orders", *URL, code=4)
    line.subscriptions("update", "orders", "--ack-deadline", "30", "--backlog", "5")
    found = line.shown("describe", "orders")
    assert found["httpTarget"] == {"uri": URL[1]}
    assert found["topic"] == "projects/local/topics/orders"
    assert (found["ackDeadlineSeconds"], found["backlog"]) == (30, 5)
    assert found["messages"]["waiting"] == 0
    assert "0 of 5" in line.subscriptions("describe", "orders")
    row = line.subscriptions("list").splitlines()[1].split()
    assert row == ["orders", "ACTIVE", "push", URL[1], "durable", "orders"]
    line.subscriptions("pause", "orders")
    assert line.shown("describe", "orders")["state"] == "PAUSED"
    line.subscriptions("resume", "orders")
    assert line.shown("list")[0]["state"] == "ACTIVE"
    assert "Did you mean 'orders'?" in line.subscriptions("describe", "order", code=3)
    line.subscriptions("delete", "orders", "--quiet")
    assert line.shown("list") == []


def test_a_push_token_is_printed_once_and_shown_nowhere(line: Line, tmp_path: Path) -> None:
    said = line.subscriptions("create", "orders", *URL, "--push-token")
    path, _, token = said.strip().partition("?token=")
    assert (path, len(token)) == ("/push/orders", 43)
    shown = json.dumps(line.shown("describe", "orders"))
    assert '"hasPushToken": true' in shown
    assert token not in shown + line.subscriptions("describe", "orders")
    line.subscriptions("update", "orders", "--backlog", "7")
    assert line.shown("describe", "orders")["hasPushToken"]
    line.subscriptions("update", "orders", "--no-push-token")
    assert not line.shown("describe", "orders")["hasPushToken"]
    secret = tmp_path / "secret"
    secret.write_text("short\n")
    said = line.subscriptions("update", "orders", "--push-token-from-file", str(secret), code=2)
    assert "pushToken" in said
    assert "short'" not in said
    secret.write_text("a text that nobody guesses\n")
    said = line.subscriptions("update", "orders", "--push-token-from-file", str(secret))
    assert said.endswith("?token=a%20text%20that%20nobody%20guesses\n")


def test_policies_are_set_changed_and_cleared(line: Line) -> None:
    words = ("--min-retry-delay", "10s", "--dead-letter-topic", "dead", "--sender-keys", "google")
    line.subscriptions("create", "orders", *URL, *words)
    line.subscriptions(
        "update", "orders", "--max-delivery-attempts", "7", "--sender-email", "a@b.c"
    )
    found = line.shown("describe", "orders")
    assert found["retryPolicy"] == {"minimumBackoff": "10s", "maximumBackoff": "600s"}
    assert found["deadLetterPolicy"] == {
        "deadLetterTopic": "projects/local/topics/dead",
        "maxDeliveryAttempts": 7,
    }
    assert found["senderToken"]["serviceAccountEmail"] == "a@b.c"
    clearing = ("--clear-retry-policy", "--clear-dead-letter-policy", "--sender-keys", "none")
    line.subscriptions("update", "orders", *clearing)
    found = line.shown("describe", "orders")
    keys = ("retryPolicy", "deadLetterPolicy", "senderToken")
    assert [found[key] for key in keys] == [None, None, None]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--url or --job"),
        ((*URL, "--job", "x"), "not both"),
        ((*URL, "--max-delivery-attempts", "5"), "--dead-letter-topic"),
        ((*URL, "--sender-email", "a@b.c"), "--sender-keys"),
        ((*URL, "--push-auth-token-audience", "x"), "--push-auth-service-account"),
        ((*URL, "--message-filter", "kind = 1"), "filter"),
        ((*URL, "--labels", "x"), "--labels"),
    ],
)
def test_what_does_not_go_together_is_said(line: Line, words: tuple[str, ...], says: str) -> None:
    assert says in line.subscriptions("create", "orders", *words, code=2)


def test_a_job_that_is_not_there_is_said_when_it_is_named(line: Line) -> None:
    assert "report" in line.subscriptions("create", "orders", "--job", "report", code=3)
    line("jobs", "create", "report", "--command", "true", "--workdir", "/")
    line.subscriptions("create", "orders", "--job", "report", "--args", "a,b", "--tasks", "2")
    line.subscriptions("update", "orders", "--update-env-vars", "A=1")
    found = line.shown("describe", "orders")["jobTarget"]
    assert (found["args"], found["env"], found["tasks"]) == (["a", "b"], {"A": "1"}, 2)
    line.subscriptions("update", "orders", *URL)
    assert "jobTarget" not in line.shown("describe", "orders")


def test_a_file_is_applied_twice_and_changes_nothing_the_second_time(
    line: Line, tmp_path: Path
) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(YAML)
    assert "created (dry run)" in line("apply", "-f", str(file), "--dry-run")
    assert line("apply", "-f", str(file)) == "Subscription 'orders' created.\n"
    assert line("apply", "-f", str(file)) == "Subscription 'orders' unchanged.\n"
    found = line.shown("describe", "orders")
    assert found["deadLetterPolicy"]["maxDeliveryAttempts"] == 5
    assert found["httpTarget"]["headers"] == {"X-A": "b"}
    line.subscriptions("update", "orders", "--push-token")
    assert line("apply", "-f", str(file)) == "Subscription 'orders' unchanged.\n"
    file.write_text(YAML.replace("60", "61"))
    assert "+ackDeadlineSeconds: 61" in line("apply", "-f", str(file), "--dry-run")
    assert line("apply", "-f", str(file)) == "Subscription 'orders' configured.\n"
    assert line.shown("describe", "orders")["hasPushToken"]


def test_all_that_is_wrong_with_a_file_is_said_at_once(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(YAML.replace("attributes.kind", "kind").replace("durable", "soon") + "  x: 1\n")
    said = line("apply", "-f", str(file), code=2)
    assert "acknowledge" in said
    assert "x: " in said
