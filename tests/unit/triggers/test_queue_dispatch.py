"""What the dispatcher does with the tasks of queues."""

from dataclasses import replace

import pytest

from jobrunner.core.records import Scope
from jobrunner.lib.database import connect
from jobrunner.lib.ids import CountedIds
from tests.support.deliveries import NOW
from tests.support.dispatching import Bench, breathe
from triggers.core.queues import Queue, Task, task_id
from triggers.core.rates import RateLimits
from triggers.core.records import HttpTarget, QueueRetry
from triggers.core.states import DeliveryState as State
from triggers.core.verdict import Answer, Break, Broken
from triggers.service.queues import Queues
from triggers.store import open_deliveries, open_queues

HERE = Scope("local", "us-central1")


class QueueBench(Bench):
    def __init__(self, **settings: object) -> None:
        database = connect("sqlite:///:memory:")
        super().__init__(open_deliveries(database), **settings)
        self.queues = Queues(open_queues(database), self.store, self.clock, CountedIds())

    def create(self, **fields: object) -> None:
        self.queues.create(Queue("", *HERE, "mail", **fields))  # type: ignore[arg-type]

    def add(self, name: str, **fields: object) -> Task:
        target = HttpTarget("http://sink.example.com/")
        return self.queues.create_task(HERE, "mail", name=name, target=target, **fields)  # type: ignore[arg-type]

    def task(self, name: str) -> Task:
        return self.queues.get_task(HERE, "mail", name)


@pytest.fixture
def bench() -> QueueBench:
    return QueueBench()


async def test_a_failure_of_what_was_run_by_hand_counts_its_delay_from_the_call(
    bench: QueueBench,
) -> None:
    bench.create(retry=QueueRetry(min_backoff=30.0))
    task = bench.add("a", schedule_time=NOW + 3600)
    bench.queues.pause(HERE, "mail")
    bench.clock.advance(100)
    bench.queues.run_task(HERE, "mail", "a")
    await bench.turns()
    bench.clock.advance(7)
    bench.sender.finish(task.delivery.uid, Answer(500))
    await bench.turns()
    after = bench.task("a")
    assert after.schedule_time == NOW + 100 + 30
    assert not after.delivery.forced
    bench.clock.advance(4000)
    await bench.turns()
    assert len(bench.sender.calls) == 1, "the queue is paused, and the old schedule is gone"


async def test_an_answer_that_asks_for_it_slows_the_queue_down(bench: QueueBench) -> None:
    bench.create(limits=RateLimits(per_second=10, burst=2))
    first = bench.add("a")
    await bench.turns()
    bench.sender.finish(first.delivery.uid, Answer(503, retry_after=60.0))
    await bench.turns()
    assert bench.task("a").schedule_time == NOW + 60, "the answer says when"
    for name in ("b", "c", "d"):
        bench.add(name)
    await bench.turns()
    assert len(bench.sender.waiting) == 1, "no burst"
    bench.clock.advance(0.11)
    await bench.turns()
    assert len(bench.sender.waiting) == 1, "half the rate"
    bench.clock.advance(0.1)
    await bench.turns()
    assert len(bench.sender.waiting) == 2


async def test_a_task_shows_what_is_under_way_and_what_came_back(bench: QueueBench) -> None:
    bench.create()
    task = bench.add("a")
    await bench.turns()
    sent = bench.task("a")
    assert (sent.dispatches, sent.responses, sent.first) == (1, 0, None)
    assert sent.delivery.first_attempt_at == NOW
    bench.sender.finish(task.delivery.uid, Answer(404))
    await bench.turns()
    seen = bench.task("a")
    assert (seen.dispatches, seen.responses) == (1, 1)
    assert seen.last is not None
    assert (seen.last.status, seen.first) == (404, seen.last)
    bench.clock.advance(1)
    await bench.turns()
    bench.sender.finish(task.delivery.uid, Broken(Break.DEADLINE))
    await bench.turns()
    late = bench.task("a")
    assert (late.dispatches, late.responses) == (2, 1), "a missed deadline is no response"


async def test_what_is_not_delivered_in_31_days_is_dropped(bench: QueueBench) -> None:
    bench.create()
    bench.queues.pause(HERE, "mail")
    task = bench.add("a")
    bench.clock.advance(31 * 86_400 + 1)
    await bench.turns()
    assert bench.store.get(task.delivery.uid).state is State.EXPIRED


async def test_the_rate_can_be_changed_while_tasks_wait(bench: QueueBench) -> None:
    bench.create(limits=RateLimits(per_second=0, burst=1))
    for name in ("a", "b", "c"):
        bench.add(name)
    await bench.turns()
    assert len(bench.sender.waiting) == 1
    change = RateLimits(per_second=10, burst=5)
    bench.queues.update(HERE, "mail", lambda old: replace(old, limits=change))
    bench.clock.advance(0.2)
    await bench.turns()
    assert len(bench.sender.waiting) == 3


@pytest.mark.parametrize("emptied", [False, True])
async def test_what_was_claimed_ahead_of_a_queue_that_is_halted_goes_back_at_once(
    emptied: bool,
) -> None:
    bench = QueueBench(in_flight=1, per_target=1)
    bench.queues.watch(bench.dispatcher.recall)
    bench.create()
    names = [f"t{number}" for number in range(200)]
    for name in names:
        bench.add(name)

    def states() -> list[State]:
        return [bench.task(name).delivery.state for name in names if name not in done]

    done: set[str] = set()
    # A place that is quick gets some ahead.
    for _ in range(50):
        await bench.turns(count=2)
        if states().count(State.SENDING) > 1:
            break
        [uid] = bench.sender.waiting
        done.add(task_id(bench.store.get(uid)))
        bench.sender.finish(uid)
        await breathe()
    assert states().count(State.SENDING) > 1
    calls = len(bench.sender.calls)
    queue = bench.queues.pause(HERE, "mail")
    bench.queues.halted(queue, emptied=emptied)
    [uid] = bench.sender.waiting
    done.add(task_id(bench.store.get(uid)))
    bench.sender.finish(uid)
    await bench.turns()
    assert set(states()) == {State.PENDING}
    assert len(bench.sender.calls) == calls
    assert bench.dispatcher.in_flight == 0
