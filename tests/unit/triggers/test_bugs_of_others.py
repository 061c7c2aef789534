"""What went wrong for the users of other schedulers and queues must not go wrong here.

Each test states our rule, and names the report of the behaviour that it guards against. Where they
had fires every 15 seconds there are minutes here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobrunner.core.retry import RetryAction, RetryCause, RetryPolicy, RetryRule
from jobrunner.core.states import AttemptState, ExecutionState, TaskState
from jobrunner.errors import Refused
from tests.support.deliveries import a_delivery
from tests.support.dispatching import Bench, run_end
from tests.support.schedules import START, WHERE, World
from tests.support.simulation import simulate
from tests.support.stores import a_job
from triggers.core.explain import explain
from triggers.core.occurrences import timing_of
from triggers.core.records import (
    Ack,
    Gap,
    HttpTarget,
    JobTarget,
    Origin,
    Overlap,
    Repeat,
    Ruling,
    ScheduleRetry,
)
from triggers.core.states import DeliveryState as D
from triggers.core.states import OccurrenceState as O
from triggers.core.verdict import Answer, Break, Broken
from triggers.service.deliveries import Deliveries
from triggers.service.replaying import Replays

JOB = JobTarget("report")
BERLIN = "Europe/Berlin"
HOUR = 3600.0
ONCE = {"http": {"url": "http://sink.example.com/"}, "retry": {"retryCount": 0}}
QUEUES = [Overlap.FORBID, Overlap.QUEUE_ONE, Overlap.QUEUE_ALL]


@pytest.fixture
def world() -> World:
    return with_job(World())


def with_job(world: World) -> World:
    world.jobs.create_job(a_job("report"))
    return world


@pytest.fixture
def restarted(tmp_path: Path) -> Callable[[World | None], World]:
    """A runner on a database that outlives it; given the one before it, the next."""

    def begin(before: World | None = None) -> World:
        url = f"sqlite:///{tmp_path}/state.db"
        if before is None:
            return with_job(World(url))
        before.jobs.close()
        after = World(url, clock=before.clock)
        after.ids._uid = before.ids._uid + 1_000_000
        return after

    return begin


def live(world: World) -> int:
    """Runs of the job that go on, whoever started them."""
    found = world.jobs.list_executions(WHERE, job="report")
    return sum(one.completed_at is None for one in found)


def begin_runs(world: World) -> None:
    """What a dispatcher does with everything that is open and was not sent yet."""
    for row in world.rows():
        if row.state is O.OPEN and world.deliveries.get(row.delivery or "").execution is None:
            world.start_run(row)


# ---------------------------------------------------------------- overlap


def test_a_run_that_goes_on_across_a_restart_forbids_the_next_until_it_has_ended(
    restarted: Callable[..., World],
) -> None:
    """dkron#349: after a restart in the middle of a run the job never ran again."""
    world = restarted()
    world.create(target=JOB, overlap=Overlap.FORBID)
    world.minutes(1)
    run = world.start_run(world.rows()[0])
    world = restarted(world)
    world.minutes(1)
    assert world.states() == [O.OPEN, O.SKIPPED]
    world.end_run(run)
    world.minutes(1)
    assert world.states() == [O.CLOSED, O.SKIPPED, O.OPEN]


def test_a_run_that_outlives_its_runner_is_not_joined_by_another(
    restarted: Callable[..., World],
) -> None:
    """dkron#1569: the scheduler died while the run went on elsewhere, and a second one began."""
    first = restarted()
    first.create(target=JOB, overlap=Overlap.FORBID)
    first.minutes(1)
    first.start_run(first.rows()[0])
    second = restarted(first)
    for _ in range(10):
        second.minutes(1)
        second.settle()
    assert second.states() == [O.OPEN, *[O.SKIPPED] * 10]
    assert len(second.sent()) == live(second) == 1


@pytest.mark.parametrize("policy", QUEUES)
def test_a_run_that_lasts_eight_periods_never_has_company(world: World, policy: Overlap) -> None:
    """dkron#452: a run longer than its period was joined by the next."""
    world.create(target=JOB, overlap=policy)
    for minute in range(40):
        world.minutes(1)
        world.settle()
        begin_runs(world)
        assert live(world) == 1
        if minute % 8 == 7:
            world.end_runs()
    opened = [row for row in world.rows() if row.delivery is not None]
    assert len(opened) == 5


