"""What a turn asks of all executions together is kept by change."""

from __future__ import annotations

from jobrunner.executor.driver import Driver
from jobrunner.executor.limits import Limits
from jobrunner.executor.roster import Roster
from tests.support.simulation import NOW, execution_of, snapshot_of


def a_driver(uid: str, tasks: int = 3, *, memory: int = 0, deadline: float | None = None) -> Driver:
    execution = execution_of(tasks, uid=uid)
    return Driver(snapshot_of(execution, deadline=deadline), order=0.0, memory=memory)


def start(roster: Roster, driver: Driver, count: int) -> None:
    draft = driver.take_facts(NOW)
    driver.plan_turn(draft, NOW, count)
    roster.count(driver, NOW)
    roster.set_alarm(driver)


def test_free_slots_are_what_live_attempts_of_all_executions_leave() -> None:
    roster = Roster(Limits(slots=5))
    one, two = a_driver("one"), a_driver("two")
    roster.add(one, NOW)
    roster.add(two, NOW)
    assert sum(roster.admit().values()) == 5
    start(roster, one, 3)
    assert roster.live == 3
    assert roster.admit() == {"two": 2}
    roster.remove("one")
    assert roster.live == 0
    assert roster.admit() == {"two": 3}


def test_memory_of_live_attempts_is_reserved_and_given_back() -> None:
    roster = Roster(Limits(slots=64, memory=100))
    big, small = a_driver("big", 2, memory=80), a_driver("small", 1, memory=40)
    roster.add(big, NOW)
    start(roster, big, 1)
    roster.add(small, NOW)
    assert roster.admit() == {}
    roster.remove("big")
    assert roster.admit() == {"small": 1}


def test_the_earliest_instant_is_known_and_given_out_once() -> None:
    roster = Roster(Limits())
    roster.add(a_driver("late", deadline=NOW + 90), NOW)
    roster.add(a_driver("soon", deadline=NOW + 10), NOW)
    assert roster.next_alarm() == NOW + 10
    assert roster.take_due(NOW + 5) == []
    assert roster.take_due(NOW + 10) == ["soon"]
    assert roster.next_alarm() == NOW + 90
    roster.remove("late")
    assert roster.next_alarm() is None


def test_a_clock_that_is_set_moves_every_instant() -> None:
    roster = Roster(Limits())
    roster.add(a_driver("one", deadline=NOW + 10), NOW)
    roster.shift(-3_600.0)
    assert roster.next_alarm() == NOW + 10 - 3_600.0
