"""A wall clock that is set must neither end an attempt early nor hold a retry back."""

from jobrunner.core.records import AttemptKey
from jobrunner.core.states import AttemptState
from jobrunner.executor.wallclock import Wallclock
from tests.support.simulation import NOW, simulate


class TwoClocks:
    wall = NOW
    steady = 100.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_time_that_passes_is_no_step() -> None:
    clock = TwoClocks()
    wallclock = Wallclock(clock)
    clock.pass_(3_600)
    assert wallclock.look() == (NOW + 3_600, 0.0)


def test_a_gentle_correction_is_no_step() -> None:
    clock = TwoClocks()
    wallclock = Wallclock(clock)
    clock.wall += 0.4
    assert wallclock.look()[1] == 0.0


def test_a_clock_that_is_set_is_told_once() -> None:
    clock = TwoClocks()
    wallclock = Wallclock(clock)
    clock.wall -= 7_200
    assert wallclock.look() == (NOW - 7_200, -7_200.0)
    assert wallclock.look() == (NOW - 7_200, 0.0)


def test_an_attempt_keeps_the_time_that_was_left_to_it() -> None:
    run = simulate(1, timeout=60.0)
    run.launch_all()
    run.now += 3_600.0 + 10.0
    run.snapshot.shift(3_600.0)
    run.turn()
    assert run.stopping == set()
    assert run.snapshot.wake_at() == NOW + 3_600.0 + 60.0
    run.now += 50.0
    run.turn()
    assert run.stopping == {AttemptKey("e-1", 0, 0)}
    assert run.snapshot.live[0].state is AttemptState.STOPPING
