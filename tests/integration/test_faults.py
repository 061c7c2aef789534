"""kill -9 in mid-run: nothing is lost, doubled or left behind.

Every named crash point once and ten seeded random rounds of each kind; the full campaign is
``make faults``, its result stands in docs/explain/recovery.md.
"""

from __future__ import annotations

import random

import pytest

from jobrunner.executor.crashpoints import POINTS
from tests.support.components import require
from tests.support.faults import Plan, at_point, run_round

DICE = random.Random(20)
MOMENTS = [round(DICE.uniform(0.0, 1.0), 3) for _ in range(10)]
CONTAINERS = {"tasks": 12, "parallelism": 4}


def kept(plan: Plan) -> None:
    report = run_round(plan)
    assert report.problems == []


@pytest.mark.parametrize("point", POINTS)
def test_a_runner_killed_at_a_crash_point_costs_nothing(point: str) -> None:
    report = run_round(at_point(point))
    assert report.problems == []
    assert report.killed, f"the point {point} was never reached"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_runner_killed_at_any_moment_costs_nothing(moment: float) -> None:
    kept(Plan(after=moment))


@pytest.mark.parametrize("moment", MOMENTS)
def test_lost_attempts_are_tried_again_where_retries_are_allowed(moment: float) -> None:
    kept(Plan(after=moment, both=True, max_retries=3))


@pytest.mark.parametrize("moment", MOMENTS)
def test_without_retries_a_lost_task_is_never_started_again(moment: float) -> None:
    kept(Plan(after=moment, both=True))


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_the_same_holds_on_postgresql(moment: float, fresh_postgres_url: str) -> None:
    kept(Plan(after=moment, database_url=fresh_postgres_url))


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_a_runner_killed_while_containers_run_costs_nothing(
    moment: float, busybox_image: str
) -> None:
    require("docker")
    kept(Plan(after=moment, image=busybox_image, **CONTAINERS))