def test_as_many_queued_runs_start_as_have_ended(world: World) -> None:
    """kestra#13211, #13743: of two running and more queued one was killed, and two started."""
    world.create(target=JOB, overlap=Overlap.QUEUE_ALL, overlap_limit=2)
    for _ in range(6):
        world.minutes(1)
        begin_runs(world)
    assert world.states() == [O.OPEN] * 2 + [O.WAITING] * 4
    killed, _ = [row for row in world.rows() if row.state is O.OPEN]
    world.end_run(world.run_of(killed), ExecutionState.CANCELLED)
    world.settle()
    begin_runs(world)
    assert live(world) == 2
    assert world.states().count(O.WAITING) == 3
    world.end_runs()
    world.settle()
    world.settle()
    assert world.states() == [O.CLOSED] * 3 + [O.OPEN] * 2 + [O.WAITING]


def test_who_is_started_again_while_the_limit_is_reached_waits_like_any_other(
    world: World,
) -> None:
    """kestra#7880: a failed run that was restarted went past the limit."""
    world.create(target=JOB, overlap=Overlap.QUEUE_ALL)
    world.minutes(1)
    world.end_run(world.start_run(world.rows()[0]), ExecutionState.FAILED)
    world.minutes(1)
    running = world.start_run(world.rows()[1])
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    again = world.rows()[-1]
    assert (again.origin, again.state) == (Origin.MANUAL, O.WAITING)
    world.end_run(running)
    world.settle()
    assert world.rows()[-1].state is O.OPEN


async def test_a_call_that_was_withdrawn_while_it_waited_for_its_retry_stays_withdrawn(
    world: World,
) -> None:
    """kestra#11574: a queued run that was killed came back by its retries."""
    retry = ScheduleRetry(retry_count=5, min_backoff=10.0)
    world.create(retry=retry, expression="0 0 1 1 *")
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    bench = dispatching(world)
    [row] = world.rows()
    bench.sender.answers[str(row.key)] = [Answer(500)] * 6
    await bench.turns()
    waiting = world.sent()[0]
    assert (waiting.state, waiting.attempts) == (D.PENDING, 1)
    use_cases(world).withdraw(waiting.uid, "me")
    for _ in range(20):
        world.clock.advance(HOUR)
        await bench.turns()
        world.settle()
    assert len(bench.sender.calls) == 1
    assert world.sent()[0].state is D.CANCELLED
    assert world.states() == [O.CLOSED]


def test_what_waits_when_a_schedule_is_paused_does_not_start_when_there_is_room(
    world: World,
) -> None:
    """kestra#11574, for what is queued and was not opened yet."""
    world.create(target=JOB, overlap=Overlap.QUEUE_ALL)
    world.minutes(1)
    run = world.start_run(world.rows()[0])
    world.minutes(1)
    world.commit(lambda: world.service.pause(WHERE, "nightly"))
    world.commit(lambda: world.service.resume(WHERE, "nightly"))
    world.end_run(run)
    world.settle()
    assert world.states() == [O.CLOSED, O.SKIPPED]


def test_what_may_not_overlap_is_left_out_at_once_and_never_started_late(world: World) -> None:
    """prefect#16984, #21060: what was to be cancelled was parked, and shown as late."""
    world.create(target=JOB, overlap=Overlap.FORBID)
    world.minutes(1)
    run = world.start_run(world.rows()[0])
    world.minutes(1)
    left_out = world.rows()[1]
    assert (left_out.state, left_out.settled_at) == (O.SKIPPED, world.clock.now())
    assert "overlap forbid" in left_out.reason
    world.end_run(run)
    world.settle()
    world.settle()
    assert world.rows()[1] == left_out
    assert len(world.sent()) == 1


def test_two_hundred_that_wait_behind_one_run_hold_up_no_other_schedule(world: World) -> None:
    """prefect#19403: one group that was full kept all others from starting."""
    world.create("crowded", target=JOB, overlap=Overlap.QUEUE_ALL)
    for _ in range(201):
        world.minutes(1)
    assert world.states("crowded").count(O.WAITING) == 200
    world.create("other", overlap=Overlap.FORBID)
    world.minutes(1)
    assert world.states("other") == [O.OPEN]


