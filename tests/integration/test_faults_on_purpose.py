"""``--faults``: what a user's tests can make go wrong, and that the seed alone decides."""

import subprocess
from pathlib import Path

import pytest

from jobrunner.testing import Runner, start
from tests.support.commands import PROGRAM
from tests.support.waiting import PATIENCE

BEGIN = "2030-01-01T00:00:00Z"


def hourly(runner: Runner, url: str) -> None:
    runner.apply(
        {
            "apiVersion": "jobrunner.dev/v1",
            "kind": "Schedule",
            "metadata": {"name": "hourly"},
            "spec": {
                "schedule": "0 * * * *",
                "timeZone": "Etc/UTC",
                "httpTarget": {"uri": url, "httpMethod": "POST"},
                "retryConfig": {"retryCount": 5},
            },
        }
    )


def hours(faults: str) -> tuple[list[list[object]], list[int]]:
    """What became of each delivery, try by try, and how often each hour was called."""
    with start(begin=BEGIN, faults=faults) as runner:
        sink = runner.sink()
        hourly(runner, sink.url)
        runner.advance("930m")
        runner.expect_deliveries(15, name="hourly", state="DELIVERED")
        tries: list[list[object]] = [
            [one.status or one.error for one in each.tries] for each in runner.deliveries()
        ]
        times = [one.headers["x-cloudscheduler-scheduletime"] for one in sink.requests]
        return tries, [times.count(time) for time in sorted(set(times))]


def test_a_schedule_with_faults_loses_nothing_and_goes_the_same_way_again() -> None:
    spec = "seed=4,5xx=0.2:502,drop=0.2,duplicate=0.2,reorder=0.1,delay=0.2:1ms"
    first, called = hours(spec)
    assert {one for tries in first for one in tries} == {
        200,
        502,
        "the request was dropped on purpose",
    }
    assert set(called) == {1, 2}
    assert (first, called) == hours(spec)


def test_attempts_are_killed_and_tried_again() -> None:
    job = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": "report"},
        "spec": {
            "template": {
                "spec": {
                    "taskCount": 20,
                    "template": {"spec": {"containers": [{"command": ["true"]}], "maxRetries": 9}},
                }
            }
        },
    }
    ways = []
    for _ in range(2):
        with start(begin=BEGIN, faults="seed=1,kill=0.4") as runner:
            runner.apply(job)
            runner.run("report")
            runner.advance("1h")
            [done] = runner.expect_executions(1, job="report", state="SUCCEEDED")
            ways.append([(one.task, one.number, one.signal) for one in done.attempts])
    assert any(signal == 9 for _, _, signal in ways[0])
    assert sorted(ways[0]) == sorted(ways[1])


def test_a_process_is_killed_for_real(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    script = f"test $CLOUD_RUN_TASK_ATTEMPT = 0 && sleep 600; touch {mark}"
    job = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": "report"},
        "spec": {
            "template": {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{"command": ["sh", "-c", script]}],
                            "maxRetries": 1,
                        }
                    }
                }
            }
        },
    }
    # With this seed the first attempt is killed, and the second one is not.
    with start(backend="process", clock="real", faults="seed=5,kill=0.5:50ms") as runner:
        runner.apply(job)
        done = runner.run("report")
    assert [one.signal for one in done.attempts] == [9, None]
    assert mark.exists()


@pytest.mark.parametrize("words", [["--faults", "drop=0.1"], []])
def test_faults_without_the_flag_are_refused(
    words: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    if not words:
        monkeypatch.setenv("JOBRUNNER_FAULTS", "drop=0.1")
    done = subprocess.run(
        [*PROGRAM, "serve", *words], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 4
    assert "--allow-faults" in done.stderr
