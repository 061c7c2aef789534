"""Containers that schedules start on a virtual clock: the clock stands while they really run."""

from pathlib import Path

import pytest

from tests.support.components import require
from tests.support.fixtures import BUSYBOX_IMAGE
from tests.support.served import served

START = "2030-01-01T00:00:00Z"
SCRIPT = "sleep 0.3; exit $((CLOUD_RUN_TASK_ATTEMPT == 0))"
JOB = "https://us-central1-run.googleapis.com/v2/projects/local/locations/us-central1/jobs/nightly"


@pytest.mark.usefixtures("busybox_image")
def test_the_clock_stands_while_a_container_that_a_schedule_has_started_runs(home: Path) -> None:
    require("docker")
    with served(home, "--clock", "virtual", "--from", START, "--backend", "docker") as server:
        server.create("nightly", SCRIPT, image=BUSYBOX_IMAGE, maxRetries=1)
        schedule = {
            "name": "projects/local/locations/us-central1/jobs/nightly",
            "schedule": "0 3 * * *",
            "httpTarget": {"uri": f"{JOB}:run", "httpMethod": "POST"},
        }
        server.call("POST", "/v1/projects/local/locations/us-central1/jobs", schedule)
        body = {"until": "2030-01-04T00:00:00Z"}
        moved = server.call("POST", "/jobrunner/v1/clock:advance", body, timeout=60.0)
        assert moved["now"] == "2030-01-04T00:00:00.000000Z"
        runs = server.executions("nightly")
        assert [run.get("succeededCount") for run in runs] == [1, 1, 1]
        assert [run["retriedCount"] for run in runs] == [1, 1, 1]
        for day, run in zip((3, 2, 1), runs, strict=True):
            assert run["createTime"].startswith(f"2030-01-0{day}T03:00:0"), run
            assert run["completionTime"].startswith(f"2030-01-0{day}T03:00"), run