async def test_two_hundred_calls_to_one_target_hold_up_no_other_target() -> None:
    """prefect#19403, for calls."""
    bench = Bench(per_target=4, in_flight=16)
    crowded = HttpTarget("http://crowded.example.com/")
    for number in range(200):
        bench.store.open(a_delivery(f"c{number:03}", target=crowded, source_name="crowded"))
    for number in range(3):
        bench.store.open(a_delivery(f"o{number}", source_name=f"other{number}"))
    await bench.turns(count=1)
    called = [key for key, _ in bench.sender.calls]
    assert {"o0", "o1", "o2"} <= set(called)
    assert sum(key.startswith("c") for key in called) == 4


def test_a_run_by_hand_counts_when_the_clock_fires(world: World) -> None:
    """sdk-typescript#1594: the one that was started by hand was not counted."""
    world.create(target=JOB, overlap=Overlap.FORBID)
    world.commit(lambda: world.service.run(WHERE, "nightly"))
    run = world.start_run(world.rows()[0])
    world.minutes(1)
    assert world.states() == [O.OPEN, O.SKIPPED]
    world.end_run(run)
    world.minutes(1)
    assert world.states() == [O.CLOSED, O.SKIPPED, O.OPEN]


@pytest.mark.parametrize("begun", [False, True])
def test_what_has_not_begun_to_run_counts_like_what_runs(world: World, begun: bool) -> None:
    """keda#7329: pending ones were not counted, and more and more were made."""
    world.create(target=JOB, overlap=Overlap.FORBID, overlap_limit=3)
    for _ in range(10):
        world.minutes(1)
        if begun:
            for row in world.rows():
                if row.state is O.OPEN and world.deliveries.get(row.delivery or "").settled_at:
                    continue
                if row.state is O.OPEN:
                    world.start_run(row, ExecutionState.PENDING)
    assert world.states() == [O.OPEN] * 3 + [O.SKIPPED] * 7


# ---------------------------------------------------------------- missed runs


def test_a_restart_within_the_firing_second_is_one_run_and_none_missed(
    restarted: Callable[..., World],
) -> None:
    """argo-workflows#12625: a run was thought missed, and made twice."""
    world = restarted()
    world.create(target=JOB)
    for _ in range(3):
        world.minutes(1)
        world = restarted(world)
        for _ in range(3):
            world.clock.advance(0.3)
            world.fire()
        world.clock.advance(-0.9)
    assert world.states() == [O.OPEN] * 3
    assert {row.origin for row in world.rows()} == {Origin.DUE}


def test_after_hours_of_downtime_the_latest_runs_once_and_the_rest_is_listed(
    restarted: Callable[..., World],
) -> None:
    """Cronicle#263 ran all of them, Foundatio#317 none."""
    world = restarted()
    world.create(target=JOB, expression="0 * * * *")
    world.clock.advance(7 * HOUR + 600)
    world = restarted(world)
    world.fire()
    rows = world.rows()
    assert [row.state for row in rows] == [O.MISSED] * 6 + [O.OPEN]
    assert rows[-1].origin is Origin.CATCH_UP
    assert all("a later one stands in for it" in row.reason for row in rows[:-1])
    world = restarted(world)
    world.fire()
    assert len(world.rows()) == 7
    assert len(world.sent()) == 1


async def test_a_late_run_that_times_out_and_has_no_retries_has_one_attempt(world: World) -> None:
    """Cronicle#369: what was caught up was tried again and again."""
    world.create(expression="0 * * * *", retry=ScheduleRetry(retry_count=0))
    world.clock.advance(3 * HOUR)
    world.fire()
    late = world.rows()[-1]
    assert late.origin is Origin.CATCH_UP
    bench = dispatching(world)
    bench.sender.answers[str(late.key)] = [Broken(Break.DEADLINE, "no complete answer")] * 3
    for _ in range(5):
        await bench.turns()
        world.settle()
        world.clock.advance(60)
    [delivery] = world.sent()
    assert (delivery.state, delivery.attempts) == (D.DEAD, 1)
    assert len(bench.sender.calls) == 1


