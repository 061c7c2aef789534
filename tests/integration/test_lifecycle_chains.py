"""Chains of jobs and notices of failure, through a real server that is killed on the way."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import jobrunner
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, answering, served, start
from tests.support.waiting import PATIENCE, until
from triggers.core.lifecycle_events import DEAD, EXECUTION
from triggers.service.crashpoints import CHANGES_POINTS

TRIGGERS = "/jobrunner/v1/event-triggers"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def after(server: Served, job: str, change: str, destination: Any, **fields: Any) -> None:
    """A trigger on what happens to ``job``."""
    filters = [
        {"attribute": "type", "value": f"{EXECUTION}{change}"},
        {"attribute": "job", "value": job},
    ]
    name = f"after-{job}-{change}"
    body = {"name": name, "eventFilters": filters, "destination": destination, **fields}
    server.call("POST", TRIGGERS, body)


def ended(server: Served, job: str, count: int = 1) -> bool:
    found = server.executions(job)
    return len(found) >= count and all("completionTime" in one for one in found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("chains") / "home", "--backend", "process") as one:
        yield one


def test_after_one_job_succeeded_the_next_one_runs_and_knows_why(server: Served) -> None:
    server.create("extract", "true")
    server.create("load", 'test "$CE_JOB/$FROM" = "extract/$CE_EXECUTION"')
    env = {"FROM": "{{ data.execution }}"}
    after(server, "extract", "succeeded", {"cloudRun": {"job": "load", "env": env}})
    server.run("extract")
    until(lambda: ended(server, "load"))
    [execution] = server.executions("load")
    assert execution["succeededCount"] == 1


def test_a_failure_is_told_to_a_webhook(server: Served, receiver: Receiver) -> None:
    server.create("frail", "exit 3")
    uri = {"httpEndpoint": {"uri": f"{receiver.url}/hook"}}
    after(server, "frail", "failed", uri)
    name = server.run("frail")
    until(lambda: receiver.done["/hook"] == 1)
    said = json.loads(receiver.bodies["/hook"])
    assert (said["execution"], said["change"], said["failed"]) == (name, "failed", "1")
    assert receiver.headers["/hook"]["ce-subject"] == f"executions/{name}"


def test_a_circle_of_jobs_comes_to_an_end(server: Served) -> None:
    server.create("ping", "true")
    server.create("pong", "true")
    after(server, "ping", "succeeded", {"cloudRun": {"job": "pong"}})
    after(server, "pong", "succeeded", {"cloudRun": {"job": "ping"}})
    server.run("ping")
    # Events of up to eight hops are delivered, so one run follows the first and each of those.
    until(lambda: told(server, "ping", "succeeded") == told(server, "pong", "succeeded") == 5)
    assert (len(server.executions("ping")), len(server.executions("pong"))) == (5, 5)


def told(server: Served, job: str, change: str) -> int:
    found = server.call("GET", f"/jobrunner/v1/events?type={EXECUTION}{change}&pageSize=200")
    return sum(1 for one in found["events"] if one["event"]["job"] == job)


def test_a_dead_letter_is_told_once_and_its_own_death_is_not(
    server: Served, receiver: Receiver
) -> None:
    receiver.answer = lambda path, count: 200 if path == "/notice" else 400
    filters = [{"attribute": "type", "value": DEAD}]
    uri = {"httpEndpoint": {"uri": f"{receiver.url}/notice"}}
    server.call("POST", TRIGGERS, {"name": "dead", "eventFilters": filters, "destination": uri})
    sent = {"http": {"url": f"{receiver.url}/refuses"}, "retry": {"retryCount": 0}}
    server.call("POST", "/jobrunner/v1/deliveries", sent)
    until(lambda: receiver.done["/notice"] == 1)
    said = json.loads(receiver.bodies["/notice"])
    assert (said["source"], said["lastStatus"]) == ("manual", 400)


@pytest.mark.parametrize("point", CHANGES_POINTS)
def test_a_server_that_dies_between_two_jobs_runs_the_second_one_once(
    tmp_path: Path, point: str
) -> None:
    home = tmp_path / "home"
    with served(home, "--backend", "process") as server:
        server.create("first", "true")
        server.create("second", "true")
        after(server, "first", "succeeded", {"cloudRun": {"job": "second"}})
        server.stop()
    dying = start(home, "--backend", "process", env={"JOBRUNNER_CRASH_AT": point})
    assert answering(dying)
    # It may die before it has answered; that there is a run was stored before.
    with contextlib.suppress(OSError):
        dying.run("first")
    assert dying.process.wait(PATIENCE) == -signal.SIGKILL
    with served(home, "--backend", "process") as server:
        until(lambda: ended(server, "second"))
        assert len(server.executions("second")) == 1
        # What is told after it does not tell it again.
        server.run("first")
        until(lambda: ended(server, "second", 2))
        assert len(server.executions("second")) == 2


def test_the_dead_mans_switch_of_the_docs_says_when_nothing_has_succeeded(
    server: Served, receiver: Receiver, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs/howto/notify-on-failure.md").read_text()
    text = page.split("```yaml\n")[2].split("```")[0]
    text = text.replace("127.0.0.1:8686", f"127.0.0.1:{server.port}")
    document = tmp_path / "watch.yaml"
    document.write_text(text)
    env = {**os.environ, "JOBRUNNER_HOME": str(server.home)}
    done = jobrunner("apply", "-f", str(document), env=env)
    assert done.returncode == 0, done.stderr
    server.create("nightly", "true")
    uri = {"httpEndpoint": {"uri": f"{receiver.url}/watch"}}
    after(server, "watch-nightly", "failed", uri)
    first = server.run("watch-nightly")
    assert server.ended("watch-nightly", first)["failedCount"] == 1
    # At each half hour its schedule starts it, too.
    until(lambda: receiver.done["/watch"] >= 1)
    server.ended("nightly", server.run("nightly"))
    second = server.run("watch-nightly")
    assert server.ended("watch-nightly", second)["succeededCount"] == 1
