"""What every store of queues promises, and the gates by which claims keep to their rates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest

from jobrunner.errors import AlreadyExists, NotFound, StoreFault, UsageError
from jobrunner.lib.database import Database, connect
from jobrunner.ports import Page
from tests.support.deliveries import NOW, a_delivery, moved
from tests.support.queues import HERE, SLOW, URL, QueueBench, a_queue, short
from triggers.core.queues import (
    NAME_WINDOW,
    Enforce,
    HttpOverride,
    QueueState,
    UriOverride,
)
from triggers.core.rates import RateLimits
from triggers.core.records import (
    Ack,
    Break,
    DeliveryAttempt,
    HttpTarget,
    JobTarget,
    OidcToken,
    QueueRetry,
    SourceKind,
)
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.ports import DeliveryFilter, Pace
from triggers.service.purges import Purges
from triggers.store import open_queues

T = TypeVar("T")

OVERRIDE = HttpOverride(
    uri=UriOverride("https", "h.example.com", 8443, "/p", "a=b", Enforce.IF_NOT_EXISTS),
    method="PUT",
    headers=(("A", "ü"),),
    token=OidcToken("me@example.com", "aud"),
)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def bench(database: Database) -> QueueBench:
    return QueueBench(database)


# ---------------------------------------------------------------- queues


def test_a_queue_is_read_as_it_was_stored(bench: QueueBench) -> None:
    queue = bench.create(
        limits=RateLimits(7.5, 20, 3),
        retry=QueueRetry(max_attempts=-1, max_doublings=2),
        http=OVERRIDE,
        sampling=0.5,
    )
    assert bench.queues.get(HERE, "mail") == queue
    assert bench.queues.listing("local") == [queue]
    changed = bench.queues.update(HERE, "mail", lambda old: replace(old, http=None, sampling=0.1))
    assert bench.queues.get(HERE, "mail") == changed
    assert (changed.http, changed.resource_version, changed.retry) == (None, 2, queue.retry)


def test_a_name_is_taken_once_and_free_again_when_its_queue_is_deleted(bench: QueueBench) -> None:
    first = bench.create()
    with pytest.raises(AlreadyExists):
        bench.create()
    bench.add("mail", "a", "b")
    bench.queues.delete(HERE, "mail")
    with pytest.raises(NotFound, match="Queue does not exist"):
        bench.queues.get(HERE, "mail")
    with pytest.raises(NotFound, match="Requested entity was not found"):
        bench.queues.delete(HERE, "mail")
    assert bench.store.count(DeliveryFilter()) == {State.CANCELLED: 2}
    assert bench.create().uid != first.uid
    bench.add("mail", "a")
    assert bench.claim() == ["a"], "the old queue's names are not those of the new one"


def test_queues_are_listed_by_name_in_pages(bench: QueueBench) -> None:
    for name in ("c", "a", "b"):
        bench.create(name)
    bench.queues.create(replace(a_queue("z"), project="other"))
    pages = [bench.queues.listing("local", page=Page(limit=2))]
    pages.append(bench.queues.listing("local", page=Page(2, "local/us-central1/b")))
    assert [[one.name for one in page] for page in pages] == [["a", "b"], ["c"]]
    assert [one.name for one in bench.queues.listing(None, "us-central1")] == ["a", "b", "c", "z"]
    with pytest.raises(UsageError):
        bench.queues.listing("local", page=Page(2, "x"))


def test_what_is_not_there_cannot_be_taken_or_written(bench: QueueBench) -> None:
    store = open_queues(bench.database)
    with pytest.raises(NotFound):
        store.take("nobody")
    with pytest.raises(NotFound):
        store.put(replace(a_queue(), uid="nobody"))


# ---------------------------------------------------------------- tasks


def test_tasks_are_listed_in_pages_while_they_are_there(bench: QueueBench) -> None:
    bench.create()
    bench.create("other")
    bench.add("other", "x")
    bench.add("mail", "a", "b", "c", "d")
    assert bench.queues.depth(bench.queues.get(HERE, "mail")) == 4
    bench.queues.delete_task(HERE, "mail", "b")
    names = [one.name for one in bench.queues.list_tasks(HERE, "mail", page=Page(limit=2))]
    assert names == ["a", "c"]
    rest = bench.queues.list_tasks(HERE, "mail", page=Page(2, "b"))
    assert [one.name for one in rest] == ["c", "d"], "one that has gone still says where to go on"
    with pytest.raises(UsageError):
        bench.queues.list_tasks(HERE, "mail", page=Page(2, "nobody"))


def test_the_name_of_a_task_is_free_a_day_after_its_end(bench: QueueBench) -> None:
    bench.create()
    bench.add("mail", "a")
    with pytest.raises(AlreadyExists, match="Requested entity already exists"):
        bench.add("mail", "a")
    (one,) = bench.claims().taken
    bench.end(one, Event.ACCEPTED)
    bench.clock.advance(NAME_WINDOW - 1)
    with pytest.raises(AlreadyExists, match="existed too recently"):
        bench.add("mail", "a")
    with pytest.raises(NotFound, match="no longer exists, though a task with this name existed"):
        bench.queues.get_task(HERE, "mail", "a")
    bench.clock.advance(1)
    with pytest.raises(NotFound, match="Requested entity was not found"):
        bench.queues.get_task(HERE, "mail", "a")
    bench.add("mail", "a")
    assert bench.claim() == ["a"]
    assert len(bench.store.listing(DeliveryFilter())) == 2


# ---------------------------------------------------------------- the gate


def test_a_queue_gives_its_burst_and_then_no_more_than_its_rate(bench: QueueBench) -> None:
    bench.create(limits=RateLimits(per_second=5, burst=3))
    bench.add("mail", count=20)
    assert len(bench.claim()) == 3
    next_at = bench.claims().next_at
    assert next_at is not None
    assert next_at == pytest.approx(NOW + 0.2)
    bench.clock.advance(0.19)
    assert bench.claim() == []
    bench.clock.advance(0.01)
    assert len(bench.claim()) == 1
    bench.clock.advance(0.5)
    assert len(bench.claim()) == 2


def test_a_rate_is_held_by_waking_only_when_there_is_a_token(bench: QueueBench) -> None:
    bench.create(limits=SLOW)
    bench.add("mail", count=12)
    instants: list[float] = []
    looks = 0
    while len(instants) < 12:
        looks += 1
        claims = bench.claims()
        instants += [bench.clock.now()] * len(claims.taken)
        for one in claims.taken:
            bench.end(one, Event.ACCEPTED, Pace.FASTER)
        after = bench.claims().next_at
        if after is not None:
            bench.clock.advance(after - bench.clock.now())
    assert instants == pytest.approx([NOW + 0.2 * number for number in range(12)], abs=1e-3)
    assert looks <= 13, "it did not have to be asked in vain"


def test_no_more_are_under_way_than_may_be_and_a_followed_run_is_under_way(
    bench: QueueBench,
) -> None:
    bench.create(limits=RateLimits(concurrent=2))
    bench.add("mail", "a", "b", "c", target=JobTarget("job", ack=Ack.ON_SUCCESS))
    first, second = bench.claims().taken
    assert bench.claims().next_at is None, "an attempt has to end first"
    bench.end(first, Event.FOLLOWING, execution="e", attempts=0)
    bench.clock.advance(100)
    assert bench.claim() == []
    bench.end(second, Event.ACCEPTED, Pace.FASTER)
    assert bench.claim() == ["c"]


def test_a_paused_queue_takes_tasks_and_sends_none(bench: QueueBench) -> None:
    bench.create()
    assert bench.queues.pause(HERE, "mail").state is QueueState.PAUSED
    bench.add("mail", "a", "b")
    claims = bench.claims()
    assert (claims.taken, claims.next_at) == ([], None)
    bench.queues.resume(HERE, "mail")
    assert bench.claim() == ["a", "b"]


def test_a_task_is_run_past_a_pause_and_a_rate_once(bench: QueueBench) -> None:
    bench.create(limits=RateLimits(per_second=0, burst=1))
    bench.add("mail", "first")
    assert bench.claim() == ["first"]
    bench.add("mail", "a", "b", schedule_time=NOW + 3600)
    bench.queues.pause(HERE, "mail")
    bench.clock.advance(10)
    forced = bench.queues.run_task(HERE, "mail", "a")
    assert forced.schedule_time == NOW + 10
    (one,) = bench.claims().taken
    assert short(one) == "a"
    assert bench.queues.run_task(HERE, "mail", "a").delivery.state is State.SENDING
    assert bench.claim() == [], "what is being sent is not sent twice"
    bench.end(one, Event.RETRYABLE, not_before=NOW + 20)
    bench.clock.advance(3600)
    assert bench.claim() == [], "its next attempt goes through the gate again"
    bench.queues.resume(HERE, "mail")
    bench.queues.update(HERE, "mail", lambda old: replace(old, limits=RateLimits()))
    bench.clock.advance(1)
    assert sorted(bench.claim()) == ["a", "b"]


def test_the_unknown_end_of_a_task_that_was_run_by_hand_leaves_it_past_the_gate(
    bench: QueueBench,
) -> None:
    bench.create()
    bench.queues.pause(HERE, "mail")
    bench.add("mail", "a")
    bench.queues.run_task(HERE, "mail", "a")
    (one,) = bench.claims().taken
    assert bench.store.record([moved(one, Event.LEASE_EXPIRED)]) == [True]
    assert bench.claim() == ["a"]


def test_a_purge_takes_what_was_there_and_nothing_that_comes_after(bench: QueueBench) -> None:
    bench.create()
    bench.add("mail", "a", "b", schedule_time=NOW + 60)
    bench.add("mail", "c")
    assert bench.claim() == ["c"]
    queue = bench.queues.purge(HERE, "mail")
    assert queue.purged_at == NOW
    bench.add("mail", "d")
    assert bench.queues.purge_some(queue.uid, 2)
    assert not bench.queues.purge_some(queue.uid, 2)
    assert [task.name for task in bench.queues.list_tasks(HERE, "mail")] == ["d"]
    assert bench.claim() == ["d"]


async def test_a_purge_that_was_cut_off_is_ended_by_whoever_starts_next(bench: QueueBench) -> None:
    bench.create()
    bench.create("other")
    bench.add("mail", count=25)
    bench.add("other", count=3)
    portions = []

    async def commit(work: Callable[[], T]) -> T:
        if len(portions) == 2:
            raise StoreFault("killed")
        portions.append(bench.queues.depth(bench.queues.get(HERE, "mail")))
        return work()

    with pytest.raises(StoreFault):
        await Purges(bench.queues, commit, lambda: None, at_once=10).purge(HERE, "mail")
    bench.queues.update(HERE, "mail", lambda old: replace(old, retry=QueueRetry(5)))
    bench.add("mail", "later")
    assert bench.queues.depth(bench.queues.get(HERE, "mail")) == 16
    portions.clear()

    async def committed(work: Callable[[], T]) -> T:
        done = work()
        portions.append(bench.queues.depth(bench.queues.get(HERE, "mail")))
        return done

    await Purges(bench.queues, committed, lambda: None, at_once=10).round()
    assert portions == [6, 1]
    assert [task.name for task in bench.queues.list_tasks(HERE, "mail")] == ["later"]
    assert bench.queues.unpurged() == []
    assert bench.queues.depth(bench.queues.get(HERE, "other")) == 3


async def test_a_queue_with_many_tasks_is_deleted_in_portions(bench: QueueBench) -> None:
    queue = bench.create()
    bench.add("mail", count=25)
    depths = []

    async def commit(work: Callable[[], T]) -> T:
        before = bench.queues.depth(queue)
        done = work()
        depths.append(before - bench.queues.depth(queue))
        return done

    await Purges(bench.queues, commit, lambda: None, at_once=10).delete(HERE, "mail")
    assert depths == [0, 10, 10, 5, 0]
    with pytest.raises(NotFound):
        bench.queues.get(HERE, "mail")


def test_an_answer_slows_the_whole_queue_down_and_answers_bring_its_speed_back(
    bench: QueueBench,
) -> None:
    bench.create(limits=RateLimits(per_second=10, burst=10))
    bench.add("mail", count=60)
    tired, *rest = bench.claims().taken
    for one in rest:
        bench.end(one, Event.ACCEPTED, Pace.FASTER)
    bench.end(tired, Event.RETRYABLE, Pace.SLOWER, not_before=NOW + 3600)
    bench.clock.advance(1)
    went = bench.claims().taken
    assert len(went) == 5, "half of the rate"
    for one in went * 1:
        bench.end(one, Event.ACCEPTED, Pace.FASTER)
    bench.clock.advance(1)
    assert len(bench.claims().taken) == 8, "a tenth faster with each answer"
    bench.clock.advance(100)
    assert len(bench.claims().taken) == 10, "never more than its burst at once"


def test_queues_and_other_sources_share_a_runner_in_turns(bench: QueueBench) -> None:
    for name in ("a", "b"):
        bench.create(name)
        bench.add(name, count=50)
    for number in range(50):
        bench.store.open(a_delivery(str(number)))
    taken = [one.source_name for one in bench.claims(9).taken]
    assert sorted(set(taken)) == ["a", "b", "s"]
    assert max(map(taken.count, taken)) == 3


def test_a_task_for_a_place_without_room_does_not_hold_up_the_others(bench: QueueBench) -> None:
    bench.create()
    bench.add("mail", count=150)
    bench.add("mail", "elsewhere", target=HttpTarget("http://other.example.com/"))
    full = {"per_place": 4, "busy": {"sink.example.com:80": 4}}
    bench.clock.advance(1)
    assert bench.claim(20, **full) == ["elsewhere"]
    claims = bench.claims(20, **full)
    assert (claims.taken, claims.next_at) == ([], None), "a place has to get room first"
    assert len(bench.claim(20, per_place=4)) == 4


def test_tasks_follow_the_retries_of_their_queue_unless_they_have_their_own(
    bench: QueueBench,
) -> None:
    bench.create("mail")
    bench.create("other")
    bench.add("mail", "a", "gone")
    bench.add("mail", "own", retry=QueueRetry(max_attempts=7))
    bench.add("other", "b")
    bench.queues.delete_task(HERE, "mail", "gone")
    new = QueueRetry(max_attempts=3)
    bench.queues.update(HERE, "mail", lambda old: replace(old, retry=new))
    tasks = [*bench.queues.list_tasks(HERE, "mail"), *bench.queues.list_tasks(HERE, "other")]
    found = {task.name: task.delivery.retry for task in tasks}
    assert found == {"a": new, "own": QueueRetry(max_attempts=7), "b": QueueRetry()}


def test_the_override_of_a_queue_comes_with_its_tasks(bench: QueueBench) -> None:
    bench.create(http=OVERRIDE)
    bench.create("plain")
    ours, forced = bench.add("mail", "a", "b")
    bench.add("plain", "c")
    bench.queues.pause(HERE, "mail")
    bench.queues.resume(HERE, "mail")
    bench.queues.run_task(HERE, "mail", "b")
    assert bench.claims().overrides == {
        ours.delivery.uid: OVERRIDE,
        forced.delivery.uid: OVERRIDE,
    }


def test_the_replay_of_a_dead_task_goes_through_the_gate_and_is_found_by_its_name(
    bench: QueueBench,
) -> None:
    bench.create(limits=SLOW)
    bench.add("mail", "a")
    (one,) = bench.claims().taken
    bench.end(one, Event.EXHAUSTED)
    again = replace(
        one,
        uid="again",
        key=one.key.replace("/a", "/again"),
        state=State.PENDING,
        lease_owner=None,
        lease_until=None,
        parent=one.uid,
    )
    bench.store.open(again)
    assert bench.claim() == [], "there is no token yet"
    assert bench.queues.get_task(HERE, "mail", "again").delivery.uid == "again"
    bench.queues.delete(HERE, "mail")
    bench.store.open(replace(again, uid="more", key="x/more", parent="of nobody"))
    assert bench.claim() == ["more"], "without its queue nothing holds it"


def test_a_page_of_tasks_is_read_by_two_statements_however_many_were_tried(
    bench: QueueBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.add("mail", count=30)
    for number, broken in enumerate([None, Break.RESET, None], 1):
        bench.clock.advance(10)
        for one in bench.claims().taken:
            at = bench.clock.now()
            attempt = DeliveryAttempt(one.uid, number, at, ended_at=at, broken=broken)
            move = moved(one, Event.RETRYABLE, not_before=0.0)
            assert bench.store.record([replace(move, attempt=attempt)]) == [True]
    bench.add("mail", "fresh")
    reads = []
    read = bench.database.read
    monkeypatch.setattr(bench.database, "read", lambda work: (reads.append(work), read(work))[1])
    found = bench.queues.list_tasks(HERE, "mail")
    assert len(reads) == 3, "the queue, its tasks, and what was tried"
    assert len(found) == 31
    for task in found[:-1]:
        known = bench.store.attempts(task.delivery.uid)
        assert len(known) == 3
        assert (task.first, task.last) == (known[0], known[-1])
        assert task.responses == 2
    assert (found[-1].first, found[-1].last, found[-1].responses) == (None, None, 0)


def test_the_targets_of_queues_are_kept_apart_by_source(bench: QueueBench) -> None:
    bench.create()
    bench.store.open(a_delivery("1", source_name="mail"))
    bench.add("mail", "1", target=HttpTarget(URL))
    kinds = {one.source for one in bench.claims().taken}
    assert kinds == {SourceKind.SCHEDULE, SourceKind.QUEUE}