def test_a_backfill_keeps_the_overlap_policy_that_it_is_given(world: World) -> None:
    """cadence#8005: the policy that was given with a backfill was left aside."""
    world.create(target=JOB, overlap=Overlap.FORBID, expression="0 * * * *")
    begin = START - 4 * HOUR

    def states(id: str, overlap: Overlap | None) -> list[O]:
        world.commit(
            lambda: world.service.backfill(WHERE, "nightly", id, begin, START, overlap=overlap)
        )
        return [row.state for row in world.rows() if row.key.backfill == id]

    assert states("its-own", None) == [O.OPEN, O.SKIPPED, O.SKIPPED, O.SKIPPED]
    assert states("queued", Overlap.QUEUE_ALL) == [O.WAITING] * 4
    assert states("at-once", Overlap.ALLOW) == [O.OPEN] * 4


async def test_after_a_restart_nothing_that_failed_long_ago_runs_again(
    restarted: Callable[..., World],
) -> None:
    """nomad#3714: a restart ran old failures again."""
    world = restarted()
    world.create("calls", expression="30 * * * *")
    world.create(target=JOB, expression="0 * * * *")
    world.minutes(30)
    bench = dispatching(world)
    bench.sender.answers[str(world.rows("calls")[0].key)] = [Answer(500)]
    await bench.turns()
    world.minutes(30)
    world.end_run(world.start_run(world.rows()[0]), ExecutionState.FAILED)
    world.settle()
    before = {one.uid: one.state for one in world.sent()}
    assert set(before.values()) == {D.DEAD, D.DELIVERED}
    world.clock.advance(600)
    world = restarted(world)
    bench = dispatching(world)
    for _ in range(3):
        world.fire()
        world.settle()
        await bench.turns()
        world.clock.advance(60)
    assert {one.uid: one.state for one in world.sent()} == before
    assert bench.sender.calls == []
    assert live(world) == 0


# ---------------------------------------------------------------- clocks that are set


def nominals(world: World, zone: str) -> list[str]:
    found = [datetime.fromtimestamp(row.key.nominal, ZoneInfo(zone)) for row in world.rows()]
    return [one.isoformat(timespec="minutes") for one in found]


def world_at(text: str) -> World:
    world = with_job(World())
    at = datetime.fromisoformat(text).timestamp()
    world.clock.advance(at - world.clock.now())
    return world


@pytest.mark.parametrize(
    ("repeat", "expected"),
    [
        (Repeat.FIRST, ["2026-10-25T02:00+02:00"]),
        (Repeat.BOTH, ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]),
    ],
)
def test_two_o_clock_runs_once_or_twice_when_clocks_go_back_as_chosen(
    repeat: Repeat, expected: list[str]
) -> None:
    """kubernetes#121594: 02:00 in Berlin ran twice, and nobody could choose."""
    world = world_at("2026-10-24T23:30:00+02:00")
    world.create(target=JOB, expression="0 2 * * *", time_zone=BERLIN, repeat=repeat)
    for _ in range(8 * 60):
        world.minutes(1)
    assert nominals(world, BERLIN) == expected


@pytest.mark.parametrize(
    ("gap", "expected", "words"),
    [
        (Gap.RUN, ["2026-03-29T03:00+02:00"], "run"),
        (Gap.SKIP, [], "skip"),
    ],
)
def test_half_past_two_of_the_spring_day_runs_or_not_as_chosen_and_the_preview_says_so(
    gap: Gap, expected: list[str], words: str
) -> None:
    """rundeck#6879: 02:30 on the spring day was lost, and the preview showed it."""
    world = world_at("2026-03-29T00:00:00+01:00")
    start = world.clock.now()
    schedule = world.create(target=JOB, expression="30 2 * * *", time_zone=BERLIN, gap=gap).schedule
    [told] = explain(schedule, timing_of(schedule), start, start + 6 * HOUR)
    assert told.runs is (gap is Gap.RUN)
    assert f"gap: {words}" in told.reasons[0]
    for _ in range(6 * 60):
        world.minutes(1)
    ran = [one for one in world.rows() if one.state is O.OPEN]
    assert [
        datetime.fromtimestamp(one.key.nominal, ZoneInfo(BERLIN)).isoformat(timespec="minutes")
        for one in ran
    ] == expected


