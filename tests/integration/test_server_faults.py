"""kill -9 of a server under a mixed load: nothing acknowledged is lost, nothing is interrupted.

Every named crash point once and ten seeded random moments; the full campaign is ``make faults``,
its result stands in docs/explain/recovery.md.
"""

from __future__ import annotations

import random

import pytest

from jobrunner.executor.crashpoints import POINTS
from tests.support.components import require
from tests.support.server_faults import ServerPlan, run_server_round

DICE = random.Random(44)
MOMENTS = [round(DICE.uniform(0.2, 3.0), 3) for _ in range(10)]


def kept(plan: ServerPlan) -> None:
    report = run_server_round(plan)
    assert report.problems == []
    assert report.killed


@pytest.mark.parametrize("point", POINTS)
def test_a_server_killed_at_a_crash_point_costs_nothing(point: str) -> None:
    kept(ServerPlan(point=point, seed=3))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_killed_at_any_moment_costs_nothing(moment: float) -> None:
    kept(ServerPlan(after=moment, seed=int(moment * 1000)))


@pytest.mark.parametrize("moment", MOMENTS[:2])
def test_the_same_holds_with_containers(moment: float, busybox_image: str) -> None:
    require("docker")
    kept(ServerPlan(after=moment + 1.0, seed=7, image=busybox_image))


@pytest.mark.parametrize("moment", MOMENTS[:2])
def test_the_same_holds_on_postgresql(moment: float, fresh_postgres_url: str) -> None:
    kept(ServerPlan(after=moment, seed=9, database_url=fresh_postgres_url))
