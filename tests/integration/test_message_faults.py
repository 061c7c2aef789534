"""A server is killed while messages and events come in: what it acknowledged is kept, once, and
each run is opened once.

Crash points and seeded random moments; the full campaign is ``make faults``, its result stands in
docs/explain/recovery.md.
"""

import random

import pytest

from tests.support.message_faults import EACH, MessagePlan, at_point, run_message_round
from triggers.service.crashpoints import INTAKE_POINTS

DICE = random.Random(51)
MOMENTS = [round(DICE.uniform(0.05, 1.0), 3) for _ in range(3)]
COUNT = 300
"""Messages of a round; the full campaign has a thousand."""


def kept(plan: MessagePlan) -> None:
    report = run_message_round(plan)
    assert report.problems == []
    assert report.killed


@pytest.mark.parametrize("point", [*INTAKE_POINTS, "delivery-after-send"])
def test_what_is_acknowledged_before_a_crash_point_is_kept_and_opened_once(point: str) -> None:
    kept(at_point(point, 40 if point in EACH else 3, COUNT))


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_acknowledged_before_any_moment_is_kept_and_opened_once(moment: float) -> None:
    kept(MessagePlan(after=moment, seed=int(moment * 1000), count=COUNT))
