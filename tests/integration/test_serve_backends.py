"""Engines and supervisors come and go under a server that stays."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.engines import private_engine
from tests.support.faults import supervisors
from tests.support.fixtures import BUSYBOX_IMAGE
from tests.support.served import served
from tests.support.waiting import until


def test_a_supervisor_that_was_killed_is_replaced(home: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with served(home, "--backend", "process") as server:
        server.create("long", f"touch {begun}; sleep 60")
        server.create("short", "exit 0")
        long = server.run("long")
        # What a supervisor had not started when it died is not lost: the next one starts it.
        until(begun.exists)
        (supervisor,) = supervisors(home)
        os.kill(supervisor, signal.SIGKILL)
        lost = server.ended("long", long)
        assert lost["failedCount"] == 1
        ended = server.ended("short", server.run("short"))
        assert ended["succeededCount"] == 1


@pytest.mark.timeout(240)
def test_an_engine_that_comes_goes_and_comes_back_is_picked_up(home: Path) -> None:
    with private_engine("--live-restore") as engine:
        engine.stop()
        with served(home, env={"DOCKER_HOST": engine.url}) as server:
            server.create("boxed", "echo begin; sleep 30; exit 7", image=BUSYBOX_IMAGE)
            name = server.run("boxed")
            until(lambda: f"{name} cannot be driven now" in server.said())
            engine.start()
            until(lambda: server.execution("boxed", name).get("runningCount") == 1)
            time.sleep(1)
            engine.kill()
            until(lambda: "engine is away" in server.said())
            engine.start()
            until(lambda: "engine is back" in server.said())
            seen = server.ended("boxed", name, patience=90)
            assert seen["failedCount"] == 1
            path = f"/v2/projects/local/locations/us-central1/jobs/boxed/executions/{name}/tasks"
            (task,) = server.call("GET", path)["tasks"]
            assert task["lastAttemptResult"]["exitCode"] == 7