def test_every_minute_goes_on_through_the_hour_that_comes_twice() -> None:
    """cron-plus#108: runs stopped for an hour in autumn."""
    world = world_at("2026-10-25T01:30:00+02:00")
    start = int(world.clock.now())
    world.create(target=JOB, time_zone=BERLIN)
    for _ in range(180):
        world.minutes(1)
    found = [row.key.nominal for row in world.rows()]
    assert found == list(range(start + 60, start + 180 * 60 + 1, 60))
    assert datetime.fromtimestamp(start, UTC).minute == 30


# ---------------------------------------------------------------- retries


def test_without_retries_a_task_whose_machine_is_gone_was_started_once_and_is_lost() -> None:
    """nomad#4979: a job that was never to be tried again was."""
    sim = simulate(1, policy=RetryPolicy(max_retries=0))
    sim.launch_all()
    sim.vanished(sim.running[0])
    for _ in range(5):
        sim.now += HOUR
        sim.turn()
    assert sim.opened[0] == 1
    [task] = sim.snapshot.tasks.values()
    assert (task.state, task.reason) == (TaskState.FAILED, "Lost")
    assert sim.snapshot.execution.state is ExecutionState.FAILED
    [last] = [m.attempt for turn in sim.turns for m in turn.moved if m.attempt.ended_at]
    assert last.state is AttemptState.LOST


def test_a_run_whose_retries_are_used_up_ends_as_failed() -> None:
    """nomad#2540: it was shown as running for ever."""
    sim = simulate(1, policy=RetryPolicy(max_retries=2))
    for _ in range(3):
        sim.launch_all()
        sim.exited(sim.running[0], 1)
    assert sim.snapshot.execution.state is ExecutionState.FAILED
    assert sim.snapshot.execution.completed_at is not None
    assert (sim.opened[0], sim.running, sim.launching) == (3, [], [])


async def test_a_delivery_whose_retries_are_used_up_is_a_dead_letter() -> None:
    """nomad#2540, for calls and for runs that are followed."""
    bench = Bench()
    retry = ScheduleRetry(retry_count=1, min_backoff=1.0)
    bench.store.open(a_delivery("call", retry=retry))
    bench.store.open(a_delivery("run", retry=retry, target=replace(JOB, ack=Ack.ON_SUCCESS)))
    bench.sender.answers["call"] = [Answer(503)] * 5
    bench.sender.answers["run"] = [run_end(f"e{n}", ExecutionState.FAILED) for n in range(5)]
    for _ in range(5):
        await bench.turns()
        bench.clock.advance(10)
    found = {key: bench.store.get(f"uid-of-s-{key}") for key in ("call", "run")}
    assert {key: (one.state, one.attempts) for key, one in found.items()} == {
        "call": (D.DEAD, 2),
        "run": (D.DEAD, 2),
    }


async def test_a_call_that_lasts_longer_than_any_lease_is_made_once_while_its_caller_lives() -> (
    None
):
    """celery#5935: what took longer than the visibility timeout was given to a second worker."""
    bench = Bench(lease=15.0, beat=5.0)
    other = bench.another("other")
    one = bench.store.open(a_delivery())
    await bench.turns()
    for _ in range(120):
        bench.clock.advance(5)
        await bench.turns(count=1)
        await bench.turns(other, count=1)
    assert bench.sender.calls == [("1", 1)]
    bench.sender.finish(one.uid)
    await asyncio.sleep(0)
    await bench.turns()
    assert bench.store.get(one.uid).state is D.DELIVERED


def test_a_timeout_and_a_rule_about_exit_codes_both_decide() -> None:
    """nick-fields/retry#145: with a timeout set the exit codes were not looked at."""
    rules = (
        RetryRule(RetryAction.RETRY, on=RetryCause.TIMEOUT),
        RetryRule(RetryAction.FAIL_TASK, codes=((42, 42),)),
    )
    for codes, opened in (([1, 42, 1], 2), ([None, None, 42, 1], 3)):
        sim = simulate(1, policy=RetryPolicy(max_retries=5, rules=rules), timeout=10)
        for code in codes:
            if sim.snapshot.settled:
                break
            sim.launch_all()
            if code is None:
                sim.now += 11
                sim.turn()
            sim.exited(sim.running[0], 143 if code is None else code)
        assert sim.opened[0] == opened


