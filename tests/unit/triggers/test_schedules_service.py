"""Schedules over time: what is opened, held back, missed, paused and closed, and why."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobrunner.core.states import ExecutionState
from jobrunner.errors import AlreadyExists, InvalidSpec, NotFound, Refused
from tests.support.schedules import START, WHERE, World
from tests.support.stores import a_job, an_execution
from triggers.core.records import (
    CatchUp,
    HttpTarget,
    JobTarget,
    Origin,
    Overlap,
    OverlapScope,
    ScheduleState,
)
from triggers.core.states import DeliveryState as D
from triggers.core.states import OccurrenceState as O
from triggers.ports import Draft
from triggers.service.schedules_runs import End


@pytest.fixture
def world() -> World:
    return World()


def test_a_due_moment_opens_an_occurrence_and_its_delivery_together(world: World) -> None:
    armed = world.create()
    assert armed.next_at == START + 60
    world.fire()
    assert world.rows() == []
    world.minutes(1)
    [row] = world.rows()
    [delivery] = world.sent()
    assert (row.state, row.origin, row.delivery) == (O.OPEN, Origin.DUE, delivery.uid)
    assert row.key.nominal == START + 60
    assert (delivery.key, delivery.source_name) == (str(row.key), "nightly")
    assert delivery.queued_at == row.key.nominal
    assert delivery.payload is not None
    assert delivery.payload.headers == (("X-CloudScheduler-ScheduleTime", "2025-06-15T15:08:00Z"),)
    assert world.service.find(WHERE, "nightly").next_at == START + 120


def test_what_several_runners_fire_is_opened_once(world: World) -> None:
    uid = world.create().schedule.uid
    world.clock.advance(60)
    for _ in range(3):
        world.commit(lambda: world.service.firing.fire(uid, world.clock.now()))
    assert len(world.rows()) == len(world.sent()) == 1


def test_a_call_waits_for_the_one_before_it_and_one_waits_at_most(world: World) -> None:
    world.create()
    for _ in range(3):
        world.minutes(1)
    assert world.states() == [O.OPEN, O.WAITING, O.SKIPPED]
    assert "one waits already" in world.rows()[2].reason
    world.end(world.rows()[0])
    world.settle()
    assert world.states() == [O.CLOSED, O.OPEN, O.SKIPPED]
    assert len(world.sent()) == 2


def test_what_waits_for_a_run_that_ended_just_now_keeps_nobody_out(world: World) -> None:
    """The runner stood still, or the run ended in the second when the next one is due."""
    world.create()
    world.minutes(1)
    world.minutes(1)
    world.end(world.rows()[0])
    world.minutes(1)
    world.settle()
    assert world.states() == [O.CLOSED, O.OPEN, O.WAITING]


def test_a_job_may_run_beside_itself(world: World) -> None:
    world.create(target=JobTarget("report"))
    world.minutes(1)
    world.minutes(1)
    assert world.states() == [O.OPEN, O.OPEN]


def test_forbid_leaves_out_what_is_due_while_one_is_open(world: World) -> None:
    world.create(overlap=Overlap.FORBID)
    world.minutes(1)
    world.minutes(1)
    assert world.states() == [O.OPEN, O.SKIPPED]
    assert "overlap forbid" in world.rows()[1].reason


def test_what_ended_just_now_is_not_in_the_way(world: World) -> None:
    """Nobody has settled it yet when the next one is due."""
    world.create(overlap=Overlap.FORBID)
    world.minutes(1)
    world.end(world.rows()[0])
    world.minutes(1)
    assert world.states() == [O.CLOSED, O.OPEN]


def test_replace_cancels_what_is_open_and_starts_when_it_has_ended(world: World) -> None:
    world.create(overlap=Overlap.REPLACE)
    world.minutes(1)
    world.minutes(1)
    assert world.states() == [O.OPEN, O.WAITING]
    assert world.sent()[0].state is D.CANCELLED
    world.settle()
    assert world.states() == [O.CLOSED, O.OPEN]
    assert world.service.find(WHERE, "nightly").schedule.failures == 0


def test_queue_all_runs_them_one_after_the_other(world: World) -> None:
    world.create(overlap=Overlap.QUEUE_ALL)
    for _ in range(3):
        world.minutes(1)
    for done in range(3):
        world.end(world.rows()[done])
        world.settle()
    assert world.states() == [O.CLOSED] * 3
    assert len(world.sent()) == 3


def test_an_occurrence_of_a_job_is_open_until_its_run_has_ended(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    run = an_execution("report-1", job="report")
    world.jobs.create_execution(run)
    world.create(target=JobTarget("report"), overlap=Overlap.FORBID)
    world.minutes(1)
    world.end(world.rows()[0], run=run.uid)
    world.settle()
    world.minutes(1)
    assert world.states() == [O.OPEN, O.SKIPPED]


def test_the_scope_of_a_job_counts_runs_from_any_source(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    world.jobs.create_execution(an_execution("report-1", job="report"))
    world.create(target=JobTarget("report"), overlap=Overlap.FORBID, overlap_scope=OverlapScope.JOB)
    world.minutes(1)
    assert world.states() == [O.SKIPPED]
    assert "1 open of the job, from any source" in world.rows()[0].reason


def test_replace_asks_the_run_of_a_job_to_end(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    run = an_execution("report-1", job="report")
    world.jobs.create_execution(run)
    world.create(
        target=JobTarget("report"), overlap=Overlap.REPLACE, overlap_scope=OverlapScope.JOB
    )
    world.minutes(1)
    abort = world.jobs.get_execution_by_uid(run.uid).abort
    assert abort is not None
    assert "cancelled for" in abort.message
    assert world.states() == [O.WAITING]


@pytest.mark.parametrize(
    ("policy", "run_late"), [(CatchUp.LATEST, 0), (CatchUp.SKIP, 0), (CatchUp.ALL, 2)]
)
def test_after_downtime_each_missed_moment_is_a_row(
    world: World, policy: CatchUp, run_late: int
) -> None:
    world.create(overlap=Overlap.ALLOW, catch_up=policy, catch_up_limit=2)
    # The sixth moment is 30 s late, which is on time, and stands in for the latest.
    world.clock.advance(6 * 60 + 30)
    world.fire()
    assert world.states() == [O.MISSED] * (5 - run_late) + [O.OPEN] * (run_late + 1)
    world.fire()
    assert len(world.rows()) == 6


def test_the_latest_is_run_late_when_nothing_is_on_time(world: World) -> None:
    world.create(expression="0 * * * *")
    world.clock.advance(5 * 3600)
    world.fire()
    assert world.states() == [O.MISSED] * 4 + [O.OPEN]
    assert world.rows()[-1].origin is Origin.CATCH_UP


def test_a_clock_that_goes_back_repeats_nothing(world: World) -> None:
    world.create(overlap=Overlap.ALLOW)
    for _ in range(3):
        world.minutes(1)
    world.clock.advance(-150)
    world.fire()
    world.minutes(2)
    assert len(world.rows()) == 3
    world.minutes(2)
    assert len(world.rows()) == 4


def test_nothing_is_made_up_for_a_pause(world: World) -> None:
    world.create(overlap=Overlap.ALLOW)
    world.commit(lambda: world.service.pause(WHERE, "nightly"))
    assert world.service.find(WHERE, "nightly").next_at is None
    world.minutes(10)
    world.commit(lambda: world.service.resume(WHERE, "nightly"))
    world.fire()
    assert world.rows() == []
    world.minutes(1)
    assert world.states() == [O.OPEN]


def test_pausing_drops_what_waits(world: World) -> None:
    world.create()
    world.minutes(1)
    world.minutes(1)
    world.commit(lambda: world.service.pause(WHERE, "nightly"))
    assert world.states() == [O.OPEN, O.SKIPPED]
    with pytest.raises(Refused, match="is PAUSED"):
        world.commit(lambda: world.service.pause(WHERE, "nightly"))


def test_another_expression_makes_up_for_nothing(world: World) -> None:
    world.create(expression="0 0 1 1 *")
    world.clock.advance(86_400 * 400)
    change = lambda old: replace(old, expression="*/5 * * * *")  # noqa: E731
    armed = world.commit(lambda: world.service.update(WHERE, "nightly", change))
    assert armed.schedule.resource_version == 2
    world.fire()
    assert world.rows() == []


def test_failures_in_a_row_disable_it_and_resuming_forgets_them(world: World) -> None:
    world.create(pause_after=2, overlap=Overlap.FORBID)
    for _ in range(2):
        world.minutes(1)
        world.end(world.rows()[-1], D.DEAD)
        world.settle()
    armed = world.service.find(WHERE, "nightly")
    assert (armed.schedule.state, armed.next_at) == (ScheduleState.DISABLED, None)
    world.minutes(5)
    assert len(world.rows()) == 2
    world.commit(lambda: world.service.resume(WHERE, "nightly"))
    assert world.service.find(WHERE, "nightly").schedule.failures == 0


def test_a_failure_that_is_seen_when_the_next_is_due_stops_that_one(world: World) -> None:
    world.create(pause_after=1, overlap=Overlap.FORBID)
    world.minutes(1)
    world.end(world.rows()[0], D.DEAD)
    world.minutes(1)
    assert world.states() == [O.CLOSED, O.SKIPPED]
    assert world.service.find(WHERE, "nightly").next_at is None


def test_a_run_by_hand_starts_at_once_and_counts(world: World) -> None:
    world.create()
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    assert world.states() == [O.OPEN, O.OPEN]
    world.minutes(1)
    assert world.states() == [O.OPEN, O.OPEN, O.WAITING]


def test_a_run_by_hand_is_refused_where_overlap_is_forbidden(world: World) -> None:
    world.create(overlap=Overlap.FORBID)
    world.minutes(1)
    with pytest.raises(Refused, match="1 open of this schedule"):
        world.commit(lambda: world.service.run(WHERE, "nightly"))
    assert world.states() == [O.OPEN]


def test_deleting_withdraws_what_was_not_called_yet(world: World) -> None:
    world.create()
    world.minutes(1)
    world.commit(lambda: world.service.delete(WHERE, "nightly"))
    assert [one.state for one in world.sent()] == [D.CANCELLED]
    with pytest.raises(NotFound, match="'nightly' does not exist"):
        world.service.find(WHERE, "nightly")
    world.create()
    with pytest.raises(AlreadyExists):
        world.create()


def test_a_name_that_is_nearly_right_is_named(world: World) -> None:
    world.create()
    with pytest.raises(NotFound) as error:
        world.service.find(WHERE, "nihgtly")
    assert error.value.hint == "Did you mean 'nightly'?"


def test_bad_values_make_and_change_nothing(world: World) -> None:
    with pytest.raises(InvalidSpec):
        world.create(expression="* * * *")
    world.create()
    change = lambda old: replace(old, target=HttpTarget("ftp://x"))  # noqa: E731
    with pytest.raises(InvalidSpec):
        world.commit(lambda: world.service.update(WHERE, "nightly", change))
    assert world.service.find(WHERE, "nightly").schedule.resource_version == 1


def test_a_backfill_opens_each_moment_once_however_often_it_is_asked_for(world: World) -> None:
    world.create(overlap=Overlap.ALLOW, expression="0 * * * *")
    for _ in range(2):
        plan = world.commit(
            lambda: world.service.backfill(WHERE, "nightly", "b1", START - 3 * 3600, START)
        )
        assert len(plan.keys) == 3
    assert [row.origin for row in world.rows()] == [Origin.BACKFILL] * 3


def test_a_backfill_says_how_many_overlap_left_out(world: World) -> None:
    world.create(expression="0 * * * *")
    range_ = ("b1", START - 4 * 3600, START)
    world.commit(lambda: world.service.backfill(WHERE, "nightly", *range_))
    assert world.states() == [O.OPEN, O.WAITING, O.SKIPPED, O.SKIPPED]
    assert world.service.backfilled(WHERE, "nightly", *range_) == (4, 2)


def test_spread_delays_and_keeps_the_scheduled_instant(world: World) -> None:
    armed = world.create(spread=50, jitter=5.0)
    assert armed.next_at is not None
    assert START + 60 <= armed.next_at <= START + 115
    world.clock.advance(armed.next_at - START)
    world.fire()
    [row] = world.rows()
    assert (row.key.nominal, row.due_at) == (START + 60, armed.next_at)


def test_what_was_told_is_what_happened(world: World) -> None:
    schedule = world.create(overlap=Overlap.ALLOW).schedule
    for _ in range(5):
        world.minutes(1)
    compared = world.service.compared(schedule, START, world.clock.now())
    assert [str(row.match) for row in compared] == ["as told"] * 5


def test_a_pause_or_a_change_says_nothing_about_what_was_opened_before_it(world: World) -> None:
    world.create(overlap=Overlap.ALLOW)
    for _ in range(3):
        world.minutes(1)
    world.commit(lambda: world.service.pause(WHERE, "nightly"))
    world.clock.advance(120)
    paused = world.service.find(WHERE, "nightly").schedule
    compared = world.service.compared(paused, START, world.clock.now())
    assert [str(row.match) for row in compared] == ["as told"] * 5
    assert [row.happened is not None for row in compared] == [True] * 3 + [False] * 2
    world.commit(lambda: world.service.resume(WHERE, "nightly"))
    resumed = world.service.find(WHERE, "nightly").schedule
    compared = world.service.compared(resumed, START, world.clock.now())
    assert [str(row.match) for row in compared] == ["as told"] * 5


def test_what_overlap_left_out_is_not_called_otherwise(world: World) -> None:
    schedule = world.create(overlap=Overlap.FORBID).schedule
    for _ in range(2):
        world.minutes(1)
    compared = world.service.compared(schedule, START, world.clock.now())
    assert [str(row.match) for row in compared] == ["as told", "overlap"]


def test_history_says_how_each_run_has_ended(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    run = an_execution("report-1", job="report", state=ExecutionState.FAILED, completed_at=START)
    world.jobs.create_execution(run)
    schedule = world.create(target=JobTarget("report"), overlap=Overlap.ALLOW).schedule
    delivered = D.DELIVERED
    for state, uid in (
        (delivered, run.uid),
        (delivered, "gone"),
        (D.DEAD, None),
        (delivered, None),
    ):
        world.minutes(1)
        world.end(world.rows()[-1], state, uid)
        world.settle()
    world.minutes(1)
    ends = world.service.ends(schedule, world.rows())
    found = [ends.get(row.key) for row in world.rows()]
    assert found == [End.BADLY, None, End.BADLY, End.WELL, None]


def test_a_finished_run_of_a_job_that_failed_counts_as_a_failure(world: World) -> None:
    world.jobs.create_job(a_job("report"))
    run = an_execution("report-1", job="report", state=ExecutionState.FAILED, completed_at=START)
    world.jobs.create_execution(run)
    world.create(target=JobTarget("report"), pause_after=1)
    world.minutes(1)
    world.end(world.rows()[0], run=run.uid)
    world.settle()
    assert world.service.find(WHERE, "nightly").schedule.state is ScheduleState.DISABLED


def test_a_replay_counts_for_overlap(world: World) -> None:
    world.create(overlap=Overlap.FORBID)
    world.minutes(1)
    world.end(world.rows()[0], D.DEAD)
    letter = world.sent()[0]
    replay = replace(
        letter, uid="replay", key="replay", parent=letter.uid, state=D.PENDING, settled_at=None
    )
    world.deliveries.open(replay)
    world.minutes(1)
    assert world.states() == [O.CLOSED, O.SKIPPED]


def test_without_its_delivery_there_is_no_occurrence_and_it_is_opened_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    world.clock.advance(60)
    with monkeypatch.context() as patch:

        def crash(drafts: Sequence[Draft], now: float) -> None:
            raise RuntimeError("the power is gone")

        patch.setattr(world.deliveries, "open_all", crash)
        with pytest.raises(RuntimeError):
            world.fire()
    assert (world.rows(), world.sent()) == ([], [])
    world.fire()
    assert world.states() == [O.OPEN]
    assert len(world.sent()) == 1
