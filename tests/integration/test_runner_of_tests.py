"""jobrunner.testing as its users have it: a runner in a home of its own, and what a test asks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobrunner.errors import InvalidSpec, NotFound, RunnerFault
from jobrunner.testing import NotSettled, Runner, start
from tests.support.waiting import PATIENCE

ZERO = "2030-01-01T00:00:00Z"


def job(name: str, script: str = "exit 0", tasks: int = 1, **env: str) -> dict[str, object]:
    variables = {"JOBRUNNER_SCRIPT": script, **env}
    container = {
        "command": ["sh", "-c", script],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
    }
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "spec": {
                    "taskCount": tasks,
                    "template": {"spec": {"containers": [container], "maxRetries": 1}},
                }
            }
        },
    }


def schedule(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "jobrunner.dev/v1",
        "kind": "Schedule",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def shared() -> Iterator[Runner]:
    with start(begin=ZERO) as runner:
        yield runner


def test_a_runner_is_there_within_a_second_and_leaves_nothing() -> None:
    began = time.monotonic()
    with start() as runner:
        took = time.monotonic() - began
        assert runner.home.is_dir()
        pid = runner._process.pid
    assert not runner.home.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    # Half a second on an idle machine; this one may be busy.
    assert took < 20


def test_a_night_goes_by_in_a_test(shared: Runner) -> None:
    sink = shared.sink([503, 200])
    said = shared.apply(
        schedule(
            "nightly",
            schedule="0 3 * * *",
            timeZone="Etc/UTC",
            httpTarget={"uri": f"{sink.url}/nightly", "httpMethod": "POST"},
            retryConfig={"retryCount": 3},
        )
    )
    assert said == ["Schedule 'nightly' created."]
    before = shared.now()
    shared.advance("1d")
    assert shared.now() - before == timedelta(days=1)
    [delivery] = shared.expect_deliveries(1, name="nightly", state="DELIVERED")
    assert [one.status for one in delivery.tries] == [503, 200]
    assert delivery.created is not None
    assert delivery.created.hour == 3
    assert [one.path for one in sink.requests] == ["/nightly", "/nightly"]
    assert [one.status for one in sink.requests] == [503, 200]


def test_scripted_attempts_take_virtual_time(shared: Runner) -> None:
    shared.apply(job("slow", "exit 1 after 3m; exit 0 after 8m"))
    execution = shared.run("slow", env={"DAY": "monday"})
    assert execution.state == "RUNNING"
    assert execution.env["DAY"] == "monday"
    shared.advance("2h")
    ended = shared.execution(execution.name)
    assert ended.state == "SUCCEEDED"
    assert [one.exit_code for one in ended.attempts] == [1, 0]
    assert ended.completed is not None
    assert execution.created is not None
    assert ended.completed - execution.created >= timedelta(minutes=11)
    assert shared.expect_executions(1, job="slow", state="SUCCEEDED") == [ended]


def test_tasks_and_args_are_overridden(shared: Runner) -> None:
    shared.apply(job("many"))
    found = shared.run("many", tasks=3, args=["--fast"])
    assert (found.tasks, found.succeeded, found.args) == (3, 3, ("--fast",))


def test_the_clock_goes_to_a_time(shared: Runner) -> None:
    later = shared.now() + timedelta(days=2)
    shared.advance(until=later)
    assert shared.now() == later
    with pytest.raises(TypeError):
        shared.advance()
    with pytest.raises(ValueError, match="no zone"):
        shared.advance(until=datetime(2040, 1, 1))  # noqa: DTZ001
    assert shared.now().tzinfo is UTC


def test_an_expectation_that_fails_shows_what_there_is(shared: Runner) -> None:
    shared.apply(job("broken", "exit 3"))
    shared.run("broken")
    with pytest.raises(AssertionError) as caught:
        shared.expect_executions(2, job="broken", state="SUCCEEDED")
    text = str(caught.value)
    assert "expected 2 executions with job='broken' state='SUCCEEDED', found 0" in text
    assert "attempts: 0.0 exit 3, 0.1 exit 3" in text
    with pytest.raises(AssertionError, match="expected at least 1 deliveries"):
        shared.expect_deliveries(name="nobody")


def test_what_the_server_refuses_is_raised(shared: Runner) -> None:
    with pytest.raises(NotFound, match="nobody"):
        shared.run("nobody")
    with pytest.raises(InvalidSpec, match="cron"):
        shared.apply(schedule("odd", schedule="not cron", httpTarget={"uri": "http://x/"}))


def test_an_event_reaches_a_service_by_its_name(shared: Runner) -> None:
    sink = shared.sink()
    shared.apply(
        {"apiVersion": "jobrunner.dev/v1", "kind": "Services", "spec": {"orders": sink.url}},
        {
            "apiVersion": "jobrunner.dev/v1",
            "kind": "EventTrigger",
            "metadata": {"name": "placed"},
            "spec": {
                "eventFilters": [{"attribute": "type", "value": "shop.order.placed"}],
                "destination": {"cloudRun": {"service": "orders"}},
            },
        },
    )
    number = shared.send_event("shop.order.placed", {"total": 12}, subject="orders/7")
    [request] = sink.requests
    assert request.headers["ce-id"] == number
    assert request.headers["ce-subject"] == "orders/7"
    assert request.json() == {"total": 12}
    shared.expect_deliveries(1, name="placed", state="DELIVERED")


def test_a_call_that_hangs_is_named(shared: Runner) -> None:
    import threading

    called, gate = threading.Event(), threading.Event()

    def wait(request: object) -> int:
        called.set()
        gate.wait(PATIENCE)
        return 200

    sink = shared.sink(wait)
    body = {"http": {"url": sink.url, "method": "POST"}}
    shared.call("POST", "/jobrunner/v1/deliveries", body=body)
    try:
        assert called.wait(PATIENCE)
        with pytest.raises(NotSettled, match="on its way to"):
            shared.settle(patience=0.3)
    finally:
        gate.set()
    shared.settle()


def test_processes_run_for_real_and_end_with_the_runner(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with start(backend="process", clock="real") as runner:
        runner.apply(job("hello", "echo hello from $CLOUD_RUN_JOB"))
        done = runner.run("hello")
        assert done.state == "SUCCEEDED"
        assert runner.logs(done) == "hello from hello\n"
        runner.apply(job("long", f"echo $$ > {mark}; exec sleep 600"))
        runner.run("long", wait=False)
        until = time.monotonic() + PATIENCE
        while not (mark.exists() and mark.read_text().strip()):
            assert time.monotonic() < until
            time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(RunnerFault, match="--wrong"), start(options=["--wrong"]):
        pass


def test_settings_of_the_caller_do_not_reach_the_runner(
    monkeypatch: pytest.MonkeyPatch, jobrunner_start: Callable[..., Runner]
) -> None:
    monkeypatch.setenv("JOBRUNNER_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("JOBRUNNER_DATABASE_URL", "postgresql://nowhere/x")
    monkeypatch.setenv("JOBRUNNER_PROJECT", "other")
    runner = jobrunner_start()
    assert runner.apply(job("here")) == ["Job 'here' created."]
    assert runner.run("here").state == "SUCCEEDED"


@pytest.mark.jobrunner(begin="2031-05-05T00:00:00Z")
def test_the_marker_tells_the_fixture_how_to_start(jobrunner_runner: Runner) -> None:
    assert jobrunner_runner.now() == datetime(2031, 5, 5, tzinfo=UTC)


def test_the_plugin_costs_a_session_that_does_not_use_it_nothing() -> None:
    probe = (
        "import sys; import pytest; before = set(sys.modules); import jobrunner.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['jobrunner', 'jobrunner.pytest_plugin']"