async def test_a_deadline_and_a_refusal_use_up_one_budget() -> None:
    """nick-fields/retry#145, for calls: one kind of failure must not hide the other."""
    bench = Bench()
    one = bench.store.open(a_delivery(retry=ScheduleRetry(retry_count=3, min_backoff=1.0)))
    slow = Broken(Break.DEADLINE, "no complete answer")
    bench.sender.answers["1"] = [slow, Answer(500), slow, Answer(429), Answer(200)]
    for _ in range(6):
        await bench.turns()
        bench.clock.advance(60)
    found = bench.store.get(one.uid)
    assert (found.state, found.attempts) == (D.DEAD, 4)
    log = bench.store.attempts(one.uid)
    assert [attempt.status for attempt in log] == [None, 500, None, 429]
    assert {attempt.ruling for attempt in log} == {Ruling.RETRY}


# ---------------------------------------------------------------- keys and replays


async def test_a_key_that_was_used_is_answered_with_what_became_of_it_and_sends_nothing(
    world: World,
) -> None:
    """trigger.dev#4819: one rule for the key of what failed, alone and among others. Only a replay
    or another key sends it again."""
    does, bench = use_cases(world), dispatching(world)
    bodies = [{"key": f"k{n}", **ONCE} for n in range(3)]
    first = [does.send(body) for body in bodies]
    bench.sender.answers = {"k0": [Answer(500)], "k1": [Answer(200)], "k2": [Answer(500)]}
    await bench.turns()
    again = [does.send(body) for body in bodies]
    assert [one["uid"] for one in again] == [one["uid"] for one in first]
    assert [one["state"] for one in again] == ["DEAD", "DELIVERED", "DEAD"]
    await bench.turns()
    assert len(bench.sender.calls) == 3


async def test_the_same_letters_replayed_twice_are_sent_once(world: World) -> None:
    """trigger.dev PR#4098: the second replay of a set sent everything again."""
    does, bench = use_cases(world), dispatching(world)
    for number in range(5):
        does.send({"key": f"k{number}", **ONCE})
        bench.sender.answers[f"k{number}"] = [Answer(500)]
    await bench.turns()
    done = [does.replay({"rate": "1000/s"}) for _ in range(2)]
    assert [len(one["replayed"]) for one in done] == [5, 0]
    assert done[1]["replayedBefore"] == 5
    world.clock.advance(60)
    await bench.turns()
    assert len(bench.sender.calls) == 10
    for one in world.sent():
        if one.parent is None:
            with pytest.raises(Refused, match="replayed already"):
                does.replay({"uid": one.uid})


def test_what_a_replay_has_started_counts_until_it_has_ended(world: World) -> None:
    """sdk-typescript#1594 and kestra#7880, for replays: whatever started it, a run counts."""

    def by_clock() -> list[O]:
        return [row.state for row in world.rows() if row.key.backfill is None]

    world.create(target=JOB, overlap=Overlap.FORBID)
    world.minutes(1)
    world.end(world.rows()[0], D.DEAD)
    use_cases(world).replay({"uid": world.sent()[0].uid})
    [replay] = [one for one in world.sent() if one.parent is not None]
    world.minutes(1)
    assert by_clock() == [O.CLOSED, O.SKIPPED]
    run = world.start(replay)
    world.minutes(1)
    assert by_clock() == [O.CLOSED, O.SKIPPED, O.SKIPPED]
    world.end_run(run)
    world.minutes(1)
    assert by_clock()[-1] is O.OPEN


# ---------------------------------------------------------------- helpers


def dispatching(world: World) -> Bench:
    """A dispatcher on the deliveries of a world, by its clock."""
    bench = Bench(world.deliveries)
    bench.clock = bench.sender.clock = world.clock
    bench.dispatcher = bench.another("runner")
    return bench


def use_cases(world: World) -> Deliveries:
    replays = Replays(world.service.firing, world.store)
    return Deliveries(world.deliveries, replays, world.clock, world.ids, WHERE)
