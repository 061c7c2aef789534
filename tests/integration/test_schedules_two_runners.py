"""Several runners fire the same schedules at the same moment: each occurrence is opened once."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from jobrunner.lib.clock import FakeClock
from tests.support.schedules import START, World
from triggers.core.records import Overlap
from triggers.core.states import OccurrenceState

RUNNERS, SCHEDULES, MINUTES = 3, 12, 5


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres_url"))
    return f"sqlite:///{tmp_path}/state.db"


def test_each_occurrence_and_its_delivery_are_opened_once(url: str) -> None:
    clock = FakeClock(START)
    worlds = [World(url, clock=clock) for _ in range(RUNNERS)]
    for number, world in enumerate(worlds):
        # Ids are counted; those of two runners must not be the same.
        world.ids._uid = number * 1_000_000
    first = worlds[0]
    policies = [Overlap.ALLOW, Overlap.QUEUE_ONE, Overlap.FORBID]
    for number in range(SCHEDULES):
        first.create(f"s{number}", overlap=policies[number % 3])
    broken: list[BaseException] = []
    gate = threading.Barrier(RUNNERS)

    def drive(world: World) -> None:
        try:
            for _ in range(MINUTES):
                soon = clock.now() + 60
                world.service.together.prepare(world.store.due(soon), soon)
                gate.wait(60)
                if world is first:
                    clock.advance(60)
                gate.wait(60)
                world.fire()
                world.settle()
        except BaseException as error:
            broken.append(error)
            gate.abort()

    threads = [threading.Thread(target=drive, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not broken
    for number in range(SCHEDULES):
        rows = first.rows(f"s{number}")
        assert [row.key.nominal for row in rows] == [
            START + 60 * (minute + 1) for minute in range(MINUTES)
        ]
        states = Counter(row.state for row in rows)
        allowed = policies[number % 3] is Overlap.ALLOW
        assert states[OccurrenceState.OPEN] == (MINUTES if allowed else 1)
    opened = sum(
        row.state is OccurrenceState.OPEN
        for number in range(SCHEDULES)
        for row in first.rows(f"s{number}")
    )
    assert len(first.sent()) == opened
    for world in worlds:
        world.jobs.close()
