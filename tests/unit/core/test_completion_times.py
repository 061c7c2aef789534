"""When a task and an execution were complete, whenever somebody looked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.retry import RetryPolicy
from tests.support.simulation import NOW, Simulation, simulate

HOUR = 3_600.0


def complete(sim: Simulation, index: int = 0) -> float:
    at = sim.snapshot.tasks[index].completed_at
    assert at is not None
    return at


def test_what_ended_while_nobody_looked_was_complete_when_it_ended() -> None:
    sim = simulate(2)
    sim.launch_all()
    sim.now += HOUR
    sim.exited(sim.running[0], ended_at=NOW + 5.0)
    sim.exited(sim.running[0], ended_at=NOW + 7.0)
    assert (complete(sim, 0), complete(sim, 1)) == (NOW + 5.0, NOW + 7.0)
    assert sim.snapshot.execution.completed_at == NOW + 7.0


def test_a_backend_that_does_not_know_when_it_ended_is_asked_no_further() -> None:
    sim = simulate(1)
    sim.launch_all()
    sim.now += HOUR
    sim.exited(sim.running[0])
    assert complete(sim) == sim.snapshot.execution.completed_at == NOW + HOUR


def test_a_task_that_vanished_was_complete_when_that_was_seen() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=0, lost_limit=0))
    sim.launch_all()
    sim.now += HOUR
    sim.vanished(sim.running[0])
    assert complete(sim) == NOW + HOUR


def test_an_execution_is_complete_when_the_last_of_its_tasks_is_given_up() -> None:
    sim = simulate(2, 1)
    sim.launch_all()
    sim.now += HOUR
    sim.abort()
    sim.exited(sim.running[0], None, signal=15, ended_at=NOW + HOUR - 1.0)
    assert complete(sim, 1) == sim.snapshot.execution.completed_at == NOW + HOUR


@pytest.mark.parametrize(
    ("ended", "told"), [(NOW - HOUR, NOW), (NOW + 9 * HOUR, NOW + HOUR)], ids=["early", "late"]
)
def test_a_clock_that_goes_wrong_or_is_another_counts_within_bounds(
    ended: float, told: float
) -> None:
    sim = simulate(1)
    sim.launch_all()
    sim.now += HOUR
    sim.exited(sim.running[0], ended_at=ended)
    assert complete(sim) == sim.snapshot.execution.completed_at == told


@given(st.lists(st.tuples(st.floats(0, 2 * HOUR), st.floats(-HOUR, HOUR)), min_size=1, max_size=6))
def test_nothing_is_complete_before_it_began_or_after_now(ends: list[tuple[float, float]]) -> None:
    sim = simulate(len(ends))
    sim.launch_all()
    for later, ago in ends:
        sim.now += later
        sim.exited(sim.running[0], ended_at=sim.now - ago)
    found = [complete(sim, index) for index in range(len(ends))]
    assert all(NOW <= at <= sim.now for at in found)
    assert sim.snapshot.execution.completed_at == max(found)
