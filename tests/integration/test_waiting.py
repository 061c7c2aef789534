"""Waiting for an execution that somebody else drives, or nobody."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.app import App
from jobrunner.core.records import Execution, Scope
from jobrunner.errors import Interrupted, Refused
from jobrunner.service.executions import AdHoc
from jobrunner.settings import from_environment


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with App.open(from_environment(os.environ)) as app:
        yield app


def opened(app: App) -> Execution:
    return app.service.executions.run_ad_hoc(Scope(), AdHoc(("true",)))


def test_an_execution_that_was_opened_this_moment_is_not_called_interrupted(app: App) -> None:
    with pytest.raises(Refused) as refused:
        app.wait(opened(app), timeout=0.5)
    assert not isinstance(refused.value, Interrupted)


def test_an_execution_that_nobody_takes_up_is_interrupted(app: App) -> None:
    with pytest.raises(Interrupted):
        app.wait(opened(app), timeout=20.0)


def test_an_execution_whose_runner_died_is_interrupted_at_once(app: App) -> None:
    execution = opened(app)
    dead = app.owner.replace(f"pid {os.getpid()} ", "pid 4194305 ")
    app.store.claim(execution.uid, dead, now=time.time(), ttl=15.0)
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        app.wait(execution, timeout=20.0)
    assert time.monotonic() - begun < 10
