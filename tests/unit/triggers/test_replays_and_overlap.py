"""A replay of what a schedule has sent asks the overlap rule of the schedule."""

import pytest

from jobrunner.errors import Refused
from tests.support.schedules import WHERE, World
from triggers.core.records import JobTarget, Origin, Overlap
from triggers.core.states import DeliveryState as D
from triggers.core.states import OccurrenceState as O
from triggers.service.deliveries import Deliveries
from triggers.service.replaying import Replays

JOB = JobTarget("report")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def does(world: World) -> Deliveries:
    replays = Replays(world.service.firing, world.store)
    return Deliveries(world.deliveries, replays, world.clock, world.ids, WHERE)


def letters(world: World, overlap: Overlap | None, count: int = 1) -> list[str]:
    """Uids of dead letters of a schedule; after them its next occurrence is open."""
    world.create(target=JOB, overlap=overlap)
    for _ in range(count):
        world.minutes(1)
        world.end(world.rows()[-1], D.DEAD)
    world.minutes(1)
    assert world.states()[-1] is O.OPEN
    return [one.uid for one in world.sent()[:count]]


def replays(world: World) -> list[str | None]:
    """Parents of what was opened as a replay."""
    return [one.parent for one in world.sent() if one.parent is not None]


def test_a_replay_is_refused_while_overlap_is_forbidden(world: World, does: Deliveries) -> None:
    [letter] = letters(world, Overlap.FORBID)
    with pytest.raises(Refused, match=r"was not replayed: .* forbid: 1 open .* limit 1"):
        does.replay({"uid": letter})
    assert replays(world) == []
    world.end(world.rows()[-1])
    assert len(does.replay({"uid": letter})["replayed"]) == 1
    assert replays(world) == [letter]


def test_of_many_letters_no_more_are_replayed_than_the_limit(
    world: World, does: Deliveries
) -> None:
    first, second = letters(world, Overlap.FORBID, 2)
    world.end(world.rows()[-1])
    plan = does.replay({"state": "dead", "dryRun": True})
    done = does.replay({"state": "dead"})
    for answer in (plan, done):
        assert [one["parent"] for one in answer["replayed"]] == [first]
        assert [one["uid"] for one in answer["refused"]] == [second]
        assert answer["replayedBefore"] == 0
    assert replays(world) == [first]


def test_a_queued_replay_waits_for_what_is_open_and_counts_when_it_has_started(
    world: World, does: Deliveries
) -> None:
    [letter] = letters(world, Overlap.QUEUE_ALL)
    answer = does.replay({"uid": letter})
    assert (answer["replayed"], [one["parent"] for one in answer["waiting"]]) == ([], [letter])
    assert replays(world) == []
    open_one = next(row for row in world.rows() if row.state is O.OPEN)
    world.end(open_one)
    world.settle()
    assert replays(world) == [letter]
    [replayed] = [row for row in world.rows() if row.origin is Origin.REPLAY]
    assert replayed.state is O.OPEN
    world.minutes(1)
    assert world.rows()[-1].state is O.WAITING
    world.end(replayed)
    world.settle()
    assert world.rows()[-1].state is O.OPEN


def test_a_letter_whose_replay_waits_is_not_replayed_again(world: World, does: Deliveries) -> None:
    [letter] = letters(world, Overlap.QUEUE_ALL)
    does.replay({"uid": letter})
    world.clock.advance(1)
    with pytest.raises(Refused, match="waits already"):
        does.replay({"uid": letter})
    assert does.replay({"state": "dead"})["replayedBefore"] == 1


def test_a_replay_that_replaces_ends_what_is_open(world: World, does: Deliveries) -> None:
    [letter] = letters(world, Overlap.REPLACE)
    running = world.sent()[-1].uid
    does.replay({"uid": letter})
    assert world.deliveries.get(running).state is D.CANCELLED
    world.settle()
    assert replays(world) == [letter]


def test_a_waiting_replay_whose_letter_was_purged_is_left_out(
    world: World, does: Deliveries
) -> None:
    [letter] = letters(world, Overlap.QUEUE_ONE)
    does.replay({"uid": letter})
    world.clock.advance(1)
    does.purge({"state": "dead"})
    world.end(next(row for row in world.rows() if row.state is O.OPEN))
    world.settle()
    [row] = [row for row in world.rows() if row.origin is Origin.REPLAY]
    assert (row.state, "was removed" in row.reason) == (O.SKIPPED, True)


@pytest.mark.parametrize("overlap", [None, Overlap.ALLOW])
def test_a_schedule_without_a_rule_replays_at_once(
    world: World, does: Deliveries, overlap: Overlap | None
) -> None:
    [letter] = letters(world, overlap)
    assert len(does.replay({"uid": letter})["replayed"]) == 1


def test_a_replay_beside_a_limit_counts_once(world: World, does: Deliveries) -> None:
    world.create(target=JOB, overlap=Overlap.FORBID, overlap_limit=2)
    world.minutes(1)
    world.end(world.rows()[-1], D.DEAD)
    does.replay({"uid": world.sent()[0].uid})
    world.minutes(1)
    assert world.rows()[-1].state is O.OPEN
    world.minutes(1)
    assert world.rows()[-1].state is O.SKIPPED


def test_a_retry_that_is_to_come_counts(world: World, does: Deliveries) -> None:
    """A call that failed and is tried again later keeps its occurrence open."""
    world.create(target=JOB, overlap=Overlap.FORBID)
    world.minutes(1)
    assert world.sent()[0].state is D.PENDING
    world.minutes(1)
    assert world.states() == [O.OPEN, O.SKIPPED]
